//! What an endpoint's webhooks are signed with, and how that is changed. Pure: fresh randomness is handed in.
//!
//! Rotation is two steps, and nothing is promoted by time: a receiver that has not learnt the new secret yet must go on
//! verifying. From `rotate`: the headers by old and new, the body by the old one. From `promote`: the body by the new one,
//! the headers by both for a day more.

use std::time::Duration;

use bellwether_webhook::Secret;
use serde::{Deserialize, Deserializer, Serialize};

use super::clock::Timestamp;
use super::error::{Conflict, Refusal};
use super::hidden::HIDDEN;

/// How long the headers go on with the old secret after a promotion.
pub const OVERLAP: Duration = Duration::from_hours(24);

/// Replaced secrets that may sign the headers at a time.
const MOST_PREVIOUS: usize = 8;

/// Earlier versions kept only the last that was replaced.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Keys, Timestamp)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Many(Vec<(Keys, Timestamp)>),
        One(Option<(Keys, Timestamp)>),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Many(many) => many,
        Stored::One(one) => one.into_iter().collect(),
    })
}

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
    /// Replaced by promotions, each in the headers until then; the latest is the last.
    #[serde(default, deserialize_with = "one_or_many")]
    pub previous: Vec<(Keys, Timestamp)>,
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
        Self { current, next: None, previous: Vec::new() }
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
        let mut previous: Vec<_> = self.previous.iter().filter(|(_, until)| *until > now).cloned().collect();
        if previous.len() >= MOST_PREVIOUS {
            let detail = format!(
                "{MOST_PREVIOUS} secrets were replaced within a day, and all of them still sign the headers; wait, or \
                 rotate with {{\"immediate\":true}}, which ends them all"
            );
            return Err(Refusal::conflict(Conflict::State, detail));
        }
        previous.push((self.current.clone(), now.plus(OVERLAP)));
        Ok(Self { current: next, next: None, previous })
    }
}

const STANDARD_PREFIX: &str = "whsec_";
/// The least that a text of the user's own has, and what it should have.
const SHORTEST_OWN: usize = 8;
const LONG_ENOUGH: usize = 16;

/// A user's secret: one of Standard Webhooks, or a text of their own; or made from `fresh`.
pub fn secret_from(given: Option<&str>, fresh: [u8; 32]) -> Result<Secret, Refusal> {
    let Some(text) = given else {
        return Secret::from_bytes(&fresh[..24]).map_err(|error| Refusal::invalid("secret", error.to_string()));
    };
    let secret = Secret::parse(text).map_err(|error| Refusal::invalid("secret", error.to_string()))?;
    check_given(text, &secret).map_err(|reason| Refusal::invalid("secret", reason))?;
    Ok(secret)
}

/// Refuses what a receiver would read otherwise than we do. Nothing is trimmed: both sides must have the same text.
fn check_given(text: &str, secret: &Secret) -> Result<(), String> {
    let length = text.chars().count();
    if text.contains(HIDDEN) {
        return Err(format!(
            "{HIDDEN} stands for what is not shown; give the secret itself, or leave it out to have one made"
        ));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        let what = "a blank at an end, or a line break or another control character";
        return Err(format!("it has {what}; paste the secret alone, as it was shown"));
    }
    if text.starts_with(STANDARD_PREFIX) {
        let bytes = secret.key().len();
        if secret.standard_form() != text {
            return Err(format!(
                "what follows '{STANDARD_PREFIX}' is not base64 in its standard form, with + / and padding by =; paste \
                 the secret whole, as it was shown, or leave it out to have one made"
            ));
        }
        if !(16..=64).contains(&bytes) {
            return Err(format!("its key has {bytes} bytes; from 16 to 64 are allowed; leave it out to have one made"));
        }
    } else if !(SHORTEST_OWN..=500).contains(&length) {
        return Err(format!(
            "{length} characters were given; from {SHORTEST_OWN} to 500 are allowed; leave it out to have one made"
        ));
    }
    Ok(())
}

/// What is to be said of a secret that was accepted.
pub fn warning(secret: &str) -> Option<String> {
    let length = secret.chars().count();
    (length < LONG_ENOUGH).then(|| {
        format!("the secret has {length} characters; with fewer than {LONG_ENOUGH} it may be guessed: rotate to a longer one, or leave it out to have one made")
    })
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
        let later = now.plus(OVERLAP / 2);
        let twice = again.promote(later).unwrap();
        assert_eq!(in_headers(&twice, later), ["newer", "old", "new"], "each has its day");
        assert_eq!(in_headers(&twice, now.plus(OVERLAP)), ["newer", "new"]);
        let third = twice.rotate(keys("newest")).unwrap().promote(now.plus(OVERLAP)).unwrap();
        assert_eq!(third.previous.len(), 2, "what has had its day is forgotten");
    }

    #[test]
    fn replaced_secrets_are_bounded_and_read_as_they_were_stored_before() {
        let now = Timestamp::from_micros(0);
        let mut signing = Signing::with(keys("0"));
        for turn in 1..=MOST_PREVIOUS {
            signing = signing.rotate(keys(&turn.to_string())).unwrap().promote(now).unwrap();
        }
        assert!(signing.rotate(keys("more")).unwrap().promote(now).unwrap_err().to_string().contains("immediate"));
        let read = |text: &str| serde_json::from_str::<Signing>(text).unwrap().previous.len();
        let stored = serde_json::to_string(&signing).unwrap();
        assert_eq!(read(&stored), MOST_PREVIOUS);
        let key = r#"{"secret":"s","seed":null}"#;
        assert_eq!(read(&format!(r#"{{"current":{key},"previous":[{key},"2026-01-01T00:00:00Z"]}}"#)), 1);
        assert_eq!(read(&format!(r#"{{"current":{key},"previous":null}}"#)), 0);
        assert_eq!(read(&format!(r#"{{"current":{key}}}"#)), 0);
    }

    #[test]
    fn a_secret_that_a_receiver_would_read_otherwise_is_refused() {
        let given = |text: &str| secret_from(Some(text), [0; 32]).map(|secret| secret.text().to_owned());
        for text in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "hunter22", "my shared secret", "ünïcödé text"] {
            assert_eq!(given(text).unwrap(), text);
        }
        for text in [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
            " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZg",
            "whsec_-_KQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_!!!!",
            "whsec_YQ==",
            "whsec_YWJj",
            "whsec_",
            "        ",
            "short",
            "a\0bcdefgh",
        ] {
            assert!(given(text).is_err(), "{text:?}");
        }
        assert!(warning("hunter22").is_some() && warning("a text that is long enough").is_none());
    }

    #[test]
    fn rotating_to_the_same_secret_is_refused() {
        assert!(Signing::with(keys("same")).rotate(keys("same")).is_err());
    }
}
