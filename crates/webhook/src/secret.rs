//! The secret that an endpoint shares with its receiver: one secret for both signatures.
//!
//! Making random ones is the server's task; this crate has no source of randomness.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PREFIX: &str = "whsec_";

/// A shared secret. The body's signature uses its text, Standard Webhooks uses its key.
#[derive(Clone)]
pub struct Secret {
    text: String,
    key: Vec<u8>,
}

impl Secret {
    /// A secret of random bytes, shown as `whsec_<base64>`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Secret, EmptySecret> {
        if bytes.is_empty() {
            return Err(EmptySecret);
        }
        Ok(Secret { text: format!("{PREFIX}{}", STANDARD.encode(bytes)), key: bytes.to_vec() })
    }

    /// A secret as shown. `whsec_` and padded base64 is a Standard Webhooks secret; any other text, such as one brought
    /// from Eppo, is itself the key.
    pub fn parse(text: &str) -> Result<Secret, EmptySecret> {
        let decoded = text.strip_prefix(PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok());
        let key = decoded.unwrap_or_else(|| text.as_bytes().to_vec());
        if key.is_empty() {
            return Err(EmptySecret);
        }
        Ok(Secret { text: text.to_owned(), key })
    }

    /// The secret as shown: the key of the body's signature.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key of the Standard Webhooks signature.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The secret as the Standard Webhooks libraries take it: `whsec_` and the base64 of the key.
    pub fn standard_form(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.key))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is empty; give `whsec_` and base64 behind it, or any other text")]
pub struct EmptySecret;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_secret_keeps_its_text_and_decodes_its_key() {
        let secret = Secret::from_bytes(b"0123456789abcdef").unwrap();
        assert_eq!(secret.text(), "whsec_MDEyMzQ1Njc4OWFiY2RlZg==");
        let parsed = Secret::parse(secret.text()).unwrap();
        assert_eq!(parsed.key(), b"0123456789abcdef");
        assert_eq!(parsed.standard_form(), secret.text());
    }

    #[test]
    fn a_secret_of_the_users_own_is_its_own_key() {
        for text in ["my shared secret", "whsec_not base64!", "whsec_YQ", "hé"] {
            let secret = Secret::parse(text).unwrap();
            assert_eq!((secret.text(), secret.key()), (text, text.as_bytes()));
            assert_eq!(Secret::parse(&secret.standard_form()).unwrap().key(), text.as_bytes());
        }
    }

    #[test]
    fn empty_secrets_are_refused() {
        assert_eq!(Secret::parse("").unwrap_err(), EmptySecret);
        assert_eq!(Secret::parse("whsec_").unwrap_err(), EmptySecret);
        assert_eq!(Secret::from_bytes(&[]).unwrap_err(), EmptySecret);
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        assert_eq!(format!("{:?}", Secret::parse("hunter2").unwrap()), "Secret(redacted)");
    }
}
