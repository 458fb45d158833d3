//! Minted codes: what links and bindings carry in place of a key (http-api.md 10 and 11).
//!
//! A code is an HMAC-SHA256 over its purpose, the key's generation, the hub and, for links, the instance. Its secret is
//! derived from the admin key, so codes survive restarts and end with the key. Nothing is stored, and the key cannot be
//! read back from a code. (A key that can be guessed can be tried against a code: use 256 random bits.)

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// Binds the secret to its use: the same key may one day derive others.
const SECRET_LABEL: &[u8] = b"durawasm link secret 1";
/// Of the key that codes come from. There is one key today; a rotation would count it up.
const GENERATION: u32 = 1;
/// Between the hub and the code of an RPC token. Neither has it.
const SEPARATOR: char = '-';
/// Characters of a code: 32 bytes in hexadecimal.
const CODE_LENGTH: usize = 64;
/// The block of SHA-256 in bytes, which is the size of an HMAC's key.
const BLOCK: usize = 64;

/// What a code opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// The management routes of this instance.
    Instance(&'a str),
    /// All management routes of the hub, starts and lists included.
    Manage,
    /// The RPC base of the hub.
    Rpc,
    /// Requests to this HTTP function.
    Function(&'a str),
}

impl Scope<'_> {
    /// Different for every purpose, so that no code fits another one.
    fn label(self) -> &'static str {
        match self {
            Self::Instance(_) => "instance",
            Self::Manage => "manage",
            Self::Rpc => "rpc",
            Self::Function(_) => "function",
        }
    }
}

/// Mints codes and recognises them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Codes {
    secret: [u8; 32],
}

impl Codes {
    /// The codes of a server with this admin key.
    pub(super) fn of_key(admin_key: &str) -> Self {
        let key: [u8; 32] = Sha256::digest(admin_key.as_bytes()).into();
        Self { secret: hmac(&key, &[SECRET_LABEL]) }
    }

    /// The code of a scope of a hub: 64 hexadecimal digits.
    pub(super) fn mint(&self, hub: &str, scope: Scope<'_>) -> String {
        let instance = match scope {
            Scope::Instance(id) => id,
            Scope::Function(name) => name,
            Scope::Manage | Scope::Rpc => "",
        };
        let fields = [scope.label().as_bytes(), &GENERATION.to_be_bytes(), hub.as_bytes(), instance.as_bytes()];
        hex::encode(hmac(&self.secret, &fields))
    }

    /// Whether `code` is the code of this scope of this hub. Takes the same time for all that are not.
    pub(super) fn verify(&self, code: &str, hub: &str, scope: Scope<'_>) -> bool {
        self.mint(hub, scope).as_bytes().ct_eq(code.as_bytes()).into()
    }

    /// The path segment of a hub's RPC base. It names the hub, because the clients of that base do not.
    pub(super) fn rpc_token(&self, hub: &str) -> String {
        format!("{hub}{SEPARATOR}{}", self.mint(hub, Scope::Rpc))
    }

    /// The hub whose RPC base this token opens; none when it opens nothing.
    pub(super) fn open_rpc<'t>(&self, token: &'t str) -> Option<&'t str> {
        let (hub, code) = split_token(token)?;
        self.verify(code, hub, Scope::Rpc).then_some(hub)
    }
}

/// Whether a path segment has the form of an RPC token. No literal segment of a route has it.
pub(super) fn is_token(segment: &str) -> bool {
    split_token(segment).is_some()
}

/// The hub that a token names, whether it opens it or not.
pub(super) fn hub_of(token: &str) -> Option<&str> {
    split_token(token).map(|(hub, _)| hub)
}

fn split_token(token: &str) -> Option<(&str, &str)> {
    let (hub, code) = token.split_once(SEPARATOR)?;
    (code.len() == CODE_LENGTH && code.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some((hub, code))
}

/// Fields are preceded by their length: no two lists of fields read alike.
fn hmac(key: &[u8; 32], fields: &[&[u8]]) -> [u8; 32] {
    // A shorter key is filled up with zeros by definition of HMAC.
    let mut block = [0; BLOCK];
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut mac = <Hmac<Sha256> as Mac>::new(&block.into());
    for field in fields {
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPES: [Scope<'static>; 4] = [Scope::Instance("a"), Scope::Instance("b"), Scope::Manage, Scope::Rpc];

    #[test]
    fn a_code_opens_its_own_scope_and_hub_only() {
        let codes = Codes::of_key("key");
        for minted in SCOPES {
            for hub in ["default", "other"] {
                let code = codes.mint(hub, minted);
                for tried in SCOPES {
                    assert_eq!(codes.verify(&code, hub, tried), minted == tried, "{minted:?} {tried:?}");
                    assert!(!codes.verify(&code, "third", tried));
                }
                assert!(!Codes::of_key("other key").verify(&code, hub, minted));
            }
        }
    }

    #[test]
    fn codes_survive_restarts() {
        let code = Codes::of_key("key").mint("default", Scope::Instance("a"));
        assert!(Codes::of_key("key").verify(&code, "default", Scope::Instance("a")));
        for bad in ["", "0", &code[..63], &format!("{code}0"), &code.to_uppercase()] {
            assert!(!Codes::of_key("key").verify(bad, "default", Scope::Instance("a")), "{bad}");
        }
    }

    #[test]
    fn no_two_lists_of_fields_read_alike() {
        assert_ne!(hmac(&[1; 32], &[b"ab", b"c"]), hmac(&[1; 32], &[b"a", b"bc"]));
    }

    #[test]
    fn a_token_names_its_hub() {
        let codes = Codes::of_key("key");
        let token = codes.rpc_token("default");
        assert!(is_token(&token));
        assert_eq!(codes.open_rpc(&token), Some("default"));
        let forged = token.replacen("default", "other", 1);
        assert!(is_token(&forged));
        assert_eq!(codes.open_rpc(&forged), None);
        for other in ["", "-", "instances", "orchestrators", "default-", &token[..token.len() - 1]] {
            assert!(!is_token(other), "{other}");
        }
    }
}
