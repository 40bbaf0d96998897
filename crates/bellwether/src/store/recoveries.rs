//! Recoveries: what somebody asked to have sent again, and how far that has come. Each step is a small transaction that
//! moves the cursor along with what it moved, so that a crash resumes and nothing is moved twice.

use super::engine::value::to_json;
use super::events::Remembered;
use super::{Row, StoreError, Tx, deliveries, query_as, query_one, readable};
use crate::domain::clock::Timestamp;
use crate::domain::delivery::Queue;
use crate::domain::event::Event;
use crate::domain::id::{EndpointId, EventId, ExperimentId, RecoveryId};
use crate::domain::recovery::{Recovery, RecoveryKind, RecoveryState};
use crate::params;

const COLUMNS: &str =
    "id, endpoint_id, kind, since, state, experiment_id, revision, examined, moved, actor, created_at, ended_at";

fn decode(row: &Row) -> Result<Recovery, StoreError> {
    Ok(Recovery {
        id: row.get("id")?,
        endpoint_id: row.get("endpoint_id")?,
        kind: row.word("kind", RecoveryKind::parse)?,
        since: row.get("since")?,
        state: row.word("state", RecoveryState::parse)?,
        place: (row.get("experiment_id")?, row.get("revision")?),
        examined: row.get("examined")?,
        moved: row.get("moved")?,
        actor: row.json("actor")?,
        created_at: row.get("created_at")?,
        ended_at: row.get("ended_at")?,
    })
}

pub fn save(tx: &mut dyn Tx, recovery: &Recovery) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO recoveries ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, experiment_id = excluded.experiment_id, \
         revision = excluded.revision, examined = excluded.examined, moved = excluded.moved, ended_at = excluded.ended_at"
    );
    tx.execute(
        &sql,
        params![
            recovery.id,
            recovery.endpoint_id,
            recovery.kind.as_str(),
            recovery.since,
            recovery.state.as_str(),
            recovery.place.0,
            recovery.place.1,
            recovery.examined,
            recovery.moved,
            to_json(&recovery.actor)?,
            recovery.created_at,
            recovery.ended_at
        ],
    )
    .map(drop)
}

pub fn get(tx: &mut dyn Tx, id: RecoveryId) -> Result<Option<Recovery>, StoreError> {
    query_one(tx, "recoveries", &format!("SELECT {COLUMNS} FROM recoveries WHERE id = $1"), params![id], decode)
}

/// The same, locked against other writers until the transaction ends.
pub fn lock(tx: &mut dyn Tx, id: RecoveryId) -> Result<Option<Recovery>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM recoveries WHERE id = $1{}", tx.dialect().for_update());
    query_one(tx, "recoveries", &sql, params![id], decode)
}

pub fn list(tx: &mut dyn Tx, endpoint: EndpointId, after: &str, limit: u32) -> Result<Vec<Recovery>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM recoveries WHERE endpoint_id = $1 AND id > $2 ORDER BY id LIMIT $3");
    query_as(tx, "recoveries", &sql, params![endpoint, after, limit], decode)
}

pub fn running(tx: &mut dyn Tx) -> Result<Vec<RecoveryId>, StoreError> {
    query_as(tx, "recoveries", "SELECT id FROM recoveries WHERE state = 'running' ORDER BY id", &[], |row| {
        row.get("id")
    })
}

/// What can be recovered: what was given up, by its schedule or because it was pending for too long.
const RECOVERABLE: &str = "(queue = 'exhausted' OR (queue = 'cancelled' AND reason = 'expired'))";

/// Where such deliveries of the endpoint lie behind the recovery's place, in order. When they were made is looked at
/// only afterwards, so that a step reads no more rows than it may.
pub fn recoverable_after(
    tx: &mut dyn Tx,
    recovery: &Recovery,
    limit: u32,
) -> Result<Vec<(ExperimentId, i64)>, StoreError> {
    let (experiment, revision) = recovery.place;
    let mut found = Vec::new();
    for queue in [Queue::Exhausted, Queue::Cancelled] {
        let sql = "SELECT experiment_id, revision FROM undelivered \
                   WHERE lane = (SELECT number FROM lanes WHERE endpoint_id = $1) AND queue = $5 \
                   AND (experiment_id, revision) > ($2, $3) ORDER BY experiment_id, revision LIMIT $4";
        let values = params![recovery.endpoint_id, experiment, revision, limit, queue.as_str()];
        found.extend(query_as(tx, "undelivered", sql, values, |row| {
            Ok((row.get("experiment_id")?, row.get("revision")?))
        })?);
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(limit as usize);
    Ok(found)
}

/// Makes what was given up at `place` pending again, behind live traffic, with a fresh schedule; tells how many.
pub fn revive(
    tx: &mut dyn Tx,
    recovery: &Recovery,
    (experiment, revision): (ExperimentId, i64),
    now: Timestamp,
) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE undelivered SET queue = 'behind', failure_count = 0, due_at = $4, ended_at = NULL, reason = NULL \
         WHERE lane = (SELECT number FROM lanes WHERE endpoint_id = $1) AND {RECOVERABLE} \
         AND experiment_id = $2 AND revision = $3 AND ended_at <= $6 \
         AND EXISTS (SELECT 1 FROM deliveries d WHERE d.id = undelivered.delivery_id AND d.created_at >= $5)"
    );
    tx.execute(&sql, params![recovery.endpoint_id, experiment, revision, now, recovery.since, recovery.created_at])
}

/// An event on a recovery's way.
pub struct Passed {
    pub place: (ExperimentId, i64),
    /// If it is still to be looked at: it is of the time that was asked for, can be read, and the endpoint was never owed it.
    pub candidate: Option<Candidate>,
}

/// An event, and what is remembered of it.
pub type Candidate = (Event, Option<Remembered>);

/// Events of experiments behind the recovery's place, in order.
pub fn events_after(tx: &mut dyn Tx, recovery: &Recovery, limit: u32) -> Result<Vec<Passed>, StoreError> {
    let sql = "SELECT id, experiment_id, revision, type, occurred_at, data, detailed, facts \
               FROM events WHERE (experiment_id, revision) > ($1, $2) AND experiment_id > 0 \
               ORDER BY experiment_id, revision LIMIT $3";
    let (experiment, revision) = recovery.place;
    let mut found = query_as(tx, "events", sql, params![experiment, revision, limit], |row| {
        let place = (row.get("experiment_id")?, row.get("revision")?);
        let read = super::events::decode(row).and_then(|event| Ok((event, row.optional_json("facts")?)));
        Ok(Passed { place, candidate: readable(read, "events")? })
    })?;
    let is_asked_for = |(event, _): &Candidate| (recovery.since..=recovery.created_at).contains(&event.occurred_at);
    for passed in &mut found {
        passed.candidate = passed.candidate.take().filter(is_asked_for);
    }
    let asked: Vec<EventId> = found.iter().filter_map(|passed| Some(passed.candidate.as_ref()?.0.id)).collect();
    let owed = deliveries::owed_among(tx, recovery.endpoint_id, &asked)?;
    for passed in &mut found {
        passed.candidate = passed.candidate.take().filter(|(event, _)| !owed.contains(&event.id));
    }
    Ok(found)
}
