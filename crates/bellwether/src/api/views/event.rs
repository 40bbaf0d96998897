//! An event with the exact bytes of its `data`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::FieldChange;
use crate::domain::event::{Event, Format};
use crate::domain::id::{EventId, ExperimentId};
use crate::domain::topic::Topic;
use crate::store::StoreError;

#[derive(Debug, Serialize, JsonSchema)]
pub struct EventView {
    id: EventId,
    /// Its place in the log, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    event: Topic,
    experiment_id: ExperimentId,
    revision: i64,
    occurred_at: Timestamp,
    /// Exactly the bytes that receivers get.
    #[schemars(with = "EventData")]
    data: Box<RawValue>,
}

/// What an event tells, as the description has it: the bytes themselves are made once, by `domain::event`.
#[derive(JsonSchema)]
#[schemars(
    description = "What an event tells. What follows `meta_data` comes to endpoints with `format: detailed` alone."
)]
#[expect(dead_code, reason = "it is there for its schema alone")]
pub struct EventData {
    experiment_id: ExperimentId,
    experiment_key: String,
    /// Of `experiment.calculated_metrics.updated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    meta_data: Option<RunData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor>,
    /// At most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<FieldChange>>,
    /// `changes` would have had more.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    /// The run, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<serde_json::Map<String, serde_json::Value>>,
}

/// How a run ended.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is there for its schema alone")]
struct RunData {
    #[schemars(extend("enum" = ["success", "failure"]))]
    status: String,
    /// Somebody asked for the run; it was not on schedule.
    is_manual_refresh: bool,
    /// The published results differ from the previous ones.
    is_data_updated: bool,
    /// To the millisecond.
    #[schemars(range(min = 0))]
    time_taken_seconds: f64,
    /// The subjects are not spread over the variations as the weights say.
    is_traffic_imbalance: bool,
    /// The first day in UTC that was scanned.
    #[schemars(extend("format" = "date"))]
    assignments_scan_start_date: String,
    /// The last one.
    #[schemars(extend("format" = "date"))]
    assignments_scan_end_date: String,
}

impl EventView {
    pub fn of(event: &Event, cursor: Option<i64>, format: Format) -> Result<Self, StoreError> {
        let data = RawValue::from_string(event.data_in(format).to_owned());
        Ok(Self {
            id: event.id,
            cursor: cursor.map(|cursor| cursor.to_string()),
            event: event.topic,
            experiment_id: event.experiment_id,
            revision: event.revision,
            occurred_at: event.occurred_at,
            data: data.map_err(|error| StoreError::Failed(format!("the data of {} is damaged: {error}", event.id)))?,
        })
    }
}
