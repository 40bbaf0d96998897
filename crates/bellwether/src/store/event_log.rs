//! The event log: the order in which all events of experiments are read by cursor. On SQLite events get their numbers as they
//! are written, on PostgreSQL afterwards.

use super::events::{COLUMNS, decode};
use super::{StoreError, Tx, Value, query_as, query_one, settings};
use crate::domain::clock::Timestamp;
use crate::domain::event::{Event, NO_EXPERIMENT};
use crate::domain::id::{EventId, ExperimentId};
use crate::params;

/// The highest number of the log that is gone.
const PRUNED_TO: &str = "log_pruned_to";

/// Of those who give the log numbers, or take events from its beginning; arbitrary but fixed.
const LOCK: i64 = 0x6265_6c6c_6c6f;

/// What the log's numbers are is one transaction's business at a time.
fn lock(tx: &mut dyn Tx) -> Result<(), StoreError> {
    match tx.dialect().exclusive_lock() {
        Some(sql) => tx.query(sql, params![LOCK], &mut |_| Ok(())),
        None => Ok(()),
    }
}

/// What to pick from the log.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub after: i64,
    pub experiment: Option<ExperimentId>,
    /// Names of types; empty means all.
    pub types: Vec<String>,
    /// Towards the beginning: `after` is the place that is come from.
    pub is_newest_first: bool,
    pub limit: u32,
}

/// Numbers that one page looks at, at most, where most may be of other types.
const MOST_EXAMINED: i64 = 10_000;

impl Selection {
    /// How far a page looks: behind this there may be more, though it is not full.
    pub fn reach(&self) -> i64 {
        let is_bounded = !self.types.is_empty() && self.experiment.is_none();
        match (is_bounded, self.is_newest_first) {
            (true, false) => self.after.saturating_add(MOST_EXAMINED),
            (true, true) => self.after.saturating_sub(MOST_EXAMINED).max(0),
            (false, false) => i64::MAX,
            (false, true) => 0,
        }
    }
}

/// Numbered events after a cursor, in the log's order or against it, each with its number.
pub fn list(tx: &mut dyn Tx, selection: &Selection) -> Result<Vec<(i64, Event)>, StoreError> {
    let mut values = vec![Value::from(selection.after), Value::from(selection.limit)];
    // Events about endpoints are numbered too, but stand in no log.
    let (behind, within, order) = if selection.is_newest_first { ("<", ">=", "DESC") } else { (">", "<=", "ASC") };
    let mut sql =
        format!("SELECT {COLUMNS} FROM events WHERE sequence {behind} $1 AND experiment_id <> {NO_EXPERIMENT}");
    // Only what is asked for stands in the statement, so that the indexes serve.
    if let Some(experiment) = selection.experiment {
        values.push(experiment.into());
        sql += " AND experiment_id = $3";
    }
    if !selection.types.is_empty() {
        values.push(format!(",{},", selection.types.join(",")).into());
        sql += &format!(" AND ${} LIKE '%,' || type || ',%'", values.len());
        values.push(selection.reach().into());
        sql += &format!(" AND sequence {within} ${}", values.len());
    }
    sql += &format!(" ORDER BY sequence {order} LIMIT $2");
    query_as(tx, "events", &sql, &values, |row| Ok((row.get("sequence")?, decode(row)?)))
}

/// The highest number that was ever given, whether or not its event is still there.
pub fn end(tx: &mut dyn Tx) -> Result<i64, StoreError> {
    let sql = "SELECT MAX(sequence) AS sequence FROM events";
    let last: Option<i64> = query_one(tx, "events", sql, &[], |row| row.get("sequence"))?.flatten();
    Ok(last.unwrap_or(0).max(pruned_to(tx)?))
}

/// Events whose numbers need not follow the order of time: those that had none for a while, and then got theirs at once.
const MOST_OUT_OF_ORDER: u32 = 10_000;

/// The cursor behind which all stands that happened at `since` or later, and of what happened earlier only what got its
/// number later.
pub fn before(tx: &mut dyn Tx, since: Timestamp) -> Result<i64, StoreError> {
    let sql = "SELECT MIN(sequence) AS sequence FROM \
               (SELECT sequence FROM events WHERE id >= $1 ORDER BY id LIMIT $2) happened";
    let values = params![EventId::first_at(since), MOST_OUT_OF_ORDER];
    let first: Option<i64> = query_one(tx, "events", sql, values, |row| row.get("sequence"))?.flatten();
    match first {
        Some(first) => Ok((first - 1).max(pruned_to(tx)?)),
        None => end(tx),
    }
}

/// Gives numbers to those that have none yet, in order of experiment and revision, and tells how many. Every node may
/// call it: they take turns, so that numbers become visible in their order, and none is given twice.
pub fn number_committed(tx: &mut dyn Tx, limit: u32) -> Result<u64, StoreError> {
    lock(tx)?;
    // The newest numbers may have been pruned; nobody's cursor may meet them again.
    let pruned_to = pruned_to(tx)?;
    tx.execute(
        "WITH unnumbered AS (SELECT id, ROW_NUMBER() OVER (ORDER BY experiment_id, revision) AS position FROM \
         (SELECT id, experiment_id, revision FROM events WHERE sequence IS NULL ORDER BY experiment_id, revision LIMIT $1) waiting), \
         latest AS (SELECT CASE WHEN MAX(sequence) > CAST($2 AS BIGINT) THEN MAX(sequence) ELSE CAST($2 AS BIGINT) END AS sequence FROM events) \
         UPDATE events SET sequence = latest.sequence + unnumbered.position FROM unnumbered, latest WHERE events.id = unnumbered.id",
        params![limit, pruned_to],
    )
}

/// Cursors below this have lost events; 0 if none was ever removed.
pub fn pruned_to(tx: &mut dyn Tx) -> Result<i64, StoreError> {
    let sql = "SELECT name, value FROM settings WHERE name = $1";
    let found = query_one(tx, "settings", sql, params![PRUNED_TO], |row| {
        let text: String = row.get("value")?;
        text.parse().map_err(|_| row.corrupt("value", format!("'{text}' is not a number")))
    })?;
    Ok(found.unwrap_or(0))
}

/// Notes that numbers up to `last` are gone.
pub fn prune_to(tx: &mut dyn Tx, last: i64) -> Result<(), StoreError> {
    lock(tx)?;
    let pruned_to = pruned_to(tx)?.max(last);
    settings::set(tx, PRUNED_TO, &pruned_to.to_string())
}
