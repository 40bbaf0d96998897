//! Metric syncs, and what remains to be done of them.

use super::engine::value::to_json;
use super::{Row, StoreError, Tx, query_as, query_one};
use crate::domain::metric_sync::{MetricSync, SyncState};
use crate::params;

const COLUMNS: &str = "id, sync_tag, state, digest, errors, remaining, actor, created_at, ended_at";

fn decode(row: &Row) -> Result<MetricSync, StoreError> {
    Ok(MetricSync {
        id: row.get("id")?,
        sync_tag: row.get("sync_tag")?,
        state: row.word("state", SyncState::parse)?,
        digest: row.get("digest")?,
        errors: row.json("errors")?,
        remaining: row.json("remaining")?,
        actor: row.json("actor")?,
        created_at: row.get("created_at")?,
        ended_at: row.get("ended_at")?,
    })
}

/// Writes a sync, new or not.
pub fn save(tx: &mut dyn Tx, sync: &MetricSync) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO metric_syncs ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET \
         state = excluded.state, remaining = excluded.remaining, ended_at = excluded.ended_at"
    );
    let values = params![
        sync.id,
        &sync.sync_tag,
        sync.state.as_str(),
        &sync.digest,
        to_json(&sync.errors)?,
        to_json(&sync.remaining)?,
        to_json(&sync.actor)?,
        sync.created_at,
        sync.ended_at
    ];
    tx.execute(&sql, values).map(drop)
}

pub fn get(tx: &mut dyn Tx, id: i64) -> Result<Option<MetricSync>, StoreError> {
    query_one(tx, "metric_syncs", &format!("SELECT {COLUMNS} FROM metric_syncs WHERE id = $1"), params![id], decode)
}

/// The latest of a tag that did not fail.
pub fn latest(tx: &mut dyn Tx, tag: &str) -> Result<Option<MetricSync>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM metric_syncs WHERE sync_tag = $1 AND state <> 'failed' ORDER BY id DESC LIMIT 1"
    );
    query_one(tx, "metric_syncs", &sql, params![tag], decode)
}

/// The oldest of which something remains, locked against other writers until the transaction ends.
pub fn lock_pending(tx: &mut dyn Tx) -> Result<Option<MetricSync>, StoreError> {
    let lock = tx.dialect().for_update();
    let sql = format!("SELECT {COLUMNS} FROM metric_syncs WHERE state = 'pending' ORDER BY id LIMIT 1{lock}");
    query_one(tx, "metric_syncs", &sql, &[], decode)
}

/// Whether anything remains of any, asked without writing.
pub fn is_any_pending(tx: &mut dyn Tx) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM metric_syncs WHERE state = 'pending' ORDER BY id LIMIT 1";
    Ok(!query_as::<i64>(tx, "metric_syncs", sql, &[], |row| row.get("id"))?.is_empty())
}

/// Forgets those of a tag that ended, but for the latest `keep` of them and whatever `latest` gives.
pub fn forget_old(tx: &mut dyn Tx, tag: &str, keep: u32) -> Result<(), StoreError> {
    let sql = "DELETE FROM metric_syncs WHERE sync_tag = $1 AND state <> 'pending' \
               AND id NOT IN (SELECT id FROM metric_syncs WHERE sync_tag = $1 ORDER BY id DESC LIMIT $2) \
               AND id NOT IN (SELECT id FROM metric_syncs WHERE sync_tag = $1 AND state = 'success' ORDER BY id DESC LIMIT 1)";
    tx.execute(sql, params![tag, keep]).map(drop)
}
