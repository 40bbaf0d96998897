//! API keys. A revoked one stays, so that the history can name it.

use super::{Row, StoreError, Tx, query_as, query_one};
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::key::{ApiKey, Role};
use crate::params;

const COLUMNS: &str = "id, name, role, hash, created_at, expires_at, last_used_at";

fn decode(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.get("id")?,
        name: row.get("name")?,
        role: row.word("role", Role::parse)?,
        hash: row.get("hash")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

pub fn insert(tx: &mut dyn Tx, key: &ApiKey) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO keys (id, name, role, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        params![key.id, &key.name, key.role.as_str(), key.hash.clone(), key.created_at, key.expires_at],
    )
    .map(drop)
}

/// The same, over one of this id that is there already: whatever became of it, it is in force again.
pub fn put(tx: &mut dyn Tx, key: &ApiKey) -> Result<(), StoreError> {
    let sql = "INSERT INTO keys (id, name, role, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (id) DO UPDATE SET role = excluded.role, hash = excluded.hash, \
               expires_at = excluded.expires_at, revoked_at = NULL";
    tx.execute(sql, params![key.id, &key.name, key.role.as_str(), key.hash.clone(), key.created_at, key.expires_at])
        .map(drop)
}

/// A key that has not been revoked; it may have expired.
pub fn get(tx: &mut dyn Tx, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE id = $1 AND revoked_at IS NULL");
    query_one(tx, "keys", &sql, params![id], decode)
}

pub fn list(tx: &mut dyn Tx, after: &str, limit: u32) -> Result<Vec<ApiKey>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE id > $1 AND revoked_at IS NULL ORDER BY id LIMIT $2");
    query_as(tx, "keys", &sql, params![after, limit], decode)
}

/// Of those who ask whether there is an admin key, to change that; arbitrary but fixed.
const ADMINS_LOCK: i64 = 0x6265_6c6c_6b65;

/// Which admin keys there are is one transaction's business at a time.
pub fn lock_admins(tx: &mut dyn Tx) -> Result<(), StoreError> {
    match tx.dialect().exclusive_lock() {
        Some(sql) => tx.query(sql, params![ADMINS_LOCK], &mut |_| Ok(())),
        None => Ok(()),
    }
}

/// Whether any admin key is in force.
pub fn has_admin(tx: &mut dyn Tx, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM keys WHERE role = 'admin' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) LIMIT 1";
    Ok(query_one(tx, "keys", sql, params![now], |row| row.get::<KeyId>("id"))?.is_some())
}

/// Whether any admin key is in force that does not expire.
pub fn has_lasting_admin(tx: &mut dyn Tx) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM keys WHERE role = 'admin' AND revoked_at IS NULL AND expires_at IS NULL LIMIT 1";
    Ok(query_one(tx, "keys", sql, &[], |row| row.get::<KeyId>("id"))?.is_some())
}

/// `false` if there is no such key in force.
pub fn revoke(tx: &mut dyn Tx, id: KeyId, now: Timestamp) -> Result<bool, StoreError> {
    let count = tx.execute("UPDATE keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL", params![id, now])?;
    Ok(count == 1)
}

pub fn note_use(tx: &mut dyn Tx, id: KeyId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE keys SET last_used_at = $2 WHERE id = $1", params![id, now]).map(drop)
}
