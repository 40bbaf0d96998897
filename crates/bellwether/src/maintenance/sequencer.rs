//! Gives PostgreSQL's events their place in the log, after their commit: numbers given inside concurrent transactions
//! would become visible out of order, and a reader's cursor would skip. SQLite's are numbered in the transaction.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::registry::Registry;
use crate::store::{StoreError, Tx, event_log};

/// Events numbered in one transaction.
const BATCH: u32 = 1000;
/// From one round to the next, for more to come together: a round costs much the same for one event as for a hundred.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it looks without a hint.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub async fn run(registry: Registry, committed: Arc<Notify>, mut stop: watch::Receiver<bool>) {
    if registry.db().dialect().numbers_events_in_transaction() {
        return;
    }
    tokio::select! {
        _ = stop.wait_for(|is_stopping| *is_stopping) => {}
        () = number_all(&registry, &committed) => {}
    }
}

async fn number_all(registry: &Registry, committed: &Notify) {
    loop {
        let numbered: Result<u64, StoreError> =
            registry.db().write(|tx: &mut dyn Tx| event_log::number_committed(tx, BATCH)).await;
        match numbered {
            Ok(0) => {}
            Ok(count) => {
                registry.hints().log_grew();
                if count == u64::from(BATCH) {
                    continue;
                }
                registry.clock().sleep(PAUSE).await;
            }
            Err(error) => tracing::warn!(%error, "events cannot be numbered yet; trying again"),
        }
        tokio::select! {
            () = committed.notified() => {}
            () = registry.clock().sleep(LOOK_INTERVAL) => {}
        }
    }
}
