//! Minted codes: what links and bindings carry in place of a key (http-api.md 10 and 11).
//!
//! A code is an HMAC-SHA256 over its purpose, the key's generation, the hub and, for links, the instance. Its secret is
//! derived from the admin key, so codes survive restarts and end with the key. One that somebody with a key of the hub
//! asked for names that key, and ends with it. Nothing is stored, and no key can be read back from a code. (A key that can
//! be guessed can be tried against a code: use 256 random bits.)

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::store::{HubName, HubRecord, KeyId, KeyRecord};
use durawasm_core::Timestamp;

/// Binds the secret to its use: the same key may one day derive others.
const SECRET_LABEL: &[u8] = b"durawasm link secret 1";
/// Of the admin key.
const GENERATION: u32 = 1;
/// Between the hub and the code of an RPC token. Neither has it.
const SEPARATOR: char = '-';
/// Characters of a code that no key of the hub stands for: 32 bytes in hexadecimal.
const CODE_LENGTH: usize = 64;
/// Characters of the id of a key, which other codes begin with.
const KEY_LENGTH: usize = 16;
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
    /// This HTTP function.
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

/// The key of a hub in whose name a code is minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signer {
    id: KeyId,
    generation: u32,
}

impl Signer {
    pub(super) fn of(key: &KeyRecord) -> Self {
        Self { id: key.id, generation: key.generation }
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

    /// Mints codes of this hub; with a signer such as end with its key.
    pub(super) fn mint(&self, hub: &HubRecord, signer: Option<Signer>) -> Mint {
        Mint { codes: self.clone(), hub: hub.name.clone(), salt: hub.salt, signer }
    }

    /// Whether `code` is a code of this scope of this hub, and in whose name. Takes the same time for all that are not.
    pub(super) fn verify(
        &self,
        code: &str,
        (hub, scope): (&HubRecord, Scope<'_>),
        now: Timestamp,
    ) -> Option<Option<Signer>> {
        let minted = |signer| self.mint(hub, signer).code(scope);
        let is = |signer| bool::from(minted(signer).as_bytes().ct_eq(code.as_bytes()));
        if code.len() == CODE_LENGTH {
            return is(None).then_some(None);
        }
        let key = hub.keys.iter().find(|key| code.strip_prefix(&key.id.to_string()).is_some())?;
        let current = Signer::of(key);
        if is(Some(current)) {
            return Some(Some(current));
        }
        // What the key had minted before its rotation holds as long as the key of that time.
        let before = Signer { generation: key.generation.checked_sub(1)?, ..current };
        let holds = key.previous.is_some_and(|(_, until)| now < until);
        (holds && is(Some(before))).then_some(Some(before))
    }

    /// Whether this token opens the RPC base of this hub, and in whose name.
    pub(super) fn verify_rpc(&self, token: &str, hub: &HubRecord, now: Timestamp) -> Option<Option<Signer>> {
        let (named, code) = split_token(token)?;
        if *named != *hub.name {
            return None;
        }
        self.verify(code, (hub, Scope::Rpc), now)
    }
}

/// Mints the codes of one hub.
#[derive(Clone)]
pub(super) struct Mint {
    codes: Codes,
    hub: HubName,
    salt: [u8; 16],
    signer: Option<Signer>,
}

impl Mint {
    /// True: the codes are minted in the name of the admin key.
    pub(super) fn is_of_admin(&self) -> bool {
        self.signer.is_none()
    }

    /// The code of a scope: 64 hexadecimal digits, with those of the signer's key in front.
    pub(super) fn code(&self, scope: Scope<'_>) -> String {
        let instance = match scope {
            Scope::Instance(id) => id,
            Scope::Function(name) => name,
            Scope::Manage | Scope::Rpc => "",
        };
        let (label, generation) = (scope.label().as_bytes(), GENERATION.to_be_bytes());
        let mut fields = vec![label, &generation, self.hub.as_bytes(), instance.as_bytes()];
        // Hubs that are older than salts have none.
        if self.salt != [0; 16] {
            fields.push(&self.salt);
        }
        let signer = self.signer.map(|Signer { id, generation }| (id, generation.to_be_bytes()));
        if let Some((id, generation)) = &signer {
            fields.extend([id.0.as_slice(), generation]);
        }
        let key = self.signer.map(|signer| signer.id.to_string()).unwrap_or_default();
        format!("{key}{}", hex::encode(hmac(&self.codes.secret, &fields)))
    }

    /// The path segment of the hub's RPC base. It names the hub, because the clients of that base do not.
    pub(super) fn rpc_token(&self) -> String {
        format!("{}{SEPARATOR}{}", self.hub, self.code(Scope::Rpc))
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
    let long_enough = [CODE_LENGTH, KEY_LENGTH + CODE_LENGTH].contains(&code.len());
    (long_enough && code.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some((hub, code))
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
    use crate::store::{KeyHash, KeyScope};

    const SCOPES: [Scope<'static>; 4] = [Scope::Instance("a"), Scope::Instance("b"), Scope::Manage, Scope::Rpc];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(id: u8) -> KeyRecord {
        let hash = KeyHash { salt: [0; 16], hash: [0; 32] };
        KeyRecord {
            id: KeyId([id; 8]),
            name: format!("key {id}"),
            scopes: vec![KeyScope::Manage],
            created: at(0),
            rotated: None,
            generation: 0,
            hash,
            previous: None,
        }
    }

    fn hub(name: &str, salt: u8) -> HubRecord {
        HubRecord { keys: vec![key(1), key(2)], ..HubRecord::new(name.into(), None, [salt; 16]) }
    }

    #[test]
    fn a_code_opens_its_own_scope_and_hub_only() {
        let codes = Codes::of_key("key");
        for signer in [None, Some(Signer::of(&key(1))), Some(Signer::of(&key(2)))] {
            for minted in SCOPES {
                for of in [hub("default", 0), hub("other", 1)] {
                    let code = codes.mint(&of, signer).code(minted);
                    for tried in SCOPES {
                        let opened = codes.verify(&code, (&of, tried), at(1));
                        assert_eq!(opened, (minted == tried).then_some(signer), "{minted:?} {tried:?}");
                        for not in [hub("third", 1), hub(&of.name, 9)] {
                            assert_eq!(codes.verify(&code, (&not, tried), at(1)), None, "an earlier hub of the name");
                        }
                    }
                    assert_eq!(Codes::of_key("other key").verify(&code, (&of, minted), at(1)), None);
                }
            }
        }
    }

    #[test]
    fn codes_survive_restarts() {
        let of = hub("default", 0);
        let scope = Scope::Instance("a");
        let code = Codes::of_key("key").mint(&of, None).code(scope);
        assert_eq!(Codes::of_key("key").verify(&code, (&of, scope), at(1)), Some(None));
        for bad in ["", "0", &code[..63], &format!("{code}0"), &code.to_uppercase()] {
            assert_eq!(Codes::of_key("key").verify(bad, (&of, scope), at(1)), None, "{bad}");
        }
    }

    #[test]
    fn a_code_ends_with_the_key_that_stands_for_it() {
        let (codes, mut of) = (Codes::of_key("key"), hub("tenant", 1));
        let signer = Some(Signer::of(&of.keys[0]));
        let code = codes.mint(&of, signer).code(Scope::Manage);
        let rotated = &mut of.keys[0];
        rotated.generation = 1;
        rotated.previous = Some((rotated.hash, at(100)));
        let verify = |of: &HubRecord, second| codes.verify(&code, (of, Scope::Manage), at(second));
        assert_eq!(verify(&of, 99), Some(signer), "while the old key holds");
        assert_eq!(verify(&of, 100), None);
        of.keys.remove(0);
        assert_eq!(verify(&of, 1), None, "revoked");
    }

    #[test]
    fn no_two_lists_of_fields_read_alike() {
        assert_ne!(hmac(&[1; 32], &[b"ab", b"c"]), hmac(&[1; 32], &[b"a", b"bc"]));
    }

    #[test]
    fn a_token_names_its_hub() {
        let (codes, of) = (Codes::of_key("key"), hub("default", 0));
        for signer in [None, Some(Signer::of(&key(1)))] {
            let token = codes.mint(&of, signer).rpc_token();
            assert!(is_token(&token));
            assert_eq!(codes.verify_rpc(&token, &of, at(1)), Some(signer));
            let forged = token.replacen("default", "other", 1);
            assert!(is_token(&forged));
            assert_eq!(codes.verify_rpc(&forged, &hub("other", 0), at(1)), None);
            assert_eq!(codes.verify_rpc(&token, &hub("other", 0), at(1)), None);
            for other in ["", "-", "instances", "orchestrators", "default-", &token[..token.len() - 1]] {
                assert!(!is_token(other), "{other}");
            }
        }
    }
}
