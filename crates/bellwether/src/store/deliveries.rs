//! Deliveries and their attempts: what is owed to whom, and what came of it.
//!
//! A delivery is pending until an attempt's outcome is recorded. Nobody claims one: the lane that owns its endpoint sends it.

use serde::Serialize;

use super::{Dialect, Row, StoreError, Tx, Value, Write, query_as, query_one, together};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::id::{DeliveryId, EndpointId, EventId, ExperimentId};
use crate::params;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    Delivered,
    /// Every attempt of the schedule failed.
    Exhausted,
    Cancelled,
}

impl DeliveryState {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Exhausted, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Why there is a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Its event happened.
    Change,
    /// Somebody asked to have it again; it stands outside the order.
    Resend,
    /// Somebody asked for what the endpoint never got.
    Replay,
}

impl Origin {
    pub const ALL: [Self; 3] = [Self::Change, Self::Resend, Self::Replay];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Resend => "resend",
            Self::Replay => "replay",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == text)
    }
}

/// One event owed to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    pub id: DeliveryId,
    pub event_id: EventId,
    pub endpoint_id: EndpointId,
    pub experiment_id: ExperimentId,
    pub revision: i64,
    pub state: DeliveryState,
    /// Why it was cancelled.
    pub reason: Option<String>,
    pub origin: Origin,
    /// Whether it comes behind live traffic: it was recovered or replayed.
    pub is_behind: bool,
    pub attempt_count: u32,
    /// Failed attempts that count for the retry schedule; those made while the breaker was open do not.
    pub failure_count: u32,
    /// When the next attempt is due, while it is pending.
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, event_id, endpoint_id, experiment_id, revision, state, reason, origin, is_behind, attempt_count, failure_count, \
     due_at, created_at, ended_at";

fn decode(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: row.get("id")?,
        event_id: row.get("event_id")?,
        endpoint_id: row.get("endpoint_id")?,
        experiment_id: row.get("experiment_id")?,
        revision: row.get("revision")?,
        state: row.word("state", DeliveryState::parse)?,
        reason: row.get("reason")?,
        origin: row.word("origin", Origin::parse)?,
        is_behind: row.get("is_behind")?,
        attempt_count: row.get("attempt_count")?,
        failure_count: row.get("failure_count")?,
        due_at: row.get("due_at")?,
        created_at: row.get("created_at")?,
        ended_at: row.get("ended_at")?,
    })
}

/// Most rows under one INSERT, which bounds the statements that stay prepared.
const ROWS_A_STATEMENT: usize = 50;

/// Owes `event` to each of these endpoints, due at `now`.
pub fn insert(
    tx: &mut dyn Tx,
    event: &Event,
    origin: Origin,
    now: Timestamp,
    owed: &[(DeliveryId, EndpointId)],
) -> Result<(), StoreError> {
    let writes = inserting(tx.dialect(), event, origin, now, owed);
    together(tx, &writes)
}

/// The same, to be written with other things.
pub fn inserting(
    dialect: Dialect,
    event: &Event,
    origin: Origin,
    now: Timestamp,
    owed: &[(DeliveryId, EndpointId)],
) -> Vec<Write> {
    let rows = if dialect.prefers_single_rows() { 1 } else { ROWS_A_STATEMENT };
    let insert = |chunk: &[(DeliveryId, EndpointId)]| {
        let mut values = vec![
            event.id.into(),
            Value::from(event.experiment_id),
            Value::from(event.revision),
            Value::from(now),
            Value::from(origin.as_str()),
            Value::from(origin == Origin::Replay),
        ];
        let mut rows = Vec::with_capacity(chunk.len());
        for (id, endpoint) in chunk {
            values.push((*id).into());
            values.push((*endpoint).into());
            rows.push(format!(
                "(${}, $1, ${}, $2, $3, 'pending', $5, $6, 0, 0, $4, $4)",
                values.len() - 1,
                values.len()
            ));
        }
        let sql = format!(
            "INSERT INTO deliveries (id, event_id, endpoint_id, experiment_id, revision, state, origin, is_behind, \
             attempt_count, failure_count, due_at, created_at) VALUES {}",
            rows.join(", ")
        );
        Write::new(sql, values)
    };
    owed.chunks(rows).map(insert).collect()
}

pub fn get(tx: &mut dyn Tx, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    query_one(tx, "deliveries", &format!("SELECT {COLUMNS} FROM deliveries WHERE id = $1"), params![id], decode)
}

pub fn list_of_event(tx: &mut dyn Tx, event: EventId) -> Result<Vec<Delivery>, StoreError> {
    query_as(
        tx,
        "deliveries",
        &format!("SELECT {COLUMNS} FROM deliveries WHERE event_id = $1 ORDER BY id"),
        params![event],
        decode,
    )
}

#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub after: String,
    pub endpoint: Option<EndpointId>,
    pub event: Option<EventId>,
    pub state: Option<DeliveryState>,
    pub limit: u32,
}

pub fn list(tx: &mut dyn Tx, selection: &Selection) -> Result<Vec<Delivery>, StoreError> {
    let filters = [
        ("endpoint_id", selection.endpoint.map(Value::from)),
        ("event_id", selection.event.map(Value::from)),
        ("state", selection.state.map(|state| Value::from(state.as_str()))),
    ];
    let mut values = vec![Value::from(&selection.after), Value::from(selection.limit)];
    let mut sql = format!("SELECT {COLUMNS} FROM deliveries WHERE id > $1");
    // Only what is asked for stands in the statement, so that the indexes serve.
    for (column, value) in filters.into_iter().filter_map(|(column, value)| Some((column, value?))) {
        values.push(value);
        sql += &format!(" AND {column} = ${}", values.len());
    }
    sql += " ORDER BY id LIMIT $2";
    query_as(tx, "deliveries", &sql, &values, decode)
}

/// The same row, locked against other writers until the transaction ends.
pub fn lock(tx: &mut dyn Tx, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE id = $1{}", tx.dialect().for_update());
    query_one(tx, "deliveries", &sql, params![id], decode)
}

/// Ends a pending delivery without sending it.
pub fn cancel(tx: &mut dyn Tx, id: DeliveryId, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql =
        "UPDATE deliveries SET state = 'cancelled', reason = $2, ended_at = $3 WHERE id = $1 AND state = 'pending'";
    tx.execute(sql, params![id, reason, now]).map(drop)
}

/// What failed and waits for its next attempt is due at once: the most of it, for that is little while breakers open.
pub fn make_due(tx: &mut dyn Tx, endpoint: EndpointId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries SET due_at = $2 WHERE id IN (SELECT id FROM deliveries \
               WHERE endpoint_id = $1 AND state = 'pending' AND failure_count > 0 AND due_at > $2 LIMIT $3)";
    tx.execute(sql, params![endpoint, now, MOST_MADE_DUE]).map(drop)
}

/// The earlier delivery of the same experiment that failed and holds this one back.
pub fn held_back_by(tx: &mut dyn Tx, delivery: &Delivery) -> Result<Option<Delivery>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deliveries WHERE endpoint_id = $1 AND is_behind = $2 AND experiment_id = $3 \
         AND revision < $4 AND state = 'pending' AND origin <> 'resend' ORDER BY revision LIMIT 1"
    );
    let values = params![delivery.endpoint_id, delivery.is_behind, delivery.experiment_id, delivery.revision];
    query_one(tx, "deliveries", &sql, values, decode)
}

/// Deliveries moved in one transaction.
const MOST_MADE_DUE: u32 = 500;
/// Pending deliveries are counted no further than this.
pub const MOST_COUNTED: u32 = 100_000;

/// How many deliveries of an endpoint are pending, counted up to [`MOST_COUNTED`].
pub fn count_pending(tx: &mut dyn Tx, endpoint: EndpointId) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS count FROM \
               (SELECT 1 AS one FROM deliveries WHERE endpoint_id = $1 AND state = 'pending' LIMIT $2) counted";
    Ok(query_one(tx, "deliveries", sql, params![endpoint, MOST_COUNTED], |row| row.get("count"))?.unwrap_or(0))
}
