//! Reads files on for which no question has the patience: text files have no types before they were read whole, once. What is
//! found is remembered by the engine, so that the next to ask does not wait.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Limits, session};
use crate::domain::warehouse::Engine;

/// For all files that one statement names: about 2 TB at the pace of one core.
const TIMEOUT: Duration = Duration::from_hours(1);
/// Statements whose files are read at once.
const AT_ONCE: usize = 1;

/// What is being read.
#[derive(Default)]
pub struct Reading(Arc<Mutex<HashSet<String>>>);

impl Reading {
    /// Reads what `sql` names, or every table of the warehouse; `false` if others are being read already, and this has to wait
    /// its turn.
    pub fn go_on(&self, limits: &Limits, engine: &Engine, sql: Option<&str>) -> bool {
        let of = format!("{engine:?} {sql:?}");
        let name: String = Sha256::digest(of).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.contains(&name) {
            return true;
        }
        if under_way.len() >= AT_ONCE {
            return false;
        }
        under_way.insert(name.clone());
        let (limits, engine, sql, reading) = (limits.clone(), engine.clone(), sql.map(str::to_owned), self.0.clone());
        tokio::spawn(async move {
            let ended = tokio::time::timeout(TIMEOUT, read(&limits, &engine, sql.as_deref(), &name)).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::warn!(?ended, "files could not be read for the types of their columns");
            }
            reading.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        });
        true
    }
}

async fn read(
    limits: &Limits,
    engine: &Engine,
    sql: Option<&str>,
    name: &str,
) -> Result<(), bellwether_warehouse::WarehouseError> {
    let scratch = limits.scratch.join(format!("reading-{name}"));
    let (mut session, _) = session::open(limits, engine, &scratch).await?;
    let found = match sql {
        Some(sql) => session.check(sql).await.map(drop),
        None => session.tables().await.map(drop),
    };
    session.kill().await;
    let _ = tokio::fs::remove_dir_all(&scratch).await;
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::warehouse::Warehouse;

    #[tokio::test]
    async fn one_is_read_at_a_time_and_the_next_once_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = serde_json::json!({"name": "w", "kind": "files", "path": folder.path()});
        let engine = serde_json::from_value::<Warehouse>(warehouse).unwrap().engine;
        let limits = Limits {
            timeout: TIMEOUT,
            memory_bytes: 1 << 30,
            max_runs: 1,
            scratch: folder.path().join("scratch"),
            files_roots: vec![folder.path().to_owned()],
            program: "/bin/false".into(),
        };
        let reading = Reading::default();
        assert!(reading.go_on(&limits, &engine, Some("SELECT 1")));
        assert!(reading.go_on(&limits, &engine, Some("SELECT 1")), "it is being read already");
        assert!(!reading.go_on(&limits, &engine, None), "others wait their turn");
        while !reading.go_on(&limits, &engine, None) {
            tokio::task::yield_now().await;
        }
    }
}
