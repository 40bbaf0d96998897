//! The history of experiments, one change for each revision, and of endpoints. Never pruned.

use super::engine::value::to_json;
use super::{Row, StoreError, Tx, Write, query_as, query_one};
use crate::domain::actor::Actor;
use crate::domain::change::{Change, EndpointChange};
use crate::domain::configuration::FieldChange;
use crate::domain::id::{EndpointId, ExperimentId};
use crate::params;

pub fn inserting(experiment: ExperimentId, change: &Change) -> Result<Write, StoreError> {
    Ok(Write::new(
        "INSERT INTO changes (experiment_id, revision, action, actor, occurred_at, changes, reason) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            experiment,
            change.revision,
            &change.action,
            to_json(&change.actor)?,
            change.occurred_at,
            to_json(&change.changes)?,
            &change.reason
        ],
    ))
}

/// From revision `after` on, oldest first. Also of experiments that were deleted.
pub fn list(tx: &mut dyn Tx, experiment: ExperimentId, after: i64, limit: u32) -> Result<Vec<Change>, StoreError> {
    let sql = "SELECT revision, action, actor, occurred_at, changes, reason FROM changes \
               WHERE experiment_id = $1 AND revision > $2 ORDER BY revision LIMIT $3";
    query_as(tx, "changes", sql, params![experiment, after, limit], decode)
}

fn decode(row: &Row) -> Result<Change, StoreError> {
    Ok(Change {
        revision: row.get("revision")?,
        action: row.get("action")?,
        actor: row.json("actor")?,
        occurred_at: row.get("occurred_at")?,
        changes: row.json("changes")?,
        reason: row.get("reason")?,
    })
}

pub fn insert_of_endpoint(tx: &mut dyn Tx, endpoint: EndpointId, change: &EndpointChange) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO endpoint_changes (id, endpoint_id, action, actor, occurred_at, changes, reason) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            change.id,
            endpoint,
            &change.action,
            to_json(&change.actor)?,
            change.occurred_at,
            to_json(&change.changes)?,
            &change.reason
        ],
    )
    .map(drop)
}

/// Behind the cursor `after`, oldest first.
pub fn list_of_endpoint(
    tx: &mut dyn Tx,
    endpoint: EndpointId,
    after: &str,
    limit: u32,
) -> Result<Vec<EndpointChange>, StoreError> {
    let sql = "SELECT id, action, actor, occurred_at, changes, reason FROM endpoint_changes \
               WHERE endpoint_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    query_as(tx, "endpoint_changes", sql, params![endpoint, after, limit], |row| {
        Ok(EndpointChange {
            id: row.get("id")?,
            action: row.get("action")?,
            actor: row.json("actor")?,
            occurred_at: row.get("occurred_at")?,
            changes: row.json("changes")?,
            reason: row.get("reason")?,
        })
    })
}

/// What a revision of an experiment changed.
pub fn of_revision(tx: &mut dyn Tx, experiment: ExperimentId, revision: i64) -> Result<Vec<FieldChange>, StoreError> {
    let sql = "SELECT revision, changes FROM changes WHERE experiment_id = $1 AND revision = $2";
    let found = query_one(tx, "changes", sql, params![experiment, revision], |row| row.json("changes"))?;
    Ok(found.unwrap_or_default())
}

/// What was done last to an endpoint: the word for it, and why.
pub fn last_of_endpoint(tx: &mut dyn Tx, endpoint: EndpointId) -> Result<Option<(String, String)>, StoreError> {
    let sql = "SELECT action, reason FROM endpoint_changes WHERE endpoint_id = $1 ORDER BY id DESC LIMIT 1";
    query_one(tx, "endpoint_changes", sql, params![endpoint], |row| Ok((row.get("action")?, row.get("reason")?)))
}

/// What a field of an experiment was at `revision`, if it has been edited since: the first later edit says from what.
pub fn value_before(
    tx: &mut dyn Tx,
    experiment: ExperimentId,
    revision: i64,
    field: &str,
) -> Result<Option<serde_json::Value>, StoreError> {
    let sql = "SELECT revision, changes FROM changes WHERE experiment_id = $1 AND revision > $2 AND changes LIKE $3 \
               ORDER BY revision";
    let mention = format!("%\"field\":\"{field}\"%");
    let found: Vec<Vec<FieldChange>> =
        query_as(tx, "changes", sql, params![experiment, revision, mention], |row| row.json("changes"))?;
    Ok(found.into_iter().flatten().find(|edit| edit.field == field).map(|edit| edit.from))
}

/// Who did this to an experiment last.
pub fn last_actor(tx: &mut dyn Tx, experiment: ExperimentId, action: &str) -> Result<Option<Actor>, StoreError> {
    let sql =
        "SELECT revision, actor FROM changes WHERE experiment_id = $1 AND action = $2 ORDER BY revision DESC LIMIT 1";
    query_one(tx, "changes", sql, params![experiment, action], |row| row.json("actor"))
}

/// What the variations were and became by each edit of them after the experiment was first started.
pub fn variations_edited_since_start(
    tx: &mut dyn Tx,
    experiment: ExperimentId,
) -> Result<Vec<FieldChange>, StoreError> {
    let sql = "SELECT revision, changes FROM changes WHERE experiment_id = $1 AND action = 'edited' AND changes LIKE $2 \
               AND revision > (SELECT MIN(revision) FROM changes WHERE experiment_id = $1 AND action = 'started')";
    let mention = "%\"field\":\"variations\"%";
    let found: Vec<Vec<FieldChange>> =
        query_as(tx, "changes", sql, params![experiment, mention], |row| row.json("changes"))?;
    Ok(found.into_iter().flatten().filter(|edit| edit.field == "variations").collect())
}

pub fn insert_of_definition(tx: &mut dyn Tx, definition: &str, change: &Change) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO definition_changes (definition_id, version, action, actor, occurred_at, changes, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            definition,
            change.revision,
            &change.action,
            to_json(&change.actor)?,
            change.occurred_at,
            to_json(&change.changes)?,
            &change.reason
        ],
    )
    .map(drop)
}

/// The version that the next change of it makes, whether or not it is there yet.
pub fn next_version_of_definition(tx: &mut dyn Tx, definition: &str) -> Result<i64, StoreError> {
    let sql = "SELECT COALESCE(MAX(version), 0) + 1 AS version FROM definition_changes WHERE definition_id = $1";
    Ok(query_one(tx, "definition_changes", sql, params![definition], |row| row.get("version"))?.unwrap_or(1))
}

/// From version `after` on, oldest first. Also of definitions that were deleted.
pub fn list_of_definition(
    tx: &mut dyn Tx,
    definition: &str,
    after: i64,
    limit: u32,
) -> Result<Vec<Change>, StoreError> {
    let sql = "SELECT version AS revision, action, actor, occurred_at, changes, reason FROM definition_changes \
               WHERE definition_id = $1 AND version > $2 ORDER BY version LIMIT $3";
    query_as(tx, "definition_changes", sql, params![definition, after, limit], decode)
}

/// How often a field of an experiment was set to something.
pub fn times_set(tx: &mut dyn Tx, experiment: ExperimentId, field: &str) -> Result<usize, StoreError> {
    let sql = "SELECT revision, changes FROM changes WHERE experiment_id = $1 AND changes LIKE $2";
    let mention = format!("%\"field\":\"{field}\"%");
    let found: Vec<Vec<FieldChange>> =
        query_as(tx, "changes", sql, params![experiment, mention], |row| row.json("changes"))?;
    Ok(found.iter().flatten().filter(|change| change.field == field && !change.to.is_null()).count())
}
