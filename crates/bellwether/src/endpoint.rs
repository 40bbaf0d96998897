//! An endpoint: a subscribed URL, what it wants to hear and how it wants it. Its secret is apart, and never printed.

use std::time::Duration;

use bellwether_webhook::{EventType, Secret};
use serde::{Deserialize, Serialize};

use crate::address::AddressPolicy;
use crate::clock::Timestamp;
use crate::error::{FieldErrors, Refusal};
use crate::id::EndpointId;

/// Ten attempts in all: the first, and one after each of these, in seconds.
pub const DEFAULT_RETRY_SCHEDULE: [u64; 9] = [5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 36_000];
const MOST_RETRIES: usize = 30;
const LONGEST_RETRY: u64 = 36_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub url: String,
    #[serde(default)]
    pub description: String,
    /// Which types of events; empty means all.
    #[serde(default)]
    pub events: Vec<EventType>,
    #[serde(default)]
    pub format: Format,
    #[serde(default)]
    pub ordering: Ordering,
    /// Seconds from each failed attempt to the next; `[]` sends once.
    #[serde(default = "default_retry_schedule")]
    pub retry_schedule: Vec<u64>,
    /// Requests under way at once, from 1 to 256.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: u32,
}

fn default_retry_schedule() -> Vec<u64> {
    DEFAULT_RETRY_SCHEDULE.to_vec()
}

fn default_max_in_flight() -> u32 {
    8
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The upstream body, exactly.
    #[default]
    Eppo,
    /// The same, with more about the change in `data`.
    Detailed,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// An experiment's events come one after the other, in order of revision.
    #[default]
    Experiment,
    /// Each comes as soon as it can.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    Enabled,
    /// Deliveries are recorded, but not sent.
    Disabled,
    /// Kept for its deliveries' sake; never shown.
    Deleted,
}

impl EndpointState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled, Self::Deleted].into_iter().find(|state| state.as_str() == text)
    }
}

#[derive(Debug, Clone)]
pub struct Endpoint {
    pub id: EndpointId,
    pub settings: Settings,
    pub secret: Secret,
    pub state: EndpointState,
    pub disabled_reason: Option<String>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Settings {
    pub fn validate(&self, addresses: &AddressPolicy) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.text("url", &self.url, 2000);
        if let Err(reason) = addresses.vet_url(&self.url) {
            errors.add("url", reason);
        }
        errors.text("description", &self.description, 1000);
        let retries = errors.at_most("retry_schedule", &self.retry_schedule, MOST_RETRIES);
        for (i, seconds) in retries.iter().enumerate() {
            errors.check((1..=LONGEST_RETRY).contains(seconds), &format!("retry_schedule[{i}]"), || {
                format!("{seconds} was given; seconds from 1 to {LONGEST_RETRY} are allowed")
            });
        }
        let limit = self.max_in_flight;
        errors.check((1..=256).contains(&limit), "max_in_flight", || {
            format!("{limit} was given; from 1 to 256 are allowed")
        });
        errors.finish()
    }

    /// The URL without its query, which may hold a token and so is shown once, when it is given.
    pub fn shown_url(&self) -> String {
        match self.url.split_once('?') {
            Some((open, _)) => format!("{open}?[hidden]"),
            None => self.url.clone(),
        }
    }

    pub fn matches(&self, event_type: EventType) -> bool {
        self.events.is_empty() || self.events.contains(&event_type)
    }

    /// How long after the `failed`-th failed attempt the next is due, before jitter; `None` after the last.
    pub fn retry_after(&self, failed: u32) -> Option<Duration> {
        let index = usize::try_from(failed).ok()?.checked_sub(1)?;
        self.retry_schedule.get(index).copied().map(Duration::from_secs)
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

    fn settings(json: serde_json::Value) -> Result<Settings, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn no_types_mean_all_and_unknown_ones_are_refused_with_the_known() {
        let all = settings(serde_json::json!({"url": "https://example.com"})).unwrap();
        assert!(EventType::ALL.iter().all(|event_type| all.matches(*event_type)));
        let one = settings(serde_json::json!({"url": "https://example.com", "events": ["experiment.status.updated"]}))
            .unwrap();
        assert_eq!(EventType::ALL.iter().filter(|event_type| one.matches(**event_type)).count(), 1);
        let error = settings(serde_json::json!({"url": "https://example.com", "events": ["experiment.flag.updated"]}))
            .unwrap_err();
        assert!(error.to_string().contains("experiment.status.updated"), "{error}");
    }

    #[test]
    fn too_many_retries_are_one_error() {
        let retries = vec![0_u64; 100_000];
        let many = settings(serde_json::json!({"url": "https://example.com", "retry_schedule": retries})).unwrap();
        let Refusal::Invalid(errors) = many.validate(&AddressPolicy::default()).unwrap_err() else {
            panic!("another refusal")
        };
        assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["retry_schedule"]);
    }

    #[test]
    fn a_query_is_not_shown() {
        let settings = settings(serde_json::json!({"url": "https://example.com/a?token=x?y"})).unwrap();
        assert_eq!(settings.shown_url(), "https://example.com/a?[hidden]");
    }

    #[test]
    fn the_schedule_ends() {
        let settings = settings(serde_json::json!({"url": "https://example.com", "retry_schedule": [1, 60]})).unwrap();
        assert_eq!(settings.retry_after(1), Some(Duration::from_secs(1)));
        assert_eq!(settings.retry_after(2), Some(Duration::from_secs(60)));
        assert_eq!(settings.retry_after(3), None);
    }
}
