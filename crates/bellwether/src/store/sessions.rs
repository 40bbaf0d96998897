//! Login links and sessions. They go with their person; what has expired is removed by and by.

use super::{Row, StoreError, Tx, query_as, query_one};
use crate::domain::clock::Timestamp;
use crate::domain::id::{LoginLinkId, PersonId, SessionId};
use crate::domain::session::{LoginLink, Session};
use crate::params;

const COLUMNS: &str = "id, person_id, hash, client, created_at, expires_at, last_used_at";

fn decode(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.get("id")?,
        person_id: row.get("person_id")?,
        hash: row.get("hash")?,
        client: row.get("client")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

pub fn insert_link(tx: &mut dyn Tx, link: &LoginLink) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO login_links (id, person_id, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        params![link.id, link.person_id, link.hash.clone(), link.created_at, link.expires_at],
    )
    .map(drop)
}

/// It may have expired.
pub fn link(tx: &mut dyn Tx, id: LoginLinkId) -> Result<Option<LoginLink>, StoreError> {
    let sql = "SELECT id, person_id, hash, created_at, expires_at FROM login_links WHERE id = $1";
    query_one(tx, "login_links", sql, params![id], |row| {
        Ok(LoginLink {
            id: row.get("id")?,
            person_id: row.get("person_id")?,
            hash: row.get("hash")?,
            created_at: row.get("created_at")?,
            expires_at: row.get("expires_at")?,
        })
    })
}

/// `false` if somebody else was first.
pub fn use_up_link(tx: &mut dyn Tx, id: LoginLinkId) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM login_links WHERE id = $1", params![id])? == 1)
}

pub fn insert(tx: &mut dyn Tx, session: &Session) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO sessions (id, person_id, hash, client, created_at, expires_at, last_used_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            session.id,
            session.person_id,
            session.hash.clone(),
            &session.client,
            session.created_at,
            session.expires_at,
            session.last_used_at
        ],
    )
    .map(drop)
}

/// It may have expired.
pub fn get(tx: &mut dyn Tx, id: SessionId) -> Result<Option<Session>, StoreError> {
    query_one(tx, "sessions", &format!("SELECT {COLUMNS} FROM sessions WHERE id = $1"), params![id], decode)
}

/// Of one person, the oldest first.
pub fn list(tx: &mut dyn Tx, person: PersonId, after: &str, limit: u32) -> Result<Vec<Session>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE person_id = $1 AND id > $2 ORDER BY id LIMIT $3");
    query_as(tx, "sessions", &sql, params![person, after, limit], decode)
}

/// `false` if there is none.
pub fn delete(tx: &mut dyn Tx, id: SessionId) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM sessions WHERE id = $1", params![id])? == 1)
}

pub fn note_use(tx: &mut dyn Tx, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE sessions SET last_used_at = $2 WHERE id = $1", params![id, now]).map(drop)
}

/// Removes what has expired before `now`, and sessions that were not used since `rested`.
pub fn prune(tx: &mut dyn Tx, now: Timestamp, rested: Timestamp) -> Result<(), StoreError> {
    tx.execute("DELETE FROM login_links WHERE expires_at < $1", params![now])?;
    tx.execute("DELETE FROM sessions WHERE expires_at < $1 OR last_used_at < $2", params![now, rested]).map(drop)
}
