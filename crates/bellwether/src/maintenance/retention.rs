//! Lets old deliveries and events go, in small batches at low priority, so that no delivery ever waits for it.

use std::time::Duration;

use tokio::sync::watch;

use crate::domain::clock::Timestamp;
use crate::registry::Registry;
use crate::store::retention::{self, Pruned};
use crate::store::{StoreError, Tx, lived};

/// Rows in one transaction.
const BATCH: u32 = 250;
const INTERVAL: Duration = Duration::from_secs(600);

/// Keeps what is younger than `keep`, until `stop` turns true: each batch is a transaction, and so it may be left off
/// between any two.
pub async fn run(registry: Registry, keep: Duration, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        _ = stop.wait_for(|is_stopping| *is_stopping) => {}
        () = prune_again_and_again(&registry, keep) => {}
    }
}

async fn prune_again_and_again(registry: &Registry, keep: Duration) {
    loop {
        match registry.prune(keep).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old deliveries and events were removed"),
            Err(error) => tracing::warn!(%error, "old deliveries and events cannot be removed yet; trying again"),
        }
        if let Err(error) = registry.prune_sessions().await.and(registry.prune_idempotency_keys().await) {
            tracing::warn!(%error, "expired sessions and keys of requests cannot be removed yet; trying again");
        }
        registry.clock().sleep(INTERVAL).await;
    }
}

impl Registry {
    /// Removes all that is older than `keep`, as time was lived through, and tells how many deliveries and events that were.
    /// What is still pending then is ended as expired, and is kept for as long again. What cannot be done of this keeps the
    /// rest from nothing.
    pub async fn prune(&self, keep: Duration) -> Result<u64, StoreError> {
        // Also what a change that crossed with its endpoint's deletion has left.
        let cancelled = self.cancel_owed_to_deleted().await;
        let older = move |tx: &mut dyn Tx| lived::older_than(tx, keep);
        let Some(cutoff) = self.db().write_outcomes::<_, StoreError, _>(older).await? else {
            return cancelled.map(|()| 0);
        };
        let deliveries = self.prune_deliveries(cutoff).await;
        let events = self.prune_events(cutoff).await;
        cancelled?;
        Ok(deliveries? + events?)
    }

    async fn prune_deliveries(&self, cutoff: Timestamp) -> Result<u64, StoreError> {
        let (mut after, mut count) = (None, 0);
        loop {
            let now = self.clock().now();
            let prune = move |tx: &mut dyn Tx| retention::prune_deliveries(tx, after, cutoff, now, BATCH);
            let Pruned { expired, removed, last } = self.db().write_outcomes(prune).await?;
            if expired > 0 {
                tracing::warn!(expired, "deliveries that were pending for longer than the retention were cancelled");
            }
            count += removed;
            if last.is_none() {
                return Ok(count);
            }
            after = last;
        }
    }

    async fn prune_events(&self, cutoff: Timestamp) -> Result<u64, StoreError> {
        let (mut after, mut count) = (0, 0);
        loop {
            let prune = move |tx: &mut dyn Tx| retention::prune_events(tx, after, cutoff, BATCH);
            let (removed, last) = self.db().write_outcomes(prune).await?;
            count += removed;
            match last {
                Some(last) => after = last,
                None => return Ok(count),
            }
        }
    }
}
