//! What is old leaves, a little at a time. Ids are ordered by time, so that their keys find what is old.
//! History, runs and results stay.

use super::{StoreError, Tx, deliveries, event_log, events, query_as, undelivered};
use crate::domain::clock::Timestamp;
use crate::domain::delivery::{DeliveryState, Queue};
use crate::domain::id::{DeliveryId, EventId};
use crate::params;

/// Why a delivery is cancelled that was pending for too long.
const EXPIRED: &str = "expired";

/// What became of a part of the old deliveries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Ended, for they were still pending.
    pub expired: u64,
    pub removed: u64,
    /// The last that was looked at; `None`: there are no more.
    pub last: Option<DeliveryId>,
}

/// Looks at deliveries that were made before `cutoff`, behind `after`: at most `limit`. Those that are pending are ended;
/// those that ended before `cutoff` too are removed, with their attempts.
pub fn prune_deliveries(
    tx: &mut dyn Tx,
    after: Option<DeliveryId>,
    cutoff: Timestamp,
    now: Timestamp,
    limit: u32,
) -> Result<Pruned, StoreError> {
    let old = deliveries::list_before(tx, after, DeliveryId::first_at(cutoff), limit)?;
    let mut pruned = Pruned { last: old.last().map(|(id, _)| *id), ..Pruned::default() };
    for delivery in old.iter().filter_map(|(_, delivery)| delivery.as_ref()) {
        match delivery.position() {
            // What was recovered counts from then on.
            Some(position)
                if position.queue == Queue::Behind && delivery.due_at.is_some_and(|due_at| due_at >= cutoff) => {}
            Some(position) if delivery.state == DeliveryState::Pending => {
                pruned.expired += u64::from(undelivered::cancel(tx, &position, EXPIRED, now)?);
            }
            _ if delivery.ended_at.is_some_and(|ended| ended >= cutoff) => {}
            // It may have been recovered meanwhile, and then is there no more.
            Some(position) if !undelivered::remove(tx, &position)? => {}
            _ => {
                // Attempts go last: what was being written for it has then come to an end, and nothing is written for it
                // any more.
                pruned.removed += tx.execute("DELETE FROM deliveries WHERE id = $1", params![delivery.id])?;
                tx.execute("DELETE FROM attempts WHERE delivery_id = $1", params![delivery.id])?;
            }
        }
    }
    Ok(pruned)
}

/// Looks at numbered events behind the number `after`: at most `limit`. Those from before `cutoff` that nothing is owed of
/// any more are removed. Gives how many, and the number of the last that was looked at; `None`: all that follow are young.
pub fn prune_events(
    tx: &mut dyn Tx,
    after: i64,
    cutoff: Timestamp,
    limit: u32,
) -> Result<(u64, Option<i64>), StoreError> {
    let sql = "SELECT id, sequence FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2";
    let next: Vec<(EventId, i64)> =
        query_as(tx, "events", sql, params![after, limit], |row| Ok((row.get("id")?, row.get("sequence")?)))?;
    let old: Vec<_> = next.iter().copied().filter(|(id, _)| *id < EventId::first_at(cutoff)).collect();
    let mut free = Vec::new();
    for (id, sequence) in &old {
        // Locked against those who hold an event while they owe it once more: see `events::hold`. What they owed before the
        // lock was had is seen only by statements that begin after it.
        if events::lock(tx, *id)? && !deliveries::is_any_of(tx, *id)? {
            free.push((*id, *sequence));
        }
    }
    if let Some((_, last)) = free.last() {
        event_log::prune_to(tx, *last)?;
    }
    for (id, _) in &free {
        tx.execute("DELETE FROM events WHERE id = $1", params![*id])?;
    }
    let last = next.last().filter(|_| !old.is_empty()).map(|(_, sequence)| *sequence);
    Ok((free.len() as u64, last))
}
