//! What a webhook says: the events of experiments, and the exact bytes of `data` and of the body.
//!
//! The order of the properties is part of the contract, for the body's signature covers the bytes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Map, Value};

use crate::{ObjectWriter, ecma};

/// What happened to an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum EventType {
    MetricUpdated,
    ConfigurationUpdated,
    StatusUpdated,
    CalculatedMetricsUpdated,
}

impl EventType {
    pub const ALL: [EventType; 4] = [
        EventType::MetricUpdated,
        EventType::ConfigurationUpdated,
        EventType::StatusUpdated,
        EventType::CalculatedMetricsUpdated,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            EventType::MetricUpdated => "experiment.metric.updated",
            EventType::ConfigurationUpdated => "experiment.configuration.updated",
            EventType::StatusUpdated => "experiment.status.updated",
            EventType::CalculatedMetricsUpdated => "experiment.calculated_metrics.updated",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<EventType> for &'static str {
    fn from(event_type: EventType) -> &'static str {
        event_type.as_str()
    }
}

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<EventType, UnknownEventType> {
        let found = EventType::ALL.into_iter().find(|event_type| event_type.as_str() == text);
        found.ok_or_else(|| UnknownEventType { given: text.to_owned() })
    }
}

impl TryFrom<String> for EventType {
    type Error = UnknownEventType;

    fn try_from(text: String) -> Result<EventType, UnknownEventType> {
        text.parse()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type {given:?}; the event types are {}", EventType::ALL.map(EventType::as_str).join(", "))]
pub struct UnknownEventType {
    pub given: String,
}

/// How a run of the data pipeline ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Success,
    Failure,
}

impl RunStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            RunStatus::Success => "success",
            RunStatus::Failure => "failure",
        }
    }
}

/// What `experiment.calculated_metrics.updated` says of the run that ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MetaData {
    pub status: RunStatus,
    pub is_manual_refresh: bool,
    /// The published results differ from the previous ones.
    pub is_data_updated: bool,
    #[serde(rename = "time_taken_seconds", deserialize_with = "milliseconds")]
    pub time_taken_ms: u64,
    pub is_traffic_imbalance: bool,
    /// `YYYY-MM-DD`, the first UTC day that was read.
    pub assignments_scan_start_date: String,
    /// `YYYY-MM-DD`, the last UTC day that was read, inclusive.
    pub assignments_scan_end_date: String,
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if seconds < 0.0 {
        return Err(D::Error::custom(format_args!("time_taken_seconds is {seconds}, and must not be negative")));
    }
    Ok((seconds * 1000.0).round() as u64)
}

/// The event that a webhook carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Experiment(ExperimentEvent),
    /// `webhook.ping`, and whatever later versions send.
    Other {
        event: String,
        data: Value,
    },
}

/// A change of one experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentEvent {
    pub event_type: EventType,
    pub experiment_id: u64,
    pub experiment_key: String,
    /// Always there on [`EventType::CalculatedMetricsUpdated`], and only there.
    pub meta_data: Option<MetaData>,
    /// What the format `detailed` adds: `revision`, `occurred_at`, `actor`, `changes`, `run`.
    pub details: Map<String, Value>,
}

#[derive(Deserialize)]
struct Body {
    event: String,
    data: Value,
}

#[derive(Deserialize)]
struct ExperimentData {
    experiment_id: u64,
    experiment_key: String,
    meta_data: Option<MetaData>,
    #[serde(flatten)]
    details: Map<String, Value>,
}

impl Event {
    /// Reads a body that has been verified.
    pub(crate) fn from_body(body: &[u8]) -> Result<Event, serde_json::Error> {
        let Body { event, data } = serde_json::from_slice(body)?;
        let Ok(event_type) = event.parse::<EventType>() else {
            return Ok(Event::Other { event, data });
        };
        let ExperimentData { experiment_id, experiment_key, meta_data, details } = serde_json::from_value(data)?;
        if meta_data.is_none() && event_type == EventType::CalculatedMetricsUpdated {
            return Err(serde_json::Error::missing_field("meta_data"));
        }
        Ok(Event::Experiment(ExperimentEvent { event_type, experiment_id, experiment_key, meta_data, details }))
    }
}

/// The exact bytes of `data` in the format `eppo`.
///
/// ```
/// let data = bellwether_webhook::data(42, "checkout-cta", None);
/// assert_eq!(data, r#"{"experiment_id":42,"experiment_key":"checkout-cta"}"#);
/// ```
pub fn data(experiment_id: u64, experiment_key: &str, meta_data: Option<&MetaData>) -> String {
    begin_data(experiment_id, experiment_key, meta_data).finish()
}

/// The same, left open for the properties that the format `detailed` adds.
pub fn begin_data(experiment_id: u64, experiment_key: &str, meta_data: Option<&MetaData>) -> ObjectWriter {
    let mut data = ObjectWriter::begin();
    data.integer("experiment_id", experiment_id).string("experiment_key", experiment_key);
    if let Some(meta_data) = meta_data {
        let mut object = ObjectWriter::begin();
        object
            .string("status", meta_data.status.as_str())
            .bool("is_manual_refresh", meta_data.is_manual_refresh)
            .bool("is_data_updated", meta_data.is_data_updated)
            .number("time_taken_seconds", meta_data.time_taken_ms as f64 / 1000.0)
            .bool("is_traffic_imbalance", meta_data.is_traffic_imbalance)
            .string("assignments_scan_start_date", &meta_data.assignments_scan_start_date)
            .string("assignments_scan_end_date", &meta_data.assignments_scan_end_date);
        data.raw("meta_data", &object.finish());
    }
    data
}

/// The exact bytes of the body. `data` stands in it as it is, for it is what was signed.
pub fn body(event: &str, data: &str, signature_hex: &str) -> String {
    let mut body = String::with_capacity(event.len() + data.len() + signature_hex.len() + 40);
    body.push_str("{\"event\":");
    ecma::write_string(&mut body, event);
    body.push_str(",\"data\":");
    body.push_str(data);
    body.push_str(",\"signature\":");
    ecma::write_string(&mut body, signature_hex);
    body.push('}');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta_data(time_taken_ms: u64) -> MetaData {
        MetaData {
            status: RunStatus::Failure,
            is_manual_refresh: true,
            is_data_updated: false,
            time_taken_ms,
            is_traffic_imbalance: true,
            assignments_scan_start_date: "2026-11-01".into(),
            assignments_scan_end_date: "2026-11-23".into(),
        }
    }

    #[test]
    fn data_stands_in_the_order_of_the_contract() {
        let expected = r#"{"experiment_id":7,"experiment_key":"a\"b","meta_data":{"status":"failure","is_manual_refresh":true,"is_data_updated":false,"time_taken_seconds":12.34,"is_traffic_imbalance":true,"assignments_scan_start_date":"2026-11-01","assignments_scan_end_date":"2026-11-23"}}"#;
        assert_eq!(data(7, "a\"b", Some(&meta_data(12_340))), expected);
    }

    #[test]
    fn seconds_come_back_as_the_milliseconds_that_were_sent() {
        for ms in [0, 1, 999, 1000, 12_000, 12_340, 86_400_001, 1 << 50] {
            let sent = data(1, "k", Some(&meta_data(ms)));
            let read: ExperimentData = serde_json::from_str(&sent).unwrap();
            assert_eq!(read.meta_data.unwrap(), meta_data(ms));
        }
    }

    #[test]
    fn later_properties_follow_and_are_read_as_details() {
        let mut writer = begin_data(1, "k", None);
        writer.integer("revision", 3);
        let sent = body("experiment.status.updated", &writer.finish(), "00");
        assert_eq!(
            sent,
            r#"{"event":"experiment.status.updated","data":{"experiment_id":1,"experiment_key":"k","revision":3},"signature":"00"}"#
        );
        let Event::Experiment(event) = Event::from_body(sent.as_bytes()).unwrap() else {
            panic!("not an experiment's")
        };
        assert_eq!(event.event_type, EventType::StatusUpdated);
        assert_eq!(event.details["revision"], 3);
        assert_eq!(event.details.len(), 1);
    }

    #[test]
    fn calculated_metrics_without_meta_data_are_refused() {
        let sent = body("experiment.calculated_metrics.updated", &data(1, "k", None), "00");
        assert!(Event::from_body(sent.as_bytes()).unwrap_err().to_string().contains("meta_data"));
    }

    #[test]
    fn a_negative_duration_is_refused() {
        let sent = data(1, "k", Some(&meta_data(1000))).replace("_seconds\":1,", "_seconds\":-1,");
        assert!(serde_json::from_str::<ExperimentData>(&sent).is_err());
    }

    #[test]
    fn event_types_go_to_text_and_back() {
        for event_type in EventType::ALL {
            assert_eq!(event_type.as_str().parse(), Ok(event_type));
            assert_eq!(serde_json::to_value(event_type).unwrap(), event_type.as_str());
        }
        let refused = "experiment.deleted".parse::<EventType>().unwrap_err().to_string();
        assert!(refused.contains("experiment.deleted") && refused.contains("experiment.metric.updated"), "{refused}");
    }
}
