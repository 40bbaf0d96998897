//! The history of experiments: one change for each revision. Never pruned.

use super::value::to_json;
use super::{StoreError, Tx, query_as};
use crate::change::Change;
use crate::id::ExperimentId;
use crate::params;

pub fn insert(tx: &mut dyn Tx, experiment: ExperimentId, change: &Change) -> Result<(), StoreError> {
    tx.execute(
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
    )
    .map(drop)
}

/// From revision `after` on, oldest first. Also of experiments that were deleted.
pub fn list(tx: &mut dyn Tx, experiment: ExperimentId, after: i64, limit: u32) -> Result<Vec<Change>, StoreError> {
    let sql = "SELECT revision, action, actor, occurred_at, changes, reason FROM changes \
               WHERE experiment_id = $1 AND revision > $2 ORDER BY revision LIMIT $3";
    query_as(tx, "changes", sql, params![experiment, after, limit], |row| {
        Ok(Change {
            revision: row.get("revision")?,
            action: row.get("action")?,
            actor: row.json("actor")?,
            occurred_at: row.get("occurred_at")?,
            changes: row.json("changes")?,
            reason: row.get("reason")?,
        })
    })
}
