//! Attempts and what they came to: many at a time, for a delivery costs one batched write.

use serde::Serialize;

use super::deliveries::DeliveryState;
use super::{StoreError, Tx, Value, query_as};
use crate::clock::Timestamp;
use crate::id::DeliveryId;
use crate::params;

/// Most rows under one statement, which bounds the statements that stay prepared.
const ROWS_A_STATEMENT: usize = 50;

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
    pub failure_count: u32,
    pub due_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// Records attempts, and moves their deliveries if these are still pending: one that was cancelled stays so.
pub fn record(tx: &mut dyn Tx, outcomes: &[&Outcome]) -> Result<(), StoreError> {
    if tx.dialect().prefers_single_rows() {
        return outcomes.iter().try_for_each(|outcome| record_one(tx, outcome));
    }
    for chunk in outcomes.chunks(ROWS_A_STATEMENT) {
        insert_attempts(tx, chunk)?;
        // Of several attempts for one delivery the last says where it stands.
        let is_last = |(i, outcome): (usize, &&Outcome)| {
            chunk[i + 1..].iter().all(|later| later.delivery_id != outcome.delivery_id)
        };
        let last: Vec<_> =
            chunk.iter().enumerate().filter(|item| is_last(*item)).map(|(_, outcome)| *outcome).collect();
        move_pending(tx, &last)?;
    }
    Ok(())
}

fn record_one(tx: &mut dyn Tx, outcome: &Outcome) -> Result<(), StoreError> {
    let Outcome { delivery_id, attempt, state, failure_count, due_at, ended_at } = outcome;
    let moved = tx.execute(
        "UPDATE deliveries SET state = $2, attempt_count = $3, failure_count = $4, due_at = $5, ended_at = $6 \
         WHERE id = $1 AND state = 'pending'",
        params![*delivery_id, state.as_str(), attempt.number, *failure_count, *due_at, *ended_at],
    )?;
    // A delivery that retention has removed meanwhile takes no attempts any more.
    if moved == 0 {
        return insert_attempts(tx, &[outcome]);
    }
    tx.execute(
        "INSERT INTO attempts (delivery_id, number, started_at, duration_us, status_code, error_class, error, response_body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (delivery_id, number) DO NOTHING",
        params![
            *delivery_id,
            attempt.number,
            attempt.started_at,
            attempt.duration_us,
            attempt.status_code,
            attempt.error_class.clone(),
            attempt.error.clone(),
            attempt.response_body.clone()
        ],
    )
    .map(drop)
}

fn insert_attempts(tx: &mut dyn Tx, outcomes: &[&Outcome]) -> Result<(), StoreError> {
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
    let mut values = Vec::with_capacity(outcomes.len() * 6);
    for outcome in outcomes {
        values.push(outcome.delivery_id.into());
        values.push(Value::from(outcome.state.as_str()));
        values.push(Value::from(outcome.attempt.number));
        values.push(Value::from(outcome.failure_count));
        values.push(Value::from(outcome.due_at));
        values.push(Value::from(outcome.ended_at));
    }
    let sql = format!(
        "WITH outcome (id, state, attempt_count, failure_count, due_at, ended_at) AS (VALUES {}) \
         UPDATE deliveries SET state = outcome.state, attempt_count = outcome.attempt_count, \
         failure_count = outcome.failure_count, due_at = outcome.due_at, ended_at = outcome.ended_at FROM outcome WHERE deliveries.id = outcome.id AND deliveries.state = 'pending'",
        rows_of(outcomes.len(), &["TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"])
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

/// The latest `limit` attempts, in order. While a breaker is open there can be very many.
pub fn attempts(tx: &mut dyn Tx, delivery: DeliveryId, limit: u32) -> Result<Vec<Attempt>, StoreError> {
    let sql = "SELECT number, started_at, duration_us, status_code, error_class, error, response_body FROM attempts \
               WHERE delivery_id = $1 ORDER BY number DESC LIMIT $2";
    let latest = query_as(tx, "attempts", sql, params![delivery, limit], |row| {
        Ok(Attempt {
            number: row.get("number")?,
            started_at: row.get("started_at")?,
            duration_us: row.get("duration_us")?,
            status_code: row.get("status_code")?,
            error_class: row.get("error_class")?,
            error: row.get("error")?,
            response_body: row.get("response_body")?,
        })
    })?;
    Ok(latest.into_iter().rev().collect())
}
