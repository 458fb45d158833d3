//! Keys of hubs: their text, and how they are recognised.
//!
//! A key is `dwk_`, the id that finds its record, `_`, and 256 random bits in hexadecimal. Stored is a salted hash of those
//! bits; the key itself is shown once, to whoever makes or rotates it.

use durawasm_core::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::route::Need;
use crate::store::{KeyHash, KeyId, KeyRecord, KeyScope};

/// How keys begin, so that people and scanners for leaked keys know one.
const PREFIX: &str = "dwk_";

/// A key as its owner has it.
pub(super) struct HubKey {
    pub(super) id: KeyId,
    secret: [u8; 32],
}

impl HubKey {
    /// A new key with this id; none: with a new id.
    ///
    /// # Errors
    /// The system's, when it has no random numbers.
    pub(super) fn generate(id: Option<KeyId>) -> Result<Self, getrandom::Error> {
        let id = match id {
            Some(id) => id,
            None => KeyId(random()?),
        };
        Ok(Self { id, secret: random()? })
    }

    /// The key that a text has the form of.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let (mut key, mut bits) = ([0; 8], [0; 32]);
        hex::decode_to_slice(id, &mut key).ok()?;
        hex::decode_to_slice(secret, &mut bits).ok()?;
        Some(Self { id: KeyId(key), secret: bits })
    }

    /// What its owner keeps.
    pub(super) fn text(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, hex::encode(self.secret))
    }

    /// What the store keeps.
    ///
    /// # Errors
    /// The system's, when it has no random numbers.
    pub(super) fn hash(&self) -> Result<KeyHash, getrandom::Error> {
        let salt = random()?;
        Ok(KeyHash { salt, hash: digest(&salt, &self.secret) })
    }

    /// Whether this is the key of a record, or what it was before a rotation whose overlap still lasts. Takes the same time
    /// for all that are not.
    pub(super) fn is(&self, record: &KeyRecord, now: Timestamp) -> bool {
        let same = |known: &KeyHash| bool::from(digest(&known.salt, &self.secret).ct_eq(&known.hash));
        let current = same(&record.hash);
        let previous = record.previous.is_some_and(|(known, until)| same(&known) && now < until);
        self.id == record.id && (current || previous)
    }
}

fn digest(salt: &[u8; 16], secret: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(secret).finalize().into()
}

fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Whether a key with these scopes opens what needs this.
pub(super) fn opens(scopes: &[KeyScope], need: Need) -> bool {
    scopes.iter().any(|scope| match (scope, need) {
        (KeyScope::Manage, Need::Manage | Need::Read | Need::See)
        | (KeyScope::Deploy, Need::Deploy | Need::See)
        | (KeyScope::Read, Need::Read | Need::See)
        | (_, Need::Nothing) => true,
        (KeyScope::Manage, Need::Deploy)
        | (KeyScope::Deploy, Need::Manage | Need::Read)
        | (KeyScope::Read, Need::Manage | Need::Deploy)
        | (KeyScope::Function(_), Need::Manage | Need::Deploy | Need::Read | Need::See)
        | (_, Need::Admin) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &HubKey) -> KeyRecord {
        KeyRecord {
            id: key.id,
            name: "k".to_owned(),
            scopes: vec![KeyScope::Read],
            created: Timestamp::UNIX_EPOCH,
            rotated: None,
            generation: 0,
            hash: key.hash().unwrap(),
            previous: None,
        }
    }

    #[test]
    fn a_key_is_known_by_its_text_alone() {
        let key = HubKey::generate(None).unwrap();
        let text = key.text();
        let record = record(&key);
        assert!(!format!("{record:?}").contains(&text[21..]), "the key is not in its record");
        assert!(HubKey::parse(&text).unwrap().is(&record, Timestamp::UNIX_EPOCH));
        let other = HubKey::generate(Some(key.id)).unwrap();
        assert!(!other.is(&record, Timestamp::UNIX_EPOCH));
        for bad in ["", "dwk_", &text[4..], &text[..84], &format!("{text}0"), &text.replacen("dwk_", "dwk-", 1)] {
            assert!(HubKey::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_was_rotated_holds_for_its_overlap() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let old = HubKey::generate(None).unwrap();
        let new = HubKey::generate(Some(old.id)).unwrap();
        let rotated =
            KeyRecord { hash: new.hash().unwrap(), previous: Some((old.hash().unwrap(), at(10))), ..record(&old) };
        assert!(new.is(&rotated, at(9)) && new.is(&rotated, at(10)));
        assert!(old.is(&rotated, at(9)));
        assert!(!old.is(&rotated, at(10)));
    }

    #[test]
    fn scopes_open_what_they_say() {
        let needs = [Need::Nothing, Need::See, Need::Read, Need::Manage, Need::Deploy, Need::Admin];
        for (scope, opened) in [
            (KeyScope::Manage, [true, true, true, true, false, false]),
            (KeyScope::Deploy, [true, true, false, false, true, false]),
            (KeyScope::Read, [true, true, true, false, false, false]),
            (KeyScope::Function("f".into()), [true, false, false, false, false, false]),
        ] {
            assert_eq!(needs.map(|need| opens(std::slice::from_ref(&scope), need)), opened, "{scope:?}");
        }
        assert!(opens(&[KeyScope::Read, KeyScope::Deploy], Need::Deploy));
    }
}
