//! Attempts and what they came to: many at a time, for a delivery costs one batched write.

use std::collections::HashSet;

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
        // Of several attempts for one delivery the last says where it stands.
        let is_last = |(i, outcome): (usize, &&Outcome)| {
            chunk[i + 1..].iter().all(|later| later.delivery_id != outcome.delivery_id)
        };
        let last: Vec<_> =
            chunk.iter().enumerate().filter(|item| is_last(*item)).map(|(_, outcome)| *outcome).collect();
        let moved = move_pending(tx, &last)?;
        let (of_moved, late): (Vec<_>, Vec<_>) =
            chunk.iter().copied().partition(|outcome| moved.contains(&outcome.delivery_id));
        insert_attempts(tx, &of_moved)?;
        insert_late_attempts(tx, &late)?;
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
    if moved == 0 { insert_late_attempts(tx, &[outcome]) } else { insert_attempts(tx, &[outcome]) }
}

const ATTEMPT_COLUMNS: &str =
    "delivery_id, number, started_at, duration_us, status_code, error_class, error, response_body";
const ATTEMPT_TYPES: [&str; 8] = ["TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT"];

/// Of deliveries that this transaction has moved, and that are therefore there.
fn insert_attempts(tx: &mut dyn Tx, outcomes: &[&Outcome]) -> Result<(), StoreError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO attempts ({ATTEMPT_COLUMNS}) VALUES {} ON CONFLICT (delivery_id, number) DO NOTHING",
        rows_of(outcomes.len(), ATTEMPT_TYPES.len(), |place| format!("${place}"))
    );
    tx.execute(&sql, &attempt_values(outcomes)).map(drop)
}

/// Of deliveries that had ended. One that retention has removed takes no attempts any more, and must not keep out the
/// others'; the rest is held, so that it is not removed just now, and the attempt left behind.
fn insert_late_attempts(tx: &mut dyn Tx, outcomes: &[&Outcome]) -> Result<(), StoreError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "WITH attempt ({ATTEMPT_COLUMNS}) AS (VALUES {}) INSERT INTO attempts ({ATTEMPT_COLUMNS}) \
         SELECT * FROM attempt WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.id = attempt.delivery_id{}) \
         ON CONFLICT (delivery_id, number) DO NOTHING",
        typed_rows_of(outcomes.len(), &ATTEMPT_TYPES),
        tx.dialect().for_share()
    );
    tx.execute(&sql, &attempt_values(outcomes)).map(drop)
}

fn attempt_values(outcomes: &[&Outcome]) -> Vec<Value> {
    let mut values = Vec::with_capacity(outcomes.len() * ATTEMPT_TYPES.len());
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
    values
}

/// Tells which of them were pending. Their rows are this transaction's until it ends.
fn move_pending(tx: &mut dyn Tx, outcomes: &[&Outcome]) -> Result<HashSet<DeliveryId>, StoreError> {
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
         failure_count = outcome.failure_count, due_at = outcome.due_at, ended_at = outcome.ended_at \
         FROM outcome WHERE deliveries.id = outcome.id AND deliveries.state = 'pending' RETURNING deliveries.id",
        typed_rows_of(outcomes.len(), &["TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"])
    );
    Ok(query_as(tx, "deliveries", &sql, &values, |row| row.get("id"))?.into_iter().collect())
}

/// Placeholders for `rows` rows, each cast to the type of its column: `(CAST($1 AS TEXT), CAST($2 AS BIGINT)), …`. Where
/// rows are not inserted as they are, PostgreSQL cannot tell their types otherwise.
fn typed_rows_of(rows: usize, types: &[&str]) -> String {
    rows_of(rows, types.len(), |place| format!("CAST(${place} AS {})", types[(place - 1) % types.len()]))
}

fn rows_of(rows: usize, columns: usize, place: impl Fn(usize) -> String) -> String {
    let row = |row: usize| {
        let places: Vec<_> = (1..=columns).map(|column| place(row * columns + column)).collect();
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
