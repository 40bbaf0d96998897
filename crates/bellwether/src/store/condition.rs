//! What is known of the database itself, whatever is stored in it: its version, its schema, its clock, and what it is to us.

use super::{Dialect, StoreError, Tx, query_one};
use crate::domain::clock::Timestamp;
use crate::params;

/// The version of the schema; `None`: there is none.
pub fn schema_version(tx: &mut dyn Tx) -> Result<Option<i64>, StoreError> {
    let is_there = match tx.dialect() {
        Dialect::Sqlite => "SELECT COUNT(*) AS count FROM sqlite_master WHERE type = 'table' AND name = $1",
        Dialect::Postgres => {
            "SELECT COUNT(*) AS count FROM information_schema.tables WHERE table_schema = current_schema() AND CAST(table_name AS TEXT) = $1"
        }
    };
    let table = "schema_migrations";
    if query_one(tx, table, is_there, params![table], |row| row.get::<i64>("count"))? == Some(0) {
        return Ok(None);
    }
    let sql = "SELECT MAX(version) AS version FROM schema_migrations";
    Ok(query_one(tx, table, sql, &[], |row| row.get::<Option<i64>>("version"))?.flatten())
}

/// The engine's own version, in words.
pub fn engine_version(tx: &mut dyn Tx) -> Result<String, StoreError> {
    let (name, sql) = match tx.dialect() {
        Dialect::Sqlite => ("SQLite", "SELECT sqlite_version() AS version"),
        Dialect::Postgres => ("PostgreSQL", "SELECT current_setting('server_version') AS version"),
    };
    let version = query_one(tx, "version", sql, &[], |row| row.get::<String>("version"))?;
    Ok(format!("{name} {}", version.unwrap_or_default()))
}

/// SQLite's pages and rows read through; the first thing that is wrong with them.
pub fn damage(tx: &mut dyn Tx) -> Result<Option<String>, StoreError> {
    let verdict = query_one(tx, "quick_check", "PRAGMA quick_check(1)", &[], |row| row.get::<String>("quick_check"))?;
    Ok(verdict.filter(|verdict| verdict != "ok"))
}

/// What PostgreSQL is to us.
#[derive(Debug)]
pub struct Server {
    /// As a number: 150004 for 15.4.
    pub version: i64,
    pub role: String,
    pub is_superuser: bool,
    /// Connections that are there, of all programs, and that there may be.
    pub connections: u64,
    pub most_connections: u64,
    pub clock: Timestamp,
}

pub fn server(tx: &mut dyn Tx) -> Result<Option<Server>, StoreError> {
    let sql = "SELECT CAST(current_setting('server_version_num') AS BIGINT) AS version, CAST(current_user AS TEXT) AS role, \
               (SELECT CASE WHEN rolsuper THEN 1 ELSE 0 END FROM pg_roles WHERE rolname = current_user) AS is_superuser, \
               (SELECT CAST(SUM(numbackends) AS BIGINT) FROM pg_stat_database) AS connections, \
               CAST(current_setting('max_connections') AS BIGINT) \
               - CAST(current_setting('superuser_reserved_connections') AS BIGINT) AS most, \
               CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS clock";
    query_one(tx, "pg_roles", sql, &[], |row| {
        Ok(Server {
            version: row.get("version")?,
            role: row.get("role")?,
            is_superuser: row.get::<Option<i64>>("is_superuser")? == Some(1),
            connections: row.get("connections")?,
            most_connections: row.get("most")?,
            clock: row.get("clock")?,
        })
    })
}
