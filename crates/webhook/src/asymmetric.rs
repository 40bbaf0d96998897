//! The key pair of an endpoint whose receivers verify without sharing a secret: ed25519, `v1a` of Standard Webhooks.
//!
//! Making random ones is the server's task; this crate has no source of randomness.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};

const SECRET_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// The half that signs, and that only the server has.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// The half that verifies. It may be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    #[error("this is no signing key; give `whsk_` and the base64 of 32 bytes")]
    Signing,
    #[error("this is no public key; give `whpk_` and the base64 of 32 bytes, as the endpoint shows it")]
    Public,
}

impl SigningKey {
    /// The seed of RFC 8032: 32 random bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(bytes))
    }

    /// A key as [`Self::text`] gives it.
    pub fn parse(text: &str) -> Result<SigningKey, MalformedKey> {
        decoded(SECRET_PREFIX, text).map(|bytes| SigningKey::from_bytes(&bytes)).ok_or(MalformedKey::Signing)
    }

    /// `whsk_<base64>`, to be kept secret.
    pub fn text(&self) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(self.0.as_bytes()))
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The Standard Webhooks signature: `v1a,<base64>` over `{id}.{timestamp}.{body}`.
    pub fn sign_message(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("v1a,{}", STANDARD.encode(self.0.sign(&message(id, timestamp, body)).to_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}

impl PublicKey {
    /// A key as the endpoint shows it, `whpk_<base64>`. Points that fit signatures nobody has made are refused.
    pub fn parse(text: &str) -> Result<PublicKey, MalformedKey> {
        let key = decoded(PUBLIC_PREFIX, text).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        key.filter(|key| !key.is_weak()).map(PublicKey).ok_or(MalformedKey::Public)
    }

    /// `whpk_<base64>`
    pub fn text(&self) -> String {
        format!("{PUBLIC_PREFIX}{}", STANDARD.encode(self.0.as_bytes()))
    }

    /// Whether `signature`, the base64 after `v1a,`, is this key's over `message`.
    pub(crate) fn fits(&self, signature: &str, message: &[u8]) -> bool {
        let bytes = STANDARD.decode(signature).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        bytes.is_some_and(|bytes| self.0.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl FromStr for PublicKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<PublicKey, MalformedKey> {
        PublicKey::parse(text)
    }
}

/// What is signed. Ed25519 reads its message twice, so it must stand in one piece.
pub(crate) fn message(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body].concat()
}

fn decoded(prefix: &str, text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text.strip_prefix(prefix)?).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_to_text_and_back() {
        let key = SigningKey::from_bytes(&[7; 32]);
        assert_eq!(SigningKey::parse(&key.text()).unwrap().text(), key.text());
        assert_eq!(key.public_key().text().parse(), Ok(key.public_key()));
        assert!(key.text().starts_with("whsk_") && key.public_key().to_string().starts_with("whpk_"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = SigningKey::from_bytes(&[7; 32]);
        for text in ["", "whsk_", "whsk_AAAA", "whsk_!", &key.public_key().text()] {
            assert_eq!(SigningKey::parse(text).unwrap_err(), MalformedKey::Signing, "{text}");
        }
        // The last one is the neutral element, for which anybody can make signatures.
        let neutral = format!("whpk_{}", STANDARD.encode([&[1_u8][..], &[0; 31]].concat()));
        for text in ["", "whpk_AAAA", &key.text(), &neutral] {
            assert_eq!(PublicKey::parse(text).unwrap_err(), MalformedKey::Public, "{text}");
        }
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert_eq!(format!("{:?}", SigningKey::from_bytes(&[7; 32])), "SigningKey(redacted)");
    }
}
