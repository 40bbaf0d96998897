//! An endpoint: a subscribed URL, what it wants to hear and how it wants it. Its secret is apart, and never printed.

mod body_format;
mod hidden;
mod own_tls;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_webhook::{ObjectWriter, Secret, Signer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::AddressPolicy;
use super::clock::Timestamp;
use super::error::{FieldError, FieldErrors, Refusal};
use super::event::{Event, NO_EXPERIMENT};
use super::filter::{Clause, Facts, Filter};
use super::hidden::HIDDEN;
use super::id::{EndpointId, EventId};
use super::schema;
use super::sentence::Sentence;
use super::signing::Signing;
use super::topic::{EndpointEvent, Topic};
pub use body_format::{BodyFormat, CHAT_RATE};
pub use own_tls::OwnTls;

/// Ten attempts in all: the first, and one after each of these, in seconds.
pub const DEFAULT_RETRY_SCHEDULE: [u64; 9] = [5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 36_000];
const MOST_RETRIES: usize = 30;
/// The longest time from an attempt to the next, jitter left aside.
pub const LONGEST_RETRY: Duration = Duration::from_hours(10);
const LONGEST_HOLD: u64 = 60;
const MOST_HEADERS: usize = 20;
const LONGEST_HEADER: usize = 4096;
/// Headers that the request itself sets, or that would change what it means.
const RESERVED_HEADERS: [&str; 15] = [
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "user-agent",
    "accept-encoding",
    "proxy-authorization",
    "proxy-connection",
];
const RESERVED_PREFIXES: [&str; 2] = ["webhook-", "bellwether-"];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Endpoint")]
pub struct Settings {
    #[schemars(length(max = 2000), extend("format" = "uri"))]
    pub url: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<1000>")]
    pub description: String,
    /// Which events; empty means all of experiments. Those about other endpoints are named, or not sent.
    #[serde(default)]
    pub events: Vec<Topic>,
    #[serde(default)]
    pub filter: Filter,
    #[serde(default)]
    pub format: BodyFormat,
    #[serde(default)]
    pub ordering: Ordering,
    /// Seconds from each failed attempt to the next; `[]` sends once.
    #[serde(default = "default_retry_schedule")]
    #[schemars(length(max = MOST_RETRIES), inner(range(min = 1, max = 36_000)))]
    pub retry_schedule: Vec<u64>,
    /// Requests under way at once, from 1 to 256.
    #[serde(default = "default_max_in_flight")]
    #[schemars(range(min = 1, max = 256))]
    pub max_in_flight: u32,
    /// Requests a second; null is no limit but that of requests under way.
    #[serde(default)]
    #[schemars(range(min = 0.01, max = 100_000))]
    pub rate_limit: Option<f64>,
    /// For how long a failing delivery holds back its experiment's later ones, in seconds.
    #[serde(default = "default_hold_seconds")]
    #[schemars(range(max = LONGEST_HOLD))]
    pub hold_seconds: u64,
    /// Sent along with every request. Values may be tokens, and are not shown again.
    #[serde(default)]
    #[schemars(extend("maxProperties" = MOST_HEADERS))]
    pub headers: BTreeMap<String, String>,
    /// Certificates of its own, in place of the installation's. Never shown again.
    #[serde(default)]
    pub tls: Option<OwnTls>,
    /// Whether a signature by an Ed25519 key (`v1a`) stands beside the one by the secret.
    #[serde(default)]
    pub asymmetric_signature: bool,
}

/// Tells whether webhooks can be made and sent as an endpoint is stored, by making all that sending needs.
pub trait Sendable: Send + Sync + 'static {
    /// What stands in the way; the field is one of the endpoint's.
    fn problem(&self, settings: &Settings, signing: &Signing) -> Option<FieldError>;
}

fn default_retry_schedule() -> Vec<u64> {
    DEFAULT_RETRY_SCHEDULE.to_vec()
}

fn default_max_in_flight() -> u32 {
    8
}

fn default_hold_seconds() -> u64 {
    LONGEST_HOLD
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    pub signing: Signing,
    pub state: EndpointState,
    pub disabled_reason: Option<String>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Endpoint {
    /// An event about it, for other endpoints.
    pub fn event(
        &self,
        id: EventId,
        endpoint_event: EndpointEvent,
        revision: i64,
        reason: &str,
        now: Timestamp,
    ) -> Event {
        let mut data = ObjectWriter::begin();
        data.string("endpoint_id", &self.id.to_string());
        data.string("endpoint_description", &self.settings.description);
        data.string("reason", reason);
        data.string("occurred_at", &now.to_string());
        let data = data.finish();
        Event {
            id,
            experiment_id: NO_EXPERIMENT,
            revision,
            topic: Topic::Endpoint(endpoint_event),
            occurred_at: now,
            detailed: data.clone(),
            data,
        }
    }

    /// The exact body of a webhook that carries `event`; `None` if the secret cannot be used. Sentences link to `links`.
    pub fn body_of(&self, event: &Event, links: Option<&str>) -> Option<String> {
        if let Some(chat) = self.settings.format.chat() {
            return Some(chat.body(&Sentence::of(event.topic.as_str(), &event.detailed), links));
        }
        let secret = Secret::parse(&self.signing.current.secret).ok()?;
        let data = event.data_in(self.settings.format.of_event());
        let signature = Signer::new(&secret).sign_data(data.as_bytes());
        Some(bellwether_webhook::body(event.topic.as_str(), data, &signature))
    }
}

fn header_field(name: &str) -> String {
    format!("headers.{}", name.chars().take(50).collect::<String>())
}

impl Settings {
    /// Of an endpoint that wants every event of experiments, and of which nothing else is known.
    pub fn of_all_events() -> Self {
        Self {
            url: String::new(),
            description: String::new(),
            events: Vec::new(),
            filter: Filter::default(),
            format: BodyFormat::default(),
            ordering: Ordering::default(),
            retry_schedule: default_retry_schedule(),
            max_in_flight: default_max_in_flight(),
            rate_limit: None,
            hold_seconds: default_hold_seconds(),
            headers: BTreeMap::new(),
            tls: None,
            asymmetric_signature: false,
        }
    }

    pub fn validate(&self, addresses: &AddressPolicy) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.text("url", &self.url, 2000);
        if let Err(reason) = addresses.vet_url(&self.url) {
            errors.add("url", reason);
        }
        errors.text("description", &self.description, 1000);
        let retries = errors.at_most("retry_schedule", &self.retry_schedule, MOST_RETRIES);
        for (i, seconds) in retries.iter().enumerate() {
            let longest = LONGEST_RETRY.as_secs();
            errors.check((1..=longest).contains(seconds), &format!("retry_schedule[{i}]"), || {
                format!("{seconds} was given; seconds from 1 to {longest} are allowed")
            });
        }
        let limit = self.max_in_flight;
        errors.check((1..=256).contains(&limit), "max_in_flight", || {
            format!("{limit} was given; from 1 to 256 are allowed")
        });
        if let Some(rate) = self.rate_limit {
            errors.check((0.01..=100_000.0).contains(&rate), "rate_limit", || {
                format!("{rate} was given; requests a second from 0.01 to 100000 are allowed, or null for no limit")
            });
        }
        let hold = self.hold_seconds;
        errors.check(hold <= LONGEST_HOLD, "hold_seconds", || {
            format!("{hold} was given; seconds from 0 to {LONGEST_HOLD} are allowed")
        });
        self.filter.validate(&mut errors);
        self.validate_headers(&mut errors);
        if let Some(tls) = &self.tls {
            tls.validate(&mut errors);
        }
        errors.finish()
    }

    fn validate_headers(&self, errors: &mut FieldErrors) {
        let count = self.headers.len();
        errors.check(count <= MOST_HEADERS, "headers", || {
            format!("{count} were given; at most {MOST_HEADERS} are allowed")
        });
        for (name, value) in self.headers.iter().take(MOST_HEADERS) {
            let field = header_field(name);
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let is_name = (1..=100).contains(&name.len()) && name.bytes().all(is_token);
            errors.check(is_name, &field, || {
                "this cannot be a header's name; letters, digits and -_. are allowed, at most 100".to_owned()
            });
            let lower = name.to_ascii_lowercase();
            let is_reserved = RESERVED_HEADERS.contains(&lower.as_str())
                || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
            errors.check(!is_reserved, &field, || "Bellwether sets this header itself; choose another".to_owned());
            let is_twice = self.headers.keys().filter(|other| other.eq_ignore_ascii_case(name)).count() > 1;
            errors.check(!is_twice, &field, || "the name is given twice; case does not count in headers".to_owned());
            let is_value = value.len() <= LONGEST_HEADER && value.bytes().all(|byte| (32..127).contains(&byte));
            errors.check(is_value, &field, || {
                format!(
                    "the value cannot be sent; at most {LONGEST_HEADER} visible ASCII characters and spaces are allowed"
                )
            });
            errors.check(value.trim() == value, &field, || {
                "the value begins or ends with a space, which receivers drop; give it without".to_owned()
            });
            errors.check(!value.contains(HIDDEN), &field, || {
                format!("{HIDDEN} stands for a part of a value that is stored; give the value whole")
            });
        }
    }

    /// The first clause of what it wants to hear that `facts` do not meet; `None`: it wants them.
    pub fn unmet_by(&self, facts: &Facts<'_>) -> Option<Clause> {
        let is_among = match facts.topic {
            Topic::Experiment(_) if self.events.is_empty() => true,
            topic => self.events.contains(&topic),
        };
        if is_among { self.filter.unmet_by(facts) } else { Some(Clause::Events) }
    }

    /// For how long a failing delivery holds back its experiment's later ones.
    pub fn hold(&self) -> Duration {
        Duration::from_secs(self.hold_seconds)
    }

    /// How long after the `failed`-th failed attempt the next is due, before jitter; `None` after the last.
    pub fn retry_after(&self, failed: u32) -> Option<Duration> {
        let index = usize::try_from(failed).ok()?.checked_sub(1)?;
        self.retry_schedule.get(index).copied().map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use bellwether_webhook::EventType;

    use super::*;
    use crate::domain::topic::EndpointEvent;

    fn settings(json: serde_json::Value) -> Result<Settings, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn no_types_mean_all_and_unknown_ones_are_refused_with_the_known() {
        let wants = |settings: &Settings, topic| {
            settings.unmet_by(&Facts { topic, experiment_key: "k", tags: &[], entity_id: None, run: None }).is_none()
        };
        let count = |settings: &Settings| {
            EventType::ALL.iter().filter(|event_type| wants(settings, Topic::Experiment(**event_type))).count()
        };
        let all = settings(serde_json::json!({"url": "https://example.com"})).unwrap();
        assert_eq!(count(&all), EventType::ALL.len());
        assert!(!wants(&all, Topic::Endpoint(EndpointEvent::Failing)), "those about endpoints are opted in to");
        let some = serde_json::json!(["experiment.status.updated", "webhook.endpoint.failing"]);
        let some = settings(serde_json::json!({"url": "https://example.com", "events": some})).unwrap();
        assert_eq!(count(&some), 1);
        assert!(wants(&some, Topic::Endpoint(EndpointEvent::Failing)));
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
    fn headers_that_the_request_sets_itself_are_refused() {
        let with = |name: &str, value: &str| {
            let url = "https://example.com";
            let settings = settings(serde_json::json!({"url": url, "headers": {name: value}})).unwrap();
            settings.validate(&AddressPolicy::default())
        };
        assert!(with("Authorization", "Bearer x").is_ok());
        for (name, value) in [
            ("Webhook-Id", "x"),
            ("bellwether-x", "x"),
            ("HOST", "x"),
            ("a b", "x"),
            ("", "x"),
            ("x", "a\nb"),
            ("x", "ü"),
        ] {
            assert!(with(name, value).is_err(), "{name}: {value}");
        }
        let twice = serde_json::json!({"url": "https://example.com", "headers": {"X-A": "1", "x-a": "2"}});
        assert!(
            settings(twice).unwrap().validate(&AddressPolicy::default()).unwrap_err().to_string().contains("twice")
        );
    }

    #[test]
    fn the_schedule_ends() {
        let settings = settings(serde_json::json!({"url": "https://example.com", "retry_schedule": [1, 60]})).unwrap();
        assert_eq!(settings.retry_after(1), Some(Duration::from_secs(1)));
        assert_eq!(settings.retry_after(2), Some(Duration::from_secs(60)));
        assert_eq!(settings.retry_after(3), None);
    }
}
