//! What is old leaves, a little at a time. Ids are ordered by time, so that their keys find what is old.
//! History, runs and results stay.

use super::{StoreError, Tx, query_as, query_one, settings};
use crate::clock::Timestamp;
use crate::id::{DeliveryId, EventId};
use crate::params;

/// The highest number of the log that is gone.
const LOG_PRUNED_TO: &str = "log_pruned_to";

/// Of those who give the log numbers, or take events from its beginning; arbitrary but fixed.
const LOG_LOCK: i64 = 0x6265_6c6c_6c6f;

/// What the log's numbers are is one transaction's business at a time.
pub(super) fn lock_log(tx: &mut dyn Tx) -> Result<(), StoreError> {
    match tx.dialect().exclusive_lock() {
        Some(sql) => tx.query(sql, params![LOG_LOCK]).map(drop),
        None => Ok(()),
    }
}

/// Ends deliveries that were owed before `cutoff` and are still pending, and tells how many: at most `limit`.
pub fn expire_pending(tx: &mut dyn Tx, cutoff: Timestamp, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
    tx.execute(
        "UPDATE deliveries SET state = 'cancelled', reason = 'expired', ended_at = $2 \
         WHERE id IN (SELECT id FROM deliveries WHERE id < $1 AND state = 'pending' ORDER BY id LIMIT $3)",
        params![DeliveryId::first_at(cutoff), now, limit],
    )
}

/// Removes deliveries that were made before `cutoff` and have ended, with their attempts.
pub fn prune_deliveries(tx: &mut dyn Tx, cutoff: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let sql = "SELECT id FROM deliveries WHERE id < $1 AND state <> 'pending' ORDER BY id LIMIT $2";
    let old: Vec<DeliveryId> =
        query_as(tx, "deliveries", sql, params![DeliveryId::first_at(cutoff), limit], |row| row.get("id"))?;
    let mut removed = 0;
    for id in &old {
        // It may have been recovered meanwhile. Its attempts go afterwards: what was being written for it has then come to
        // an end, and nothing is written for it any more.
        if tx.execute("DELETE FROM deliveries WHERE id = $1 AND state <> 'pending'", params![*id])? == 1 {
            tx.execute("DELETE FROM attempts WHERE delivery_id = $1", params![*id])?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes numbered events from before `cutoff` that nothing is owed of any more, from the log's beginning on.
pub fn prune_events(tx: &mut dyn Tx, cutoff: Timestamp, limit: u32) -> Result<u64, StoreError> {
    // Where the first is young, all are; nothing else would keep this from reading the whole log in vain.
    let first = "SELECT id FROM events WHERE sequence IS NOT NULL ORDER BY sequence LIMIT 1";
    let first: Option<EventId> = query_one(tx, "events", first, &[], |row| row.get("id"))?;
    if first.is_none_or(|id| id >= EventId::first_at(cutoff)) {
        return Ok(0);
    }
    // Locked against those who hold an event while they owe it once more: see `events::hold`.
    let sql = format!(
        "SELECT id, sequence FROM events WHERE sequence IS NOT NULL AND id < $1 \
         AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = events.id) ORDER BY sequence LIMIT $2{}",
        tx.dialect().for_update()
    );
    let old: Vec<(EventId, i64)> = query_as(tx, "events", &sql, params![EventId::first_at(cutoff), limit], |row| {
        Ok((row.get("id")?, row.get("sequence")?))
    })?;
    if !old.is_empty() {
        lock_log(tx)?;
    }
    // What they owed before the lock was had is seen only by statements that begin after it.
    let sql = "DELETE FROM events WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event_id = $1)";
    let (mut removed, mut last) = (0, None);
    for (id, sequence) in &old {
        if tx.execute(sql, params![*id])? == 1 {
            (removed, last) = (removed + 1, Some(*sequence));
        }
    }
    if let Some(sequence) = last {
        let pruned_to = log_pruned_to(tx)?.max(sequence);
        settings::set(tx, LOG_PRUNED_TO, &pruned_to.to_string())?;
    }
    Ok(removed)
}

/// Cursors below this have lost events; 0 if none was ever removed.
pub fn log_pruned_to(tx: &mut dyn Tx) -> Result<i64, StoreError> {
    let sql = "SELECT name, value FROM settings WHERE name = $1";
    let found = query_one(tx, "settings", sql, params![LOG_PRUNED_TO], |row| {
        let text: String = row.get("value")?;
        text.parse().map_err(|_| row.corrupt("value", format!("'{text}' is not a number")))
    })?;
    Ok(found.unwrap_or(0))
}
