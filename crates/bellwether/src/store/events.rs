//! Events. One is written with its change and never edited. Its place in the log is `event_log`'s.

use serde::{Deserialize, Serialize};

use super::engine::value::to_json;
use super::{Row, StoreError, Tx, Write, query_one};
use crate::domain::event::Event;
use crate::domain::filter::Before;
use crate::domain::id::{EntityId, EventId};
use crate::domain::topic::Topic;
use crate::params;

pub(super) const COLUMNS: &str = "id, experiment_id, revision, type, occurred_at, data, detailed, sequence";

pub(super) fn decode(row: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        id: row.get("id")?,
        experiment_id: row.get("experiment_id")?,
        revision: row.get("revision")?,
        topic: row.word("type", Topic::parse)?,
        occurred_at: row.get("occurred_at")?,
        data: row.get("data")?,
        detailed: row.get("detailed")?,
    })
}

/// What filters ask of an event that does not stand in its data: as it was when it happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub tags: Vec<String>,
    pub entity_id: Option<EntityId>,
    /// Before an edit of any of these.
    #[serde(default, skip_serializing_if = "Before::is_nothing")]
    pub before: Before,
}

/// An event that nothing is to be remembered of.
pub fn inserting(event: &Event) -> Write {
    inserting_row(event, None)
}

pub fn inserting_with(event: &Event, remembered: &Remembered) -> Result<Write, StoreError> {
    Ok(inserting_row(event, Some(to_json(remembered)?)))
}

fn inserting_row(event: &Event, facts: Option<String>) -> Write {
    Write::new(
        "INSERT INTO events (id, experiment_id, revision, type, occurred_at, data, detailed, facts) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            event.id,
            event.experiment_id,
            event.revision,
            event.topic.as_str(),
            event.occurred_at,
            &event.data,
            &event.detailed,
            facts
        ],
    )
}

pub fn get(tx: &mut dyn Tx, id: EventId) -> Result<Option<Event>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE id = $1");
    query_one(tx, "events", &sql, params![id], decode)
}

/// `None`: it is of an older version, which remembered nothing.
pub fn remembered(tx: &mut dyn Tx, id: EventId) -> Result<Option<Remembered>, StoreError> {
    let sql = "SELECT id, facts FROM events WHERE id = $1";
    Ok(query_one(tx, "events", sql, params![id], |row| row.optional_json("facts"))?.flatten())
}

/// An event, held as it is until the transaction ends: retention waits, for something more is to be owed of it.
pub fn hold(tx: &mut dyn Tx, id: EventId) -> Result<Option<Event>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE id = $1{}", tx.dialect().for_share());
    query_one(tx, "events", &sql, params![id], decode)
}

/// Locks an event against those who would hold it, to remove it; `false` if it is gone.
pub fn lock(tx: &mut dyn Tx, id: EventId) -> Result<bool, StoreError> {
    let sql = format!("SELECT id FROM events WHERE id = $1{}", tx.dialect().for_update());
    Ok(query_one(tx, "events", &sql, params![id], |row| row.get::<EventId>("id"))?.is_some())
}
