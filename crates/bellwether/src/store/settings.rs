//! Single values that the installation remembers, each by a name below.

use super::{StoreError, Tx, query_one};
use crate::params;

/// Which `secret.key` the ciphertexts in this database were made with.
pub const SECRET_KEY_NAME: &str = "secret_key_name";

/// Another text whenever any endpoint changes, so that copies in memory know when they are old.
pub const ENDPOINTS_GENERATION: &str = "endpoints_generation";

/// How many events about endpoints there have been.
pub const ENDPOINT_EVENTS: &str = "endpoint_events";

/// How many facts there have been, and how many properties of facts.
pub const FACTS: &str = "numbers_of_facts";
pub const FACT_PROPERTIES: &str = "numbers_of_fact_properties";

/// With which words, and in which orders, lists are filled in.
pub const LISTS_INDEXED: &str = "lists_indexed";

/// How many metric syncs there have been.
pub const METRIC_SYNCS: &str = "numbers_of_metric_syncs";

/// How many lanes there have been.
pub const LANES: &str = "lanes";

/// When it was last tried whether anything can be written.
pub const WRITTEN_AT: &str = "written_at";

pub fn get(tx: &mut dyn Tx, name: &str) -> Result<Option<String>, StoreError> {
    query_one(tx, "settings", "SELECT value FROM settings WHERE name = $1", params![name], |row| row.get("value"))
}

/// The same, which then stays as it is until the transaction ends.
pub fn get_shared(tx: &mut dyn Tx, name: &str) -> Result<Option<String>, StoreError> {
    let sql = format!("SELECT value FROM settings WHERE name = $1{}", tx.dialect().for_share());
    query_one(tx, "settings", &sql, params![name], |row| row.get("value"))
}

pub fn set(tx: &mut dyn Tx, name: &str, value: &str) -> Result<(), StoreError> {
    tx.known().endpoints_generation = None;
    tx.execute(
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )
    .map(drop)
}

/// The next of the numbers that are counted under `name`, from 1 on. Others wait until this transaction ends.
pub fn next_number(tx: &mut dyn Tx, name: &str) -> Result<i64, StoreError> {
    let sql = "INSERT INTO settings (name, value) VALUES ($1, '1') \
               ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(settings.value AS BIGINT) + 1 AS TEXT) RETURNING value";
    let text: Option<String> = query_one(tx, "settings", sql, params![name], |row| row.get("value"))?;
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::Failed(format!("the setting {name} is no number")))
}
