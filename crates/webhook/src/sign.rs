//! The two signatures of a webhook: that of `data`, in the body, and that of the whole message, in the headers.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Secret;

type HmacSha256 = Hmac<Sha256>;

/// Of `v1,` and 32 bytes in base64.
const SIGNATURE_LENGTH: usize = 47;

/// Signs with one secret. Made once per secret: the key schedules are computed here, not for every message.
#[derive(Clone)]
pub struct Signer {
    data: HmacSha256,
    message: HmacSha256,
}

impl Signer {
    pub fn new(secret: &Secret) -> Signer {
        Signer { data: keyed(secret.text().as_bytes()), message: keyed(secret.key()) }
    }

    /// The body's signature: lower-case hex over the bytes of `data`.
    pub fn sign_data(&self, data: &[u8]) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let tag = self.data.clone().chain_update(data).finalize().into_bytes();
        let mut hex = String::with_capacity(2 * tag.len());
        for byte in tag {
            hex.push(char::from(HEX[usize::from(byte >> 4)]));
            hex.push(char::from(HEX[usize::from(byte & 15)]));
        }
        hex
    }

    /// The Standard Webhooks signature: `v1,<base64>` over `{id}.{timestamp}.{body}`.
    pub fn sign_message(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut signature = String::with_capacity(SIGNATURE_LENGTH);
        signature.push_str("v1,");
        STANDARD.encode_string(self.message_tag(id, timestamp, body), &mut signature);
        signature
    }

    pub(crate) fn message_tag(&self, id: &str, timestamp: i64, body: &[u8]) -> [u8; 32] {
        let timestamp = timestamp.to_string();
        let head = self.message.clone().chain_update(id).chain_update(b".").chain_update(timestamp).chain_update(b".");
        head.chain_update(body).finalize().into_bytes().into()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(redacted)")
    }
}

/// [`Signer::sign_data`] for a secret that signs once.
pub fn sign_data(secret: &Secret, data: &[u8]) -> String {
    Signer::new(secret).sign_data(data)
}

/// [`Signer::sign_message`] for a secret that signs once.
pub fn sign_message(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> String {
    Signer::new(secret).sign_message(id, timestamp, body)
}

#[allow(clippy::expect_used)] // The crate's signature allows for a failure that HMAC does not have.
fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of every length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_signature_is_that_of_the_standards_own_example() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            sign_message(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_data_signature_is_hmac_sha256_in_hex() {
        // RFC 4231, test case 2.
        let secret = Secret::parse("Jefe").unwrap();
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(sign_data(&secret, b"what do ya want for nothing?"), expected);
    }
}
