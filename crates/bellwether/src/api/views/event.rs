//! An event with the exact bytes of its `data`.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::clock::Timestamp;
use crate::domain::event::{Event, Format};
use crate::domain::id::{EventId, ExperimentId};
use crate::domain::topic::Topic;
use crate::store::StoreError;

#[derive(Debug, Serialize)]
pub struct EventView {
    id: EventId,
    /// Its place in the log, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    event: Topic,
    experiment_id: ExperimentId,
    revision: i64,
    occurred_at: Timestamp,
    data: Box<RawValue>,
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
