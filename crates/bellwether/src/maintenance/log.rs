//! Tells those who follow the event log that it has grown. What this process adds is told at its commit, or by the
//! sequencer; on PostgreSQL other nodes add to it too, which is found by looking.

use std::time::Duration;

use tokio::sync::watch;

use crate::registry::Registry;
use crate::store::{StoreError, Tx, event_log};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks for what other nodes have added, while anybody follows, until `stop` turns true.
pub async fn run(registry: Registry, mut stop: watch::Receiver<bool>) {
    if registry.db().dialect().has_one_node() {
        return;
    }
    let mut seen = 0;
    loop {
        tokio::select! {
            _ = stop.wait_for(|is_stopping| *is_stopping) => return,
            () = registry.clock().sleep(LOOK_INTERVAL) => {}
        }
        if !registry.hints().is_log_followed() {
            continue;
        }
        let end: Result<i64, StoreError> = registry.db().look(|tx: &mut dyn Tx| event_log::end(tx)).await;
        match end {
            Ok(end) if end != seen => {
                seen = end;
                registry.hints().log_grew();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the end of the event log cannot be read yet; trying again"),
        }
    }
}
