//! Counts the time that passes while this process runs (see `registry::lived`).

use std::time::Duration;

use tokio::sync::watch;

use crate::registry::Registry;
use crate::registry::lived::LONGEST_COUNT;

/// Counts until `stop` turns true.
pub async fn run(registry: Registry, mut stop: watch::Receiver<bool>) {
    let mut counted_at = registry.clock().monotonic();
    let mut by = Duration::ZERO;
    loop {
        if let Err(error) = registry.live(by).await {
            tracing::warn!(%error, "the time that passes cannot be counted yet");
        }
        if *stop.borrow() {
            return;
        }
        tokio::select! {
            _ = stop.wait_for(|is_stopping| *is_stopping) => {}
            () = registry.clock().sleep(LONGEST_COUNT) => {}
        }
        let now = registry.clock().monotonic();
        by = now.saturating_sub(counted_at);
        counted_at = now;
    }
}
