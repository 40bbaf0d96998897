//! The names of all events: those about experiments, and those about other endpoints.

use std::fmt;

use bellwether_webhook::EventType;
use serde::{Deserialize, Serialize};

/// What an event is about, by its name in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Topic {
    Experiment(EventType),
    Endpoint(EndpointEvent),
}

/// What happened to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointEvent {
    Failing,
    Disabled,
    Recovered,
}

impl EndpointEvent {
    pub const ALL: [Self; 3] = [Self::Failing, Self::Disabled, Self::Recovered];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "webhook.endpoint.failing",
            Self::Disabled => "webhook.endpoint.disabled",
            Self::Recovered => "webhook.endpoint.recovered",
        }
    }
}

impl Topic {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Experiment(event_type) => event_type.as_str(),
            Self::Endpoint(event) => event.as_str(),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        EventType::ALL.map(Self::Experiment).into_iter().chain(EndpointEvent::ALL.map(Self::Endpoint))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let event = EndpointEvent::ALL.into_iter().find(|event| event.as_str() == text);
        event.map(Self::Endpoint).or_else(|| text.parse().ok().map(Self::Experiment))
    }
}

impl schemars::JsonSchema for Topic {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Topic".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = Self::all().map(Self::as_str).collect();
        schemars::json_schema!({"description": "The name of an event.", "type": "string", "enum": names})
    }
}

impl TryFrom<String> for Topic {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::as_str).collect();
            format!("there is no event '{text}'; there are {}", known.join(", "))
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Topic> for &'static str {
    fn from(topic: Topic) -> Self {
        topic.as_str()
    }
}
