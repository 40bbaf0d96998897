//! Carries recoveries on, a step at a time (see `registry::recovery`).

use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::registry::Registry;

/// How often somebody looks for recoveries that a crash, or another node's death, has left.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Carries recoveries on until `stop` turns true: each step is a transaction, and so it may be left off between any two.
pub async fn run(registry: Registry, requested: std::sync::Arc<Notify>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        _ = stop.wait_for(|is_stopping| *is_stopping) => {}
        () = recover_all(&registry, &requested) => {}
    }
}

async fn recover_all(registry: &Registry, requested: &Notify) {
    loop {
        match registry.recover_some().await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "recoveries cannot go on yet; trying again"),
        }
        tokio::select! {
            () = requested.notified() => {}
            () = registry.clock().sleep(LOOK_INTERVAL) => {}
        }
    }
}
