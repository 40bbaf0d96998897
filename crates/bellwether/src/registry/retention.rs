//! Lets old deliveries and events go, in small batches at low priority, so that no delivery ever waits for it.

use std::time::Duration;

use tokio::sync::watch;

use super::Registry;
use crate::store::{StoreError, Tx, retention};

/// Rows in one transaction.
const BATCH: u32 = 250;
const INTERVAL: Duration = Duration::from_secs(600);

/// Keeps what is younger than `keep`, until `stop` turns true.
pub async fn run(registry: Registry, keep: Duration, mut stop: watch::Receiver<bool>) {
    loop {
        match registry.prune(keep).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old deliveries and events were removed"),
            Err(error) => tracing::warn!(%error, "old deliveries and events cannot be removed yet; trying again"),
        }
        tokio::select! {
            _ = stop.wait_for(|is_stopping| *is_stopping) => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

impl Registry {
    /// Removes all that is older than `keep`, and tells how many deliveries and events that were. What is still pending
    /// then is ended as expired, and goes with the next round.
    pub async fn prune(&self, keep: Duration) -> Result<u64, StoreError> {
        let mut count = 0;
        // Also what a change that crossed with its endpoint's deletion has left.
        self.cancel_owed_to_deleted().await?;
        loop {
            let now = self.clock().now();
            let cutoff = now.minus(keep);
            let expired = self
                .db()
                .write_outcomes(move |tx: &mut dyn Tx| retention::expire_pending(tx, cutoff, now, BATCH))
                .await?;
            if expired > 0 {
                tracing::warn!(expired, "deliveries that were pending for longer than the retention were cancelled");
            }
            let deliveries: u64 =
                self.db().write_outcomes(move |tx: &mut dyn Tx| retention::prune_deliveries(tx, cutoff, BATCH)).await?;
            let events: u64 =
                self.db().write_outcomes(move |tx: &mut dyn Tx| retention::prune_events(tx, cutoff, BATCH)).await?;
            count += deliveries + events;
            if expired + deliveries + events == 0 {
                return Ok(count);
            }
        }
    }
}
