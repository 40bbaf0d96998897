//! Attempts and what they came to: many at a time, for a delivery costs one batched write.

use std::collections::{HashMap, HashSet};

use super::engine::rows::{Column, Rows, as_lists, lists};
use super::undelivered::{is_key, values};
use super::{Row, StoreError, Tx, Value, execute_all, query_as, query_one};
use crate::domain::delivery::{Attempt, DeliveryState, Outcome, Queue};
use crate::domain::id::DeliveryId;
use crate::params;

static ATTEMPTS: Rows<10> = Rows::into(
    "attempts",
    [
        ("delivery_id", "UUID"),
        ("number", "BIGINT"),
        ("started_at", "BIGINT"),
        ("duration_us", "BIGINT"),
        ("status_code", "BIGINT"),
        ("error_class", "TEXT"),
        ("error", "TEXT"),
        ("request_headers", "TEXT"),
        ("response_headers", "TEXT"),
        ("response_body", "TEXT"),
    ],
    "ON CONFLICT (delivery_id, number) DO NOTHING",
);

/// Records attempts, and moves their deliveries if these are still pending: one that was cancelled stays so, and what comes
/// late, behind the outcome of a later attempt, moves nothing back.
pub fn record(tx: &mut dyn Tx, outcomes: &[&Outcome]) -> Result<(), StoreError> {
    if tx.dialect().prefers_single_rows() {
        for outcome in outcomes {
            if move_one(tx, outcome)? || is_kept(tx, outcome.position.delivery)? {
                ATTEMPTS.insert(tx, &attempt_row(outcome))?;
            }
        }
        return Ok(());
    }
    let moved = move_many(tx, outcomes)?;
    let mut kept = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        if moved.contains(&outcome.position.delivery) || is_kept(tx, outcome.position.delivery)? {
            kept.push(attempt_row(outcome));
        }
    }
    let writes = ATTEMPTS.inserting(tx.dialect(), kept);
    execute_all(tx, &writes)
}

/// Whether a delivery that has ended is there: one that retention has removed takes no attempts any more. It is held, so
/// that it is not removed just now, and the attempt left behind.
fn is_kept(tx: &mut dyn Tx, delivery: DeliveryId) -> Result<bool, StoreError> {
    let sql = format!("SELECT id FROM deliveries WHERE id = $1{}", tx.dialect().for_share());
    let found = query_one(tx, "deliveries", &sql, params![delivery], |row| row.get::<DeliveryId>("id"))?;
    Ok(found.is_some())
}

fn attempt_row(outcome: &Outcome) -> [Value; 10] {
    let attempt = outcome.attempt.clone();
    let Attempt { number, started_at, duration_us, status_code, error_class, error, .. } = attempt;
    [
        outcome.position.delivery.into(),
        number.into(),
        started_at.into(),
        duration_us.into(),
        status_code.into(),
        error_class.into(),
        error.into(),
        attempt.request_headers.into(),
        attempt.response_headers.into(),
        attempt.response_body.into(),
    ]
}

/// The queue in which a delivery stands after `outcome`; `None`: it is delivered.
fn queue_after(outcome: &Outcome) -> Option<Queue> {
    match outcome.state {
        DeliveryState::Delivered => None,
        DeliveryState::Pending => Some(outcome.position.queue),
        DeliveryState::Exhausted => Some(Queue::Exhausted),
        DeliveryState::Cancelled => Some(Queue::Cancelled),
    }
}

fn values_after(outcome: &Outcome, queue: Queue) -> [Value; 10] {
    let [lane, queue_now, experiment, revision, delivery] = values(&outcome.position);
    let Outcome { attempt, failure_count, due_at, ended_at, .. } = outcome;
    let next = Value::Word(queue.as_str());
    let (attempts, failures) = (attempt.number.into(), (*failure_count).into());
    [lane, queue_now, experiment, revision, delivery, next, attempts, failures, (*due_at).into(), (*ended_at).into()]
}

/// `false` if it was not pending any more.
fn move_one(tx: &mut dyn Tx, outcome: &Outcome) -> Result<bool, StoreError> {
    let moved = match queue_after(outcome) {
        None => tx.execute(concat!("DELETE FROM undelivered WHERE ", is_key!()), &values(&outcome.position))?,
        Some(queue) => {
            let sql = concat!(
                "UPDATE undelivered SET queue = $6, attempt_count = $7, failure_count = $8, due_at = $9, ended_at = $10 WHERE ",
                is_key!(),
                " AND attempt_count < $7"
            );
            tx.execute(sql, &values_after(outcome, queue))?
        }
    };
    Ok(moved == 1)
}

const KEY_COLUMNS: [Column; 5] = [
    ("lane", "BIGINT"),
    ("queue", "TEXT"),
    ("experiment_id", "BIGINT"),
    ("revision", "BIGINT"),
    ("delivery_id", "UUID"),
];
const STAND_COLUMNS: [Column; 5] = [
    ("next_queue", "TEXT"),
    ("attempt_count", "BIGINT"),
    ("failure_count", "BIGINT"),
    ("due_at", "BIGINT"),
    ("ended_at", "BIGINT"),
];

/// Tells which of them were pending. Their rows are this transaction's until it ends.
fn move_many(tx: &mut dyn Tx, outcomes: &[&Outcome]) -> Result<HashSet<DeliveryId>, StoreError> {
    // Of several attempts for one delivery the last says where it stands.
    let last: HashMap<DeliveryId, &Outcome> =
        outcomes.iter().map(|outcome| (outcome.position.delivery, *outcome)).collect();
    // Rows are locked in the order in which they are given, and others lock them by their keys.
    let mut last: Vec<&Outcome> = last.into_values().collect();
    last.sort_unstable_by_key(|outcome| outcome.position.order());
    let (mut gone, mut staying) = (Vec::new(), Vec::new());
    for outcome in last {
        match queue_after(outcome) {
            None => gone.push(values(&outcome.position)),
            Some(queue) => staying.push(values_after(outcome, queue)),
        }
    }
    let is_key = "u.lane = given.lane AND u.queue = given.queue AND u.experiment_id = given.experiment_id \
                  AND u.revision = given.revision AND u.delivery_id = given.delivery_id";
    let tell = "RETURNING u.delivery_id";
    let delete = format!("DELETE FROM undelivered u USING {} WHERE {is_key} {tell}", lists(&KEY_COLUMNS));
    let update = format!(
        "UPDATE undelivered u SET queue = given.next_queue, attempt_count = given.attempt_count, \
         failure_count = given.failure_count, due_at = given.due_at, ended_at = given.ended_at \
         FROM {} WHERE {is_key} AND u.attempt_count < given.attempt_count {tell}",
        lists(&[KEY_COLUMNS, STAND_COLUMNS].concat())
    );
    let mut moved = HashSet::new();
    let id = |row: &Row<'_>| row.get::<DeliveryId>("delivery_id");
    if !gone.is_empty() {
        moved.extend(query_as(tx, "undelivered", &delete, &as_lists(gone), id)?);
    }
    if !staying.is_empty() {
        moved.extend(query_as(tx, "undelivered", &update, &as_lists(staying), id)?);
    }
    Ok(moved)
}

/// The latest `limit` attempts, in order. While a breaker is open there can be very many.
pub fn attempts(tx: &mut dyn Tx, delivery: DeliveryId, limit: u32) -> Result<Vec<Attempt>, StoreError> {
    let sql = "SELECT number, started_at, duration_us, status_code, error_class, error, request_headers, \
               response_headers, response_body FROM attempts \
               WHERE delivery_id = $1 ORDER BY number DESC LIMIT $2";
    let latest = query_as(tx, "attempts", sql, params![delivery, limit], |row| {
        Ok(Attempt {
            number: row.get("number")?,
            started_at: row.get("started_at")?,
            duration_us: row.get("duration_us")?,
            status_code: row.get("status_code")?,
            error_class: row.get("error_class")?,
            error: row.get("error")?,
            request_headers: row.get("request_headers")?,
            response_headers: row.get("response_headers")?,
            response_body: row.get("response_body")?,
        })
    })?;
    Ok(latest.into_iter().rev().collect())
}
