//! Verifying what a receiver got, in constant time, and reading it into a typed event.
//!
//! Deduplicating by `webhook-id` is left to the receiver: it needs a memory that lasts.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;
use subtle::{Choice, ConstantTimeEq};

use crate::{Event, PublicKey, Secret, Signer, asymmetric::message, ecma, header, sign_data};

/// How far the time of an attempt may lie from the receiver's, in both directions.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Signatures that are looked at; a header may hold many more, and each of a key pair costs time.
const MOST_SIGNATURES: usize = 16;

/// Verifies webhooks by the Standard Webhooks headers, which cover the whole body and the time.
#[derive(Clone, Debug)]
pub struct Verifier {
    secrets: Vec<Signer>,
    public_keys: Vec<PublicKey>,
    tolerance: Duration,
}

/// A webhook that was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// The same on every attempt and resend: deduplicate by it.
    pub id: String,
    /// Seconds since 1970 of this attempt.
    pub timestamp: i64,
    /// The experiment's revision; none for `webhook.ping`. The signature does not cover it.
    pub revision: Option<u64>,
    /// Counted from 1. The signature does not cover it.
    pub attempt: Option<u32>,
    pub event: Event,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the header {name} is missing; pass on all headers of the request as they came")]
    MissingHeader { name: &'static str },
    #[error("the header {name} is {given:?}; it must be {allowed}")]
    MalformedHeader { name: &'static str, given: String, allowed: &'static str },
    #[error(
        "the webhook is of second {timestamp}, and it is {now} now: more than {} s apart; \
         check the clock, else it is an old request sent again",
        tolerance.as_secs()
    )]
    StaleTimestamp { timestamp: i64, now: i64, tolerance: Duration },
    #[error(
        "no signature fits; check the secret or the public key, and that the body is passed on byte for byte as it came"
    )]
    SignatureMismatch,
    #[error("the body is not a webhook's: {0}")]
    MalformedBody(#[from] serde_json::Error),
}

impl Verifier {
    /// By the secret that is shared with the sender.
    pub fn new(secret: &Secret) -> Verifier {
        Verifier { secrets: vec![Signer::new(secret)], public_keys: Vec::new(), tolerance: DEFAULT_TOLERANCE }
    }

    /// By the sender's public key, without a secret.
    pub fn with_public_key(key: &PublicKey) -> Verifier {
        Verifier { secrets: Vec::new(), public_keys: vec![key.clone()], tolerance: DEFAULT_TOLERANCE }
    }

    /// Accepts another secret too, while one replaces the other.
    #[must_use]
    pub fn accept_also(mut self, secret: &Secret) -> Verifier {
        self.secrets.push(Signer::new(secret));
        self
    }

    /// Accepts another public key too, while one replaces the other.
    #[must_use]
    pub fn accept_also_public_key(mut self, key: &PublicKey) -> Verifier {
        self.public_keys.push(key.clone());
        self
    }

    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Verifier {
        self.tolerance = tolerance;
        self
    }

    /// Verifies a request and reads it. `headers` looks a header up by its lower-case name; `body` is the request's, byte
    /// for byte; `now_seconds` is the time since 1970.
    pub fn verify<'h>(
        &self,
        headers: impl Fn(&str) -> Option<&'h str>,
        body: &[u8],
        now_seconds: i64,
    ) -> Result<Webhook, VerifyError> {
        let required = |name| headers(name).ok_or(VerifyError::MissingHeader { name });
        let id = required(header::ID)?;
        let timestamp = number(header::TIMESTAMP, required(header::TIMESTAMP)?)?;
        let signatures = required(header::SIGNATURE)?;
        if now_seconds.abs_diff(timestamp) > self.tolerance.as_secs() {
            return Err(VerifyError::StaleTimestamp { timestamp, now: now_seconds, tolerance: self.tolerance });
        }
        self.verify_signatures(signatures, id, timestamp, body)?;
        let optional = |name| headers(name).map(|text| (name, text));
        Ok(Webhook {
            id: id.to_owned(),
            timestamp,
            revision: optional(header::REVISION).map(|(name, text)| number(name, text)).transpose()?,
            attempt: optional(header::ATTEMPT).map(|(name, text)| number(name, text)).transpose()?,
            event: Event::from_body(body)?,
        })
    }

    /// Signatures of other versions are passed over, as the standard says.
    fn verify_signatures(&self, given: &str, id: &str, timestamp: i64, body: &[u8]) -> Result<(), VerifyError> {
        let signatures = given.split(' ').filter_map(|signature| signature.split_once(','));
        let known = signatures.filter(|(version, _)| matches!(*version, "v1" | "v1a"));
        let known: Vec<_> = known.take(MOST_SIGNATURES).collect();
        if known.is_empty() {
            let allowed = "one or more of v1,<base64> or v1a,<base64>, separated by spaces";
            return Err(VerifyError::MalformedHeader { name: header::SIGNATURE, given: given.to_owned(), allowed });
        }
        let of = |wanted| known.iter().filter(move |(version, _)| *version == wanted).map(|(_, signature)| *signature);
        let mut fits = Choice::from(0);
        for signer in &self.secrets {
            let expected = STANDARD.encode(signer.message_tag(id, timestamp, body));
            for candidate in of("v1") {
                fits |= expected.as_bytes().ct_eq(candidate.as_bytes());
            }
        }
        if fits.into() {
            return Ok(());
        }
        let message = message(id, timestamp, body);
        // No constant time is needed here: a public key is no secret.
        let is_signed = self.public_keys.iter().any(|key| of("v1a").any(|candidate| key.fits(candidate, &message)));
        if is_signed { Ok(()) } else { Err(VerifyError::SignatureMismatch) }
    }
}

fn number<T: std::str::FromStr>(name: &'static str, text: &str) -> Result<T, VerifyError> {
    let allowed = "a whole number in decimal digits";
    text.parse().map_err(|_| VerifyError::MalformedHeader { name, given: text.to_owned(), allowed })
}

/// Verifies the body's own signature, as receivers written for Eppo do: over what `JSON.stringify(body.data)` prints.
///
/// It covers neither the event's type nor the time, so a captured one fits for ever. Prefer [`Verifier`].
pub fn verify_body_signature(body: &[u8], secret: &Secret) -> Result<(), VerifyError> {
    #[derive(Deserialize)]
    struct Body {
        data: Value,
        signature: String,
    }
    let Body { data, signature } = serde_json::from_slice(body)?;
    let expected = sign_data(secret, ecma::stringify(&data).as_bytes());
    if expected.as_bytes().ct_eq(signature.as_bytes()).into() { Ok(()) } else { Err(VerifyError::SignatureMismatch) }
}
