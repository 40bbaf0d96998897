//! Lanes: which node sends to an endpoint, and how the endpoint fares. A fence rises with every new owner; what an owner
//! learns is written only while the fence is still its own.

use super::engine::rows;
use super::{Row, StoreError, Tx, Value, query_as, query_one, settings};
use crate::domain::clock::Timestamp;
use crate::domain::health::Health;
use crate::domain::id::{EndpointId, LaneNumber, NodeId};
use crate::params;

#[derive(Debug, Clone)]
pub struct LaneRow {
    pub endpoint_id: EndpointId,
    /// By which its deliveries are found.
    pub number: LaneNumber,
    pub node_id: Option<NodeId>,
    pub fence: i64,
    /// Rises when what is owed was changed by hand, so that the owner begins anew.
    pub revised: i64,
    pub health: Health,
}

const COLUMNS: &str = "endpoint_id, number, node_id, fence, revised, failure_count, failing_since, failing_lived, failed_with, probe_at, \
     paused_until, last_tried";

fn decode(row: &Row) -> Result<LaneRow, StoreError> {
    Ok(LaneRow {
        endpoint_id: row.get("endpoint_id")?,
        number: row.get("number")?,
        node_id: row.get("node_id")?,
        fence: row.get("fence")?,
        revised: row.get("revised")?,
        health: decode_health(row)?,
    })
}

pub(super) fn decode_health(row: &Row) -> Result<Health, StoreError> {
    Ok(Health {
        failure_count: row.get("failure_count")?,
        failing_since: row.get("failing_since")?,
        failing_lived: row.get("failing_lived")?,
        failed_with: row.get("failed_with")?,
        probe_at: row.get("probe_at")?,
        paused_until: row.get("paused_until")?,
        last_tried: row.get("last_tried")?,
    })
}

/// The lane of a new endpoint; nobody owns it yet.
pub fn insert(tx: &mut dyn Tx, endpoint: EndpointId) -> Result<(), StoreError> {
    let number = settings::next_number(tx, settings::LANES)?;
    let sql = "INSERT INTO lanes (endpoint_id, number, fence, revised, failure_count) VALUES ($1, $2, 0, 0, 0)";
    tx.execute(sql, params![endpoint, number]).map(drop)
}

pub fn get(tx: &mut dyn Tx, endpoint: EndpointId) -> Result<Option<LaneRow>, StoreError> {
    query_one(tx, "lanes", &format!("SELECT {COLUMNS} FROM lanes WHERE endpoint_id = $1"), params![endpoint], decode)
}

/// Lanes of endpoints that are not deleted, or that their owner has not let go yet.
pub fn list(tx: &mut dyn Tx) -> Result<Vec<LaneRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM lanes WHERE node_id IS NOT NULL \
         OR endpoint_id IN (SELECT id FROM endpoints WHERE state <> 'deleted') ORDER BY endpoint_id"
    );
    query_as(tx, "lanes", &sql, &[], decode)
}

/// Takes a lane over, if it is still as it was seen: nobody else was first.
pub fn claim(tx: &mut dyn Tx, seen: &LaneRow, node: NodeId) -> Result<bool, StoreError> {
    let sql = "UPDATE lanes SET node_id = $1, fence = fence + 1 WHERE endpoint_id = $2 AND fence = $3";
    Ok(tx.execute(sql, params![node, seen.endpoint_id, seen.fence])? == 1)
}

/// Lets a lane go that this owner has ended.
pub fn release(tx: &mut dyn Tx, endpoint: EndpointId, fence: i64) -> Result<(), StoreError> {
    let sql = "UPDATE lanes SET node_id = NULL WHERE endpoint_id = $1 AND fence = $2";
    tx.execute(sql, params![endpoint, fence]).map(drop)
}

/// The fences of some lanes, held as they are until the transaction ends.
pub fn hold_fences(tx: &mut dyn Tx, endpoints: &[EndpointId]) -> Result<Vec<(EndpointId, i64)>, StoreError> {
    let given = endpoints.iter().map(|endpoint| Value::from(*endpoint)).collect();
    let (among, values) = rows::among(tx.dialect(), 1, "TEXT", given);
    let sql = format!(
        "SELECT endpoint_id, fence FROM lanes WHERE endpoint_id {among} ORDER BY endpoint_id{}",
        tx.dialect().for_share()
    );
    query_as(tx, "lanes", &sql, &values, |row| Ok((row.get("endpoint_id")?, row.get("fence")?)))
}

pub fn save_health(tx: &mut dyn Tx, endpoint: EndpointId, health: &Health) -> Result<(), StoreError> {
    tx.execute(&format!("{SAVE_HEALTH} WHERE endpoint_id = $1"), &health_values(endpoint, health)).map(drop)
}

/// The same, unless the endpoint was edited since it had this `version`: what was learned before holds no more.
pub fn save_health_of(tx: &mut dyn Tx, endpoint: EndpointId, version: i64, health: &Health) -> Result<(), StoreError> {
    let mut values = health_values(endpoint, health);
    values.push(version.into());
    let is_of = "EXISTS (SELECT 1 FROM endpoints e WHERE e.id = $1 AND e.version = $9)";
    tx.execute(&format!("{SAVE_HEALTH} WHERE endpoint_id = $1 AND {is_of}"), &values).map(drop)
}

const SAVE_HEALTH: &str = "UPDATE lanes SET failure_count = $2, failing_since = $3, failed_with = $4, probe_at = $5, paused_until = $6, \
     failing_lived = $7, last_tried = $8";

fn health_values(endpoint: EndpointId, health: &Health) -> Vec<Value> {
    let Health { failure_count, failing_since, failing_lived, failed_with, probe_at, paused_until, last_tried } =
        health.clone();
    params![endpoint, failure_count, failing_since, failed_with, probe_at, paused_until, failing_lived, last_tried]
        .to_vec()
}

/// Has the owner begin anew with what is stored, for it was changed by hand.
pub fn revise(tx: &mut dyn Tx, endpoint: EndpointId) -> Result<(), StoreError> {
    tx.execute("UPDATE lanes SET revised = revised + 1 WHERE endpoint_id = $1", params![endpoint]).map(drop)
}

/// Endpoints that something is owed to, live or behind: those of a node, or all.
pub fn owing(tx: &mut dyn Tx, node: Option<NodeId>) -> Result<Vec<EndpointId>, StoreError> {
    let sql = "SELECT endpoint_id FROM lanes WHERE (CAST($1 AS TEXT) IS NULL OR node_id = $1) AND EXISTS \
               (SELECT 1 FROM undelivered u WHERE u.lane = lanes.number AND u.queue IN ('live', 'behind'))";
    query_as(tx, "lanes", sql, params![node], |row| row.get("endpoint_id"))
}

/// Counts this node's life on, and gives everybody's count. `false`: it is not, or no longer, among the nodes.
pub fn beat(tx: &mut dyn Tx, node: NodeId) -> Result<(bool, Vec<(NodeId, i64)>), StoreError> {
    let is_there = tx.execute("UPDATE nodes SET heartbeat = heartbeat + 1 WHERE id = $1", params![node])? == 1;
    let sql = "SELECT id, heartbeat FROM nodes ORDER BY id";
    let nodes = query_as(tx, "nodes", sql, &[], |row| Ok((row.get("id")?, row.get("heartbeat")?)))?;
    Ok((is_there, nodes))
}

/// `count`: one that this node never had. Whoever saw it before it was forgotten would otherwise think that it stands still.
pub fn join(tx: &mut dyn Tx, node: NodeId, count: i64, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO nodes (id, heartbeat, started_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
    tx.execute(sql, params![node, count, now]).map(drop)
}

/// Forgets a node that has stopped, or that is dead; its lanes are nobody's then. They are locked in order, as by those who
/// record outcomes.
pub fn leave(tx: &mut dyn Tx, node: NodeId) -> Result<(), StoreError> {
    let lock = tx.dialect().for_update();
    let sql = format!(
        "UPDATE lanes SET node_id = NULL WHERE endpoint_id IN \
         (SELECT endpoint_id FROM lanes WHERE node_id = $1 ORDER BY endpoint_id{lock})"
    );
    tx.execute(&sql, params![node])?;
    tx.execute("DELETE FROM nodes WHERE id = $1", params![node]).map(drop)
}
