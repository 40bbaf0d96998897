//! What lets somebody in: a text of an id and a secret, of which only the secret's SHA-256 is kept.

use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Of 32 bytes in hexadecimal digits.
const SECRET_LENGTH: usize = 64;

/// The text to hand out, and the hash to keep. `kind` begins it, `id` is an id without its prefix; `secret` must come from a
/// secure source.
pub fn issue(kind: &str, id: &str, secret: [u8; 32]) -> (String, Vec<u8>) {
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = Sha256::digest(secret.as_bytes()).to_vec();
    (format!("{kind}_{id}_{secret}"), hash)
}

/// A token as somebody presents it, taken apart.
pub struct Presented<I> {
    pub id: I,
    hash: [u8; 32],
}

impl<I: FromStr> Presented<I> {
    /// Reads `<kind>_<id>_<secret>`; `prefix` is that of the ids. `None` for anything else.
    pub fn parse(kind: &str, prefix: &str, text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(kind)?.strip_prefix('_')?.split_once('_')?;
        let id = format!("{prefix}{id}").parse().ok()?;
        (secret.len() == SECRET_LENGTH).then(|| Self { id, hash: Sha256::digest(secret.as_bytes()).into() })
    }

    /// Whether it is the one of this hash, compared in constant time.
    pub fn fits(&self, hash: &[u8]) -> bool {
        self.hash.ct_eq(hash).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::SessionId;

    #[test]
    fn a_token_fits_its_own_hash_alone() {
        let id = SessionId::of(5);
        let bare = id.to_string().trim_start_matches(SessionId::PREFIX).to_owned();
        let (text, hash) = issue("bws", &bare, [7; 32]);
        let parse = |text: &str| Presented::<SessionId>::parse("bws", SessionId::PREFIX, text);
        assert_eq!(parse(&text).unwrap().id, id);
        assert!(parse(&text).unwrap().fits(&hash));
        let (other, _) = issue("bws", &bare, [8; 32]);
        assert!(!parse(&other).unwrap().fits(&hash));
        for wrong in ["", "bws_", "bws_x_y", &text[..text.len() - 1], &text.replacen("bws", "bwl", 1)] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
