//! Requests that were carried out under a key of the client's choice. What was answered is sealed: secrets stand in some.

use super::{StoreError, Tx, query_one};
use crate::domain::clock::Timestamp;
use crate::params;

/// What is kept of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// By what the request is known again.
    pub request: Vec<u8>,
    /// `None`: it was carried out, but what it was answered is not known.
    pub answer: Option<Vec<u8>>,
}

/// What was carried out under `key` since `since`, for this holder.
pub fn get(tx: &mut dyn Tx, holder: &str, key: &str, since: Timestamp) -> Result<Option<Kept>, StoreError> {
    let sql = "SELECT key, request, answer FROM idempotency_keys WHERE holder = $1 AND key = $2 AND created_at >= $3";
    query_one(tx, "idempotency_keys", sql, params![holder, key, since], |row| {
        Ok(Kept { request: row.get("request")?, answer: row.get("answer")? })
    })
}

/// Notes that a request is carried out now; `false`: one was, since `since`.
pub fn claim(
    tx: &mut dyn Tx,
    (holder, key): (&str, &str),
    request: &[u8],
    now: Timestamp,
    since: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO idempotency_keys (holder, key, request, created_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (holder, key) DO UPDATE SET request = excluded.request, answer = NULL, created_at = excluded.created_at \
               WHERE idempotency_keys.created_at < $5";
    Ok(tx.execute(sql, params![holder, key, request.to_vec(), now, since])? == 1)
}

pub fn set_answer(tx: &mut dyn Tx, holder: &str, key: &str, answer: &[u8]) -> Result<(), StoreError> {
    let sql = "UPDATE idempotency_keys SET answer = $3 WHERE holder = $1 AND key = $2";
    tx.execute(sql, params![holder, key, answer.to_vec()]).map(drop)
}

pub fn prune(tx: &mut dyn Tx, before: Timestamp) -> Result<(), StoreError> {
    tx.execute("DELETE FROM idempotency_keys WHERE created_at < $1", params![before]).map(drop)
}
