//! Carries metric syncs on of which something remains to be removed, a step at a time (see `registry::metric_sync`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::registry::Registry;

/// How often somebody looks for what a crash, or another node's death, has left.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Carries them on until `stop` turns true: each step is a transaction, and so it may be left off between any two.
pub async fn run(registry: Registry, requested: Arc<Notify>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        _ = stop.wait_for(|is_stopping| *is_stopping) => {}
        () = carry_all_on(&registry, &requested) => {}
    }
}

async fn carry_all_on(registry: &Registry, requested: &Notify) {
    loop {
        match registry.carry_syncs_on().await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "metric syncs cannot go on yet; trying again"),
        }
        tokio::select! {
            () = requested.notified() => {}
            () = registry.clock().sleep(LOOK_INTERVAL) => {}
        }
    }
}
