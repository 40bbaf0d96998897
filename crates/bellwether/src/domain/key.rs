//! API keys: `bw_<id>_<secret>`, of which only the SHA-256 is kept, and the roles they carry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::clock::Timestamp;
use super::id::KeyId;
use super::token;

/// What a key may do; each role may also do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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

#[derive(Debug, Clone)]
pub struct ApiKey {
    pub id: KeyId,
    pub name: String,
    pub role: Role,
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

const PREFIX: &str = "bw_";
/// What an operator's own key must have behind `bw_`, so that nobody guesses it.
const SHORTEST_OWN: usize = 32;
const FEWEST_DIFFERENT: usize = 8;

impl<'a> PresentedKey<'a> {
    /// Reads `bw_<id>_<secret>`, as they are made here, or `bw_` and any other text, as an operator brings one: its id is
    /// then made of the text. `None` for anything else, and for what is too short to be a secret.
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        if let Some((id, secret)) = rest.split_once('_')
            && let Ok(id) = format!("{}{id}", KeyId::PREFIX).parse()
            && secret.len() >= 32
        {
            return Some(Self { id, secret });
        }
        let digest = Sha256::digest([b"bellwether key id".as_slice(), rest.as_bytes()].concat());
        let id = digest.iter().take(16).fold(0_u128, |id, byte| id << 8 | u128::from(*byte));
        check_own(text).is_ok().then_some(Self { id: KeyId::of(id), secret: rest })
    }

    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret.as_bytes()).to_vec()
    }
}

/// Whether an operator's own text can be a key; the error says what is wrong with it.
pub fn check_own(text: &str) -> Result<(), String> {
    let Some(rest) = text.strip_prefix(PREFIX) else {
        return Err(format!("it must begin with '{PREFIX}'"));
    };
    let is_plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte));
    let mut different: Vec<u8> = rest.bytes().collect();
    different.sort_unstable();
    different.dedup();
    if !is_plain || rest.len() > 200 {
        return Err(format!("behind '{PREFIX}' only letters, digits and -_.~+/= are allowed, at most 200"));
    }
    if rest.len() < SHORTEST_OWN || different.len() < FEWEST_DIFFERENT {
        return Err(format!(
            "behind '{PREFIX}' at least {SHORTEST_OWN} characters are needed, {FEWEST_DIFFERENT} of them different; \
             make them with: openssl rand -hex 32"
        ));
    }
    Ok(())
}

impl ApiKey {
    /// Whether `presented` is this key, compared in constant time, and it has not expired.
    pub fn admits(&self, presented: &PresentedKey<'_>, now: Timestamp) -> bool {
        let same: bool = self.hash.ct_eq(&presented.hash()).into();
        same && self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

/// The text to hand to a new key's holder, and the hash to keep. `secret` must come from a secure source.
pub fn issue(id: KeyId, secret: [u8; 32]) -> (String, Vec<u8>) {
    token::issue(PREFIX.trim_end_matches('_'), id.to_string().trim_start_matches(KeyId::PREFIX), secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issued_key_is_admitted_until_it_expires_and_another_is_not() {
        let id = KeyId::of(5);
        let (text, hash) = issue(id, [7; 32]);
        let expires_at = Some(Timestamp::from_micros(100));
        let key = ApiKey {
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

    #[test]
    fn an_operator_brings_any_text_that_nobody_guesses() {
        let own = "bw_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let (presented, again) = (PresentedKey::parse(own).unwrap(), PresentedKey::parse(own).unwrap());
        assert_eq!((presented.id, presented.hash()), (again.id, again.hash()));
        assert!(PresentedKey::parse("bw_prod_9f86d081884c7d659a2feaa0c55ad015").is_some());
        for text in [
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
            "bw_",
            "bw_tooshort",
            &format!("bw_{}", "a".repeat(64)),
            "bw_with blanks in it 0123456789abcdefghij",
        ] {
            assert!(PresentedKey::parse(text).is_none() && check_own(text).is_err(), "{text}");
        }
    }
}
