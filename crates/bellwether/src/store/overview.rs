//! A look over what is stored, for metrics: what is owed and for how long, how lanes and runs stand. Every statement is
//! bounded, however much there is, and uses an index; where the bound is reached a figure is a lower one.

use super::{StoreError, Tx, lanes, query_as, query_one};
use crate::domain::delivery::Queue;
use crate::domain::endpoint::EndpointState;
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, EndpointId};
use crate::domain::run::RunState;
use crate::params;

/// Rows that a look at the backlog counts, shared evenly among the endpoints that owe.
pub const MOST_COUNTED: usize = 100_000;
const LEAST_SHARE: usize = 100;
/// Endpoints whose backlog is looked at.
const MOST_ENDPOINTS: usize = 1000;

/// What is pending to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub endpoint_id: EndpointId,
    pub live: u64,
    /// Recovered or replayed, and so behind.
    pub behind: u64,
    /// Of the live ones.
    pub oldest: Option<DeliveryId>,
}

pub fn backlogs(tx: &mut dyn Tx) -> Result<Vec<Backlog>, StoreError> {
    let mut owing = lanes::owing(tx, None)?;
    owing.truncate(MOST_ENDPOINTS);
    let share = (MOST_COUNTED / owing.len().max(1)).max(LEAST_SHARE);
    owing
        .into_iter()
        .map(|endpoint_id| {
            let (live, oldest) = pending(tx, endpoint_id, false, share)?;
            let (behind, _) = pending(tx, endpoint_id, true, share)?;
            Ok(Backlog { endpoint_id, live, behind, oldest })
        })
        .collect()
}

fn pending(
    tx: &mut dyn Tx,
    endpoint: EndpointId,
    is_behind: bool,
    most: usize,
) -> Result<(u64, Option<DeliveryId>), StoreError> {
    // Ids are ordered by time, and stand in the key of what is pending, whose order this is.
    let sql = "SELECT delivery_id FROM undelivered WHERE lane = (SELECT number FROM lanes WHERE endpoint_id = $1) \
               AND queue = $2 ORDER BY experiment_id, revision, delivery_id LIMIT $3";
    let (mut count, mut oldest) = (0, None);
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    tx.query(sql, params![endpoint, Queue::pending(is_behind).as_str(), most], &mut |row| {
        let id: DeliveryId = row.get("delivery_id")?;
        count += 1;
        oldest = Some(oldest.map_or(id, |oldest: DeliveryId| oldest.min(id)));
        Ok(())
    })?;
    Ok((count, oldest))
}

/// How each endpoint's lane stands.
pub fn lane_states(tx: &mut dyn Tx) -> Result<Vec<(EndpointState, Health)>, StoreError> {
    let sql = "SELECT e.state, l.failure_count, l.failing_since, l.failing_lived, l.failed_with, l.probe_at, \
               l.paused_until, l.last_tried FROM lanes l JOIN endpoints e ON e.id = l.endpoint_id WHERE e.state <> 'deleted'";
    query_as(tx, "lanes", sql, &[], |row| Ok((row.word("state", EndpointState::parse)?, lanes::decode_health(row)?)))
}

/// Of the runs that have not ended, how many are in each state.
pub fn open_runs(tx: &mut dyn Tx) -> Result<Vec<(RunState, u64)>, StoreError> {
    let sql = "SELECT state, COUNT(*) AS count FROM runs WHERE state IN ('queued', 'running') GROUP BY state";
    query_as(tx, "runs", sql, &[], |row| Ok((row.word("state", RunState::parse)?, row.get("count")?)))
}

/// Processes that share the database; none are noted where there can be one only.
pub fn count_nodes(tx: &mut dyn Tx) -> Result<u64, StoreError> {
    Ok(query_one(tx, "nodes", "SELECT COUNT(*) AS count FROM nodes", &[], |row| row.get("count"))?.unwrap_or(0))
}
