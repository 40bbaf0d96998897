//! The published vectors, which `vectors.mjs` made with Node's own crypto, against ours.

#![allow(clippy::unwrap_used)] // Outside `#[test]`, but a test none the less.

use bellwether_webhook::{
    PublicKey, Secret, Signer, SigningKey, Verifier, VerifyError, Webhook, header, verify_body_signature,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    about: String,
    id: String,
    timestamp: i64,
    body: String,
    secret: String,
    signing_key_seed: String,
    signing_key: String,
    public_key: String,
    v1: String,
    v1a: String,
    /// None where the body is no webhook of ours.
    body_signature: Option<String>,
}

fn vectors() -> Vec<Vector> {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    assert!(vectors.len() >= 6);
    vectors
}

impl Vector {
    fn verify(&self, verifier: &Verifier, signatures: &str) -> Result<(), VerifyError> {
        let timestamp = self.timestamp.to_string();
        let headers = |name: &str| match name {
            header::ID => Some(self.id.as_str()),
            header::TIMESTAMP => Some(timestamp.as_str()),
            header::SIGNATURE => Some(signatures),
            _ => None,
        };
        match verifier.verify(headers, self.body.as_bytes(), self.timestamp) {
            Ok(Webhook { .. }) => Ok(()),
            Err(VerifyError::MalformedBody(_)) if self.body_signature.is_none() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn secret(&self) -> Secret {
        Secret::parse(&self.secret).unwrap()
    }

    fn public_key(&self) -> PublicKey {
        self.public_key.parse().unwrap()
    }
}

#[test]
fn we_sign_as_the_vectors_say() {
    for vector in vectors() {
        let signer = Signer::new(&vector.secret());
        let (id, body) = (&vector.id, vector.body.as_bytes());
        assert_eq!(signer.sign_message(id, vector.timestamp, body), vector.v1, "{}", vector.about);
        let key = SigningKey::parse(&vector.signing_key).unwrap();
        assert_eq!(key.sign_message(id, vector.timestamp, body), vector.v1a, "{}", vector.about);
        assert_eq!((key.text(), key.public_key().text()), (vector.signing_key, vector.public_key));
    }
}

#[test]
fn the_texts_of_the_keys_are_those_of_the_seed() {
    for vector in vectors() {
        let byte = |at: usize| u8::from_str_radix(&vector.signing_key_seed[2 * at..2 * at + 2], 16).unwrap();
        let key = SigningKey::from_bytes(&std::array::from_fn(byte));
        assert_eq!(key.text(), vector.signing_key);
    }
}

#[test]
fn the_bodys_signature_is_that_of_its_data() {
    for vector in vectors() {
        let Some(expected) = &vector.body_signature else { continue };
        verify_body_signature(vector.body.as_bytes(), &vector.secret()).unwrap();
        let body: Value = serde_json::from_str(&vector.body).unwrap();
        assert_eq!(body["signature"], expected.as_str());
    }
}

#[test]
fn each_verifier_accepts_the_signature_it_can_check() {
    for vector in vectors() {
        let by_secret = Verifier::new(&vector.secret());
        let by_key = Verifier::with_public_key(&vector.public_key());
        let by_either = by_secret.clone().accept_also_public_key(&vector.public_key());
        let both = format!("{} {}", vector.v1, vector.v1a);
        for (verifier, signatures, fits) in [
            (&by_secret, &vector.v1, true),
            (&by_secret, &vector.v1a, false),
            (&by_secret, &both, true),
            (&by_key, &vector.v1, false),
            (&by_key, &vector.v1a, true),
            (&by_key, &both, true),
            (&by_either, &vector.v1, true),
            (&by_either, &vector.v1a, true),
        ] {
            let verified = vector.verify(verifier, signatures);
            assert_eq!(verified.is_ok(), fits, "{}: {signatures}: {verified:?}", vector.about);
        }
    }
}

#[test]
fn nothing_that_is_signed_may_change() {
    for mut vector in vectors() {
        let verifier = Verifier::with_public_key(&vector.public_key());
        let (v1a, other) = (vector.v1a.clone(), SigningKey::from_bytes(&[1; 32]));
        let by_other = other.sign_message(&vector.id, vector.timestamp, vector.body.as_bytes());
        let is_refused = |vector: &Vector, signatures: &str| {
            matches!(vector.verify(&verifier, signatures), Err(VerifyError::SignatureMismatch))
        };
        assert!(is_refused(&vector, &by_other));
        // A version is not another's: neither by name nor cut short.
        assert!(is_refused(&vector, &v1a.replace("v1a,", "v1,")) && is_refused(&vector, &v1a[..40]));
        vector.timestamp += 1;
        assert!(is_refused(&vector, &v1a));
        vector.timestamp -= 1;
        vector.body.push(' ');
        assert!(is_refused(&vector, &v1a));
    }
}
