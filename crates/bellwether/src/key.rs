//! API keys: `bw_<id>_<secret>`, of which only the SHA-256 is kept, and the roles they carry.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::id::KeyId;

/// What a key may do; each role may also do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Read,
    Write,
    Admin,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Key {
    pub id: KeyId,
    pub name: String,
    pub role: Role,
    #[serde(skip)]
    pub hash: Vec<u8>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

/// A key's text as its holder has it, taken apart.
pub struct PresentedKey<'a> {
    pub id: KeyId,
    secret: &'a str,
}

impl<'a> PresentedKey<'a> {
    /// Reads `bw_<id>_<secret>`; `None` for anything else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix("bw_")?.split_once('_')?;
        let id = format!("{}{id}", KeyId::PREFIX).parse().ok()?;
        (secret.len() >= 32).then_some(Self { id, secret })
    }

    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret.as_bytes()).to_vec()
    }
}

impl Key {
    /// Whether `presented` is this key, compared in constant time, and it has not expired.
    pub fn admits(&self, presented: &PresentedKey<'_>, now: Timestamp) -> bool {
        let same: bool = self.hash.ct_eq(&presented.hash()).into();
        same && self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

/// The text to hand to a new key's holder, and the hash to keep. `secret` must come from a secure source.
pub fn issue(id: KeyId, secret: [u8; 32]) -> (String, Vec<u8>) {
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = Sha256::digest(secret.as_bytes()).to_vec();
    (format!("bw_{}_{secret}", id.to_string().trim_start_matches(KeyId::PREFIX)), hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issued_key_is_admitted_until_it_expires_and_another_is_not() {
        let id = KeyId::of(5);
        let (text, hash) = issue(id, [7; 32]);
        let expires_at = Some(Timestamp::from_micros(100));
        let key = Key {
            id,
            name: "ci".into(),
            role: Role::Read,
            hash,
            created_at: Timestamp::from_micros(0),
            expires_at,
            last_used_at: None,
        };
        let presented = PresentedKey::parse(&text).unwrap();
        assert_eq!(presented.id, id);
        assert!(key.admits(&presented, Timestamp::from_micros(99)));
        assert!(!key.admits(&presented, Timestamp::from_micros(100)));
        let (other, _) = issue(id, [8; 32]);
        assert!(!key.admits(&PresentedKey::parse(&other).unwrap(), Timestamp::from_micros(0)));
        assert!(PresentedKey::parse("bw_short_x").is_none());
    }
}
