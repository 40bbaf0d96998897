//! The event log. An event is written with its change and never edited; PostgreSQL's get their number afterwards.

use serde::{Deserialize, Serialize};

use super::engine::value::to_json;
use super::{Row, StoreError, Tx, Value, Write, query_as, query_one, retention};
use crate::domain::event::{Event, NO_EXPERIMENT, Topic};
use crate::domain::filter::Before;
use crate::domain::id::{EntityId, EventId, ExperimentId};
use crate::params;

const COLUMNS: &str = "id, experiment_id, revision, type, occurred_at, data, detailed, sequence";

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

/// What to pick from the log.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub after: i64,
    pub experiment: Option<ExperimentId>,
    /// Names of types; empty means all.
    pub types: Vec<String>,
    pub limit: u32,
}

/// Numbers that one page looks at, at most, where most may be of other types.
const MOST_EXAMINED: i64 = 10_000;

impl Selection {
    /// How far a page looks: behind this there may be more, though it is not full.
    pub fn reach(&self) -> i64 {
        let is_bounded = !self.types.is_empty() && self.experiment.is_none();
        if is_bounded { self.after.saturating_add(MOST_EXAMINED) } else { i64::MAX }
    }
}

/// Numbered events after a cursor, in the log's order, each with its number.
pub fn list(tx: &mut dyn Tx, selection: &Selection) -> Result<Vec<(i64, Event)>, StoreError> {
    let mut values = vec![Value::from(selection.after), Value::from(selection.limit)];
    // Events about endpoints are numbered too, but stand in no log.
    let mut sql = format!("SELECT {COLUMNS} FROM events WHERE sequence > $1 AND experiment_id <> {NO_EXPERIMENT}");
    // Only what is asked for stands in the statement, so that the indexes serve.
    if let Some(experiment) = selection.experiment {
        values.push(experiment.into());
        sql += " AND experiment_id = $3";
    }
    if !selection.types.is_empty() {
        values.push(format!(",{},", selection.types.join(",")).into());
        sql += &format!(" AND ${} LIKE '%,' || type || ',%'", values.len());
        values.push(selection.reach().into());
        sql += &format!(" AND sequence <= ${}", values.len());
    }
    sql += " ORDER BY sequence LIMIT $2";
    query_as(tx, "events", &sql, &values, |row| Ok((row.get("sequence")?, decode(row)?)))
}

/// The highest number that was ever given, whether or not its event is still there.
pub fn log_end(tx: &mut dyn Tx) -> Result<i64, StoreError> {
    let sql = "SELECT MAX(sequence) AS sequence FROM events";
    let last: Option<i64> = query_one(tx, "events", sql, &[], |row| row.get("sequence"))?.flatten();
    Ok(last.unwrap_or(0).max(retention::log_pruned_to(tx)?))
}

/// Gives numbers to those that have none yet, in order of experiment and revision, and tells how many. Every node may
/// call it: they take turns, so that numbers become visible in their order, and none is given twice.
pub fn number_committed(tx: &mut dyn Tx, limit: u32) -> Result<u64, StoreError> {
    retention::lock_log(tx)?;
    // The newest numbers may have been pruned; nobody's cursor may meet them again.
    let pruned_to = retention::log_pruned_to(tx)?;
    tx.execute(
        "WITH unnumbered AS (SELECT id, ROW_NUMBER() OVER (ORDER BY experiment_id, revision) AS position FROM \
         (SELECT id, experiment_id, revision FROM events WHERE sequence IS NULL ORDER BY experiment_id, revision LIMIT $1) waiting), \
         latest AS (SELECT CASE WHEN MAX(sequence) > CAST($2 AS BIGINT) THEN MAX(sequence) ELSE CAST($2 AS BIGINT) END AS sequence FROM events) \
         UPDATE events SET sequence = latest.sequence + unnumbered.position FROM unnumbered, latest WHERE events.id = unnumbered.id",
        params![limit, pruned_to],
    )
}
