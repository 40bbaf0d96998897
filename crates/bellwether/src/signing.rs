//! What an endpoint's webhooks are signed with, and how that is changed. Pure: fresh randomness is handed in.
//!
//! Rotation is two steps, and nothing is promoted by time: a receiver that has not learnt the new secret yet must go on
//! verifying. From `rotate`: the headers by old and new, the body by the old one. From `promote`: the body by the new one,
//! the headers by both for a day more.

use std::time::Duration;

use bellwether_webhook::Secret;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Conflict, Refusal};

/// How long the headers go on with the old secret after a promotion.
pub const OVERLAP: Duration = Duration::from_hours(24);

/// A secret, and the seed of an Ed25519 key where the endpoint asks for such signatures.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// As shown.
    pub secret: String,
    #[serde(default)]
    pub seed: Option<[u8; 32]>,
}

/// Never prints a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    pub current: Keys,
    /// Of a rotation that is not promoted yet.
    #[serde(default)]
    pub next: Option<Keys>,
    /// Replaced by a promotion, and in the headers until then.
    #[serde(default)]
    pub previous: Option<(Keys, Timestamp)>,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signing(redacted)")
    }
}

impl Keys {
    /// With the user's own secret, or one made from `fresh`.
    pub fn from(given: Option<&str>, fresh: [u8; 32], seed: Option<[u8; 32]>) -> Result<Self, Refusal> {
        Ok(Self { secret: secret_from(given, fresh)?.text().to_owned(), seed })
    }
}

impl Signing {
    pub fn with(current: Keys) -> Self {
        Self { current, next: None, previous: None }
    }

    /// What the headers are signed by, each with the moment from which it signs no more.
    pub fn in_headers(&self) -> impl Iterator<Item = (&Keys, Option<Timestamp>)> {
        let previous = self.previous.iter().map(|(keys, until)| (keys, Some(*until)));
        [&self.current].into_iter().chain(&self.next).map(|keys| (keys, None)).chain(previous)
    }

    /// Opens a rotation to `next`.
    pub fn rotate(&self, next: Keys) -> Result<Self, Refusal> {
        if self.next.is_some() {
            let detail =
                "a rotation is open already; promote its secret first, or replace both with {\"immediate\":true}";
            return Err(Refusal::conflict(Conflict::State, detail));
        }
        if next.secret == self.current.secret {
            return Err(Refusal::invalid(
                "secret",
                "this is the secret that is in force; give another, or leave it out",
            ));
        }
        Ok(Self { next: Some(next), ..self.clone() })
    }

    /// Ends a rotation: its secret signs the body from now on.
    pub fn promote(&self, now: Timestamp) -> Result<Self, Refusal> {
        let Some(next) = self.next.clone() else {
            return Err(Refusal::conflict(Conflict::State, "there is no open rotation to promote; rotate first"));
        };
        Ok(Self { current: next, next: None, previous: Some((self.current.clone(), now.plus(OVERLAP))) })
    }
}

/// A user's secret: their own text, from 8 to 500 characters, or made from `fresh`.
pub fn secret_from(given: Option<&str>, fresh: [u8; 32]) -> Result<Secret, Refusal> {
    let Some(text) = given else {
        return Secret::from_bytes(&fresh[..24]).map_err(|error| Refusal::invalid("secret", error.to_string()));
    };
    let length = text.chars().count();
    if !(8..=500).contains(&length) || text.contains('\0') {
        return Err(Refusal::invalid(
            "secret",
            format!(
                "{length} characters were given; from 8 to 500 are allowed, without U+0000; leave it out to have one made"
            ),
        ));
    }
    Secret::parse(text).map_err(|error| Refusal::invalid("secret", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str) -> Keys {
        Keys { secret: secret.to_owned(), seed: None }
    }

    fn in_headers(signing: &Signing, now: Timestamp) -> Vec<&str> {
        let is_in_force = |until: Option<Timestamp>| until.is_none_or(|until| now < until);
        signing.in_headers().filter(|(_, until)| is_in_force(*until)).map(|(keys, _)| keys.secret.as_str()).collect()
    }

    #[test]
    fn rotation_takes_two_steps_and_a_day() {
        let now = Timestamp::from_micros(0);
        let signing = Signing::with(keys("old"));
        assert_eq!(in_headers(&signing, now), ["old"]);
        assert!(signing.promote(now).is_err());
        let rotating = signing.rotate(keys("new")).unwrap();
        assert_eq!((rotating.current.secret.as_str(), in_headers(&rotating, now)), ("old", vec!["old", "new"]));
        assert!(rotating.rotate(keys("newer")).is_err(), "one at a time");
        let promoted = rotating.promote(now).unwrap();
        assert_eq!((promoted.current.secret.as_str(), in_headers(&promoted, now)), ("new", vec!["new", "old"]));
        assert_eq!(in_headers(&promoted, now.plus(OVERLAP)), ["new"]);
        let again = promoted.rotate(keys("newer")).unwrap();
        assert_eq!(in_headers(&again, now), ["new", "newer", "old"]);
    }

    #[test]
    fn rotating_to_the_same_secret_is_refused() {
        assert!(Signing::with(keys("same")).rotate(keys("same")).is_err());
    }
}
