//! Deliveries and their attempts: what is owed to whom, and what came of it.
//!
//! A delivery is pending until an attempt's outcome is recorded. Nobody claims one: the lane that owns its endpoint sends it.

use serde::Serialize;

use super::{Row, StoreError, Tx, Value, events, query_as, query_one};
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
    pub attempt_count: u32,
    /// When the next attempt is due, while it is pending.
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// One HTTP request made for a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    pub number: u32,
    pub started_at: Timestamp,
    pub duration_us: u64,
    pub status_code: Option<u32>,
    /// `dns`, `blocked_address`, `connect`, `tls`, `timeout`, `status`, …; null for a success.
    pub error_class: Option<String>,
    pub error: Option<String>,
    /// The first 4 KiB of the answer.
    pub response_body: Option<String>,
}

/// What an attempt leaves behind: the attempt, and where the delivery stands after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub delivery_id: DeliveryId,
    pub attempt: Attempt,
    pub state: DeliveryState,
    pub due_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

const COLUMNS: &str =
    "id, event_id, endpoint_id, experiment_id, revision, state, reason, attempt_count, due_at, created_at, ended_at";

fn decode(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: row.get("id")?,
        event_id: row.get("event_id")?,
        endpoint_id: row.get("endpoint_id")?,
        experiment_id: row.get("experiment_id")?,
        revision: row.get("revision")?,
        state: row.word("state", DeliveryState::parse)?,
        reason: row.get("reason")?,
        attempt_count: row.get("attempt_count")?,
        due_at: row.get("due_at")?,
        created_at: row.get("created_at")?,
        ended_at: row.get("ended_at")?,
    })
}

/// Most rows under one INSERT, which bounds the statements that stay prepared.
const ROWS_A_STATEMENT: usize = 50;

/// Owes `event` to each of these endpoints.
pub fn insert(tx: &mut dyn Tx, event: &Event, owed: &[(DeliveryId, EndpointId)]) -> Result<(), StoreError> {
    for chunk in owed.chunks(ROWS_A_STATEMENT) {
        let mut values = vec![
            event.id.into(),
            Value::from(event.experiment_id),
            Value::from(event.revision),
            Value::from(event.occurred_at),
        ];
        let mut rows = Vec::with_capacity(chunk.len());
        for (id, endpoint) in chunk {
            values.push((*id).into());
            values.push((*endpoint).into());
            rows.push(format!("(${}, $1, ${}, $2, $3, 'pending', 0, $4, $4)", values.len() - 1, values.len()));
        }
        let sql = format!(
            "INSERT INTO deliveries (id, event_id, endpoint_id, experiment_id, revision, state, attempt_count, due_at, created_at) VALUES {}",
            rows.join(", ")
        );
        tx.execute(&sql, &values)?;
    }
    Ok(())
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

/// A pending delivery with the event it carries.
#[derive(Debug, Clone)]
pub struct Pending {
    pub id: DeliveryId,
    pub attempt_count: u32,
    pub due_at: Timestamp,
    pub event: std::sync::Arc<Event>,
}

/// The pending deliveries of an endpoint behind (`experiment`, `revision`), in that order: those that are due by
/// `due_by`, or were never tried, whatever the clock has done since they were made.
pub fn pending_after(
    tx: &mut dyn Tx,
    endpoint: EndpointId,
    (experiment, revision): (ExperimentId, i64),
    due_by: Timestamp,
    limit: u32,
) -> Result<Vec<Pending>, StoreError> {
    let sql = "SELECT e.id, e.experiment_id, e.revision, e.type, e.occurred_at, e.data, e.detailed, \
               d.id AS delivery_id, d.attempt_count, d.due_at \
               FROM deliveries d JOIN events e ON e.id = d.event_id WHERE d.endpoint_id = $1 AND d.state = 'pending' \
               AND (d.experiment_id, d.revision) > ($2, $3) AND (d.due_at <= $5 OR d.attempt_count = 0) \
               ORDER BY d.experiment_id, d.revision LIMIT $4";
    query_as(tx, "deliveries", sql, params![endpoint, experiment, revision, limit, due_by], |row| {
        Ok(Pending {
            id: row.get("delivery_id")?,
            attempt_count: row.get("attempt_count")?,
            due_at: row.get("due_at")?,
            event: events::decode(row)?.into(),
        })
    })
}

/// How many deliveries of an endpoint are pending.
pub fn count_pending(tx: &mut dyn Tx, endpoint: EndpointId) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS count FROM deliveries WHERE endpoint_id = $1 AND state = 'pending'";
    Ok(query_one(tx, "deliveries", sql, params![endpoint], |row| row.get("count"))?.unwrap_or(0))
}

/// Records attempts, and moves their deliveries if these are still pending: one that was cancelled stays so.
pub fn record(tx: &mut dyn Tx, outcomes: &[Outcome]) -> Result<(), StoreError> {
    for chunk in outcomes.chunks(ROWS_A_STATEMENT) {
        insert_attempts(tx, chunk)?;
        // Of several attempts for one delivery the last says where it stands.
        let is_last = |(i, outcome): (usize, &Outcome)| {
            chunk[i + 1..].iter().all(|later| later.delivery_id != outcome.delivery_id)
        };
        let last: Vec<_> = chunk.iter().enumerate().filter(|item| is_last(*item)).map(|(_, outcome)| outcome).collect();
        move_pending(tx, &last)?;
    }
    Ok(())
}

fn insert_attempts(tx: &mut dyn Tx, outcomes: &[Outcome]) -> Result<(), StoreError> {
    let mut values = Vec::with_capacity(outcomes.len() * 8);
    for outcome in outcomes {
        let attempt = &outcome.attempt;
        values.push(outcome.delivery_id.into());
        values.push(Value::from(attempt.number));
        values.push(Value::from(attempt.started_at));
        values.push(Value::from(attempt.duration_us));
        values.push(Value::from(attempt.status_code));
        values.push(Value::from(attempt.error_class.clone()));
        values.push(Value::from(attempt.error.clone()));
        values.push(Value::from(attempt.response_body.clone()));
    }
    // A delivery that retention has removed meanwhile takes no attempts any more, and must not keep out the others'.
    let sql = format!(
        "WITH attempt (delivery_id, number, started_at, duration_us, status_code, error_class, error, response_body) AS (VALUES {}) \
         INSERT INTO attempts (delivery_id, number, started_at, duration_us, status_code, error_class, error, response_body) \
         SELECT * FROM attempt WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.id = attempt.delivery_id) \
         ON CONFLICT (delivery_id, number) DO NOTHING",
        rows_of(outcomes.len(), &["TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT"])
    );
    tx.execute(&sql, &values).map(drop)
}

fn move_pending(tx: &mut dyn Tx, outcomes: &[&Outcome]) -> Result<(), StoreError> {
    let mut values = Vec::with_capacity(outcomes.len() * 5);
    for outcome in outcomes {
        values.push(outcome.delivery_id.into());
        values.push(Value::from(outcome.state.as_str()));
        values.push(Value::from(outcome.attempt.number));
        values.push(Value::from(outcome.due_at));
        values.push(Value::from(outcome.ended_at));
    }
    let sql = format!(
        "WITH outcome (id, state, attempt_count, due_at, ended_at) AS (VALUES {}) \
         UPDATE deliveries SET state = outcome.state, attempt_count = outcome.attempt_count, due_at = outcome.due_at, \
         ended_at = outcome.ended_at FROM outcome WHERE deliveries.id = outcome.id AND deliveries.state = 'pending'",
        rows_of(outcomes.len(), &["TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT"])
    );
    tx.execute(&sql, &values).map(drop)
}

/// Placeholders for `rows` rows, each cast to the type of its column: `(CAST($1 AS TEXT), CAST($2 AS BIGINT)), …`
fn rows_of(rows: usize, types: &[&str]) -> String {
    let place = |index: usize, sql_type: &&str| format!("CAST(${} AS {sql_type})", index + 1);
    let row = |row: usize| {
        let places: Vec<_> =
            types.iter().enumerate().map(|(i, sql_type)| place(row * types.len() + i, sql_type)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

pub fn attempts(tx: &mut dyn Tx, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
    let sql = "SELECT number, started_at, duration_us, status_code, error_class, error, response_body FROM attempts \
               WHERE delivery_id = $1 ORDER BY number";
    query_as(tx, "attempts", sql, params![delivery], |row| {
        Ok(Attempt {
            number: row.get("number")?,
            started_at: row.get("started_at")?,
            duration_us: row.get("duration_us")?,
            status_code: row.get("status_code")?,
            error_class: row.get("error_class")?,
            error: row.get("error")?,
            response_body: row.get("response_body")?,
        })
    })
}
