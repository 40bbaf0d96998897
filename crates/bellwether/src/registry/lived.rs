//! Lived time: while a process runs, it counts the time that passes in a counter that all share. What cannot be undone goes
//! by its differences, and not by a wall clock that may jump. It decides nothing itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::Registry;
use crate::store::{StoreError, Tx, lived};

/// Between two counts; no more is counted at once, however long a count took to come.
const INTERVAL: Duration = Duration::from_secs(60);

/// What the counter stood at when this process last looked.
#[derive(Default)]
pub(super) struct Lived(AtomicU64);

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
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let now = registry.clock().monotonic();
        by = now.saturating_sub(counted_at);
        counted_at = now;
    }
}

impl Registry {
    /// How long the installation has lived, to a minute.
    pub fn lived(&self) -> Duration {
        Duration::from_secs(self.context.lived.0.load(Ordering::Acquire))
    }

    /// Counts the time that has passed since this process last counted: at most a minute, and nothing where another process
    /// has counted meanwhile.
    pub async fn live(&self, by: Duration) -> Result<(), StoreError> {
        let (seen, by, wall) = (self.lived(), by.min(INTERVAL), self.clock().now());
        let advance = move |tx: &mut dyn Tx| lived::advance(tx, seen, by, wall);
        let lived = self.db().write_outcomes::<_, StoreError, _>(advance).await?;
        self.context.lived.0.store(lived.as_secs(), Ordering::Release);
        Ok(())
    }
}
