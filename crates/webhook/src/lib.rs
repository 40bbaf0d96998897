//! Bellwether's webhooks: typed events, the exact bytes that are sent, signing and verifying.
//!
//! The server signs with this crate and receivers verify with it. It does no I/O and reads no clock: the caller hands
//! in the headers, the body and the time.
//!
//! ```
//! use bellwether_webhook::{Event, Secret, Verifier};
//! # use bellwether_webhook::{Signer, body, data, header};
//! # let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
//! # let signer = Signer::new(&Secret::parse(secret)?);
//! # let data = data(42, "checkout-cta", None);
//! # let request_body = body("experiment.status.updated", &data, &signer.sign_data(data.as_bytes())).into_bytes();
//! # let now_seconds = 1_795_420_801;
//! # let signature = signer.sign_message("evt_06f2", 1_795_420_800, &request_body);
//! # let headers = std::collections::HashMap::from([
//! #     (header::ID, "evt_06f2"), (header::TIMESTAMP, "1795420800"), (header::SIGNATURE, signature.as_str()),
//! # ]);
//! let verifier = Verifier::new(&Secret::parse(secret)?);
//! let webhook = verifier.verify(|name| headers.get(name).copied(), &request_body, now_seconds)?;
//! match webhook.event {
//!     Event::Experiment(event) => println!("{} of {}", event.event_type, event.experiment_key),
//!     Event::Other { event, .. } => println!("{event}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod asymmetric;
pub mod ecma;
mod event;
mod object;
mod secret;
mod sign;
mod verify;

pub use asymmetric::{MalformedKey, PublicKey, SigningKey};
pub use event::{Event, EventType, ExperimentEvent, MetaData, RunStatus, UnknownEventType, begin_data, body, data};
pub use object::ObjectWriter;
pub use secret::{EmptySecret, Secret};
pub use sign::{Signer, sign_data, sign_message};
pub use verify::{DEFAULT_TOLERANCE, Verifier, VerifyError, Webhook, verify_body_signature};

/// The names of the headers that a webhook carries, in lower case as HTTP/2 sends them.
pub mod header {
    /// The event: the same on every attempt and resend.
    pub const ID: &str = "webhook-id";
    /// Seconds since 1970 of this attempt.
    pub const TIMESTAMP: &str = "webhook-timestamp";
    /// One or more `v1,<base64>` (shared secret) or `v1a,<base64>` (key pair), separated by spaces.
    pub const SIGNATURE: &str = "webhook-signature";
    /// The experiment's revision. Not covered by the signature.
    pub const REVISION: &str = "bellwether-revision";
    /// Which attempt this is, counted from 1. Not covered by the signature.
    pub const ATTEMPT: &str = "bellwether-attempt";
}

/// The guide's example in Rust, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/receiving.md")]
struct ReceivingGuide;
