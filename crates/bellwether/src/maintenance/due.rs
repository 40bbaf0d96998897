//! Looks for what is due by date: experiments that start, and experiments that have ended. What is due and what becomes of
//! it is the registry's.

use std::time::Duration;

use tokio::sync::watch;

use crate::registry::Registry;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Experiments in one transaction.
const BATCH: u32 = 100;

/// Looks until `stop` turns true.
pub async fn run(registry: Registry, mut stop: watch::Receiver<bool>) {
    let mut is_doubted = false;
    while !*stop.borrow() {
        let has_failed = loop {
            match registry.carry_out_due(BATCH).await {
                Ok(count) if count == BATCH as usize && !*stop.borrow() => {}
                Ok(_) => break false,
                Err(error) => {
                    tracing::warn!(%error, "what is due cannot be carried out yet; trying again");
                    break true;
                }
            }
        };
        tell_doubt(&registry, &mut is_doubted);
        let pause = if has_failed { 5 * INTERVAL } else { INTERVAL };
        tokio::select! {
            _ = stop.wait_for(|is_stopping| *is_stopping) => {}
            () = registry.clock().sleep(pause) => {}
        }
    }
}

/// Says once that the clock is not believed, and once that it is again.
fn tell_doubt(registry: &Registry, is_doubted: &mut bool) {
    match registry.clock_doubt() {
        Some(doubt) if !*is_doubted => tracing::warn!(
            "the clock went from {} to {}: for an hour, nothing that comes by date comes by what it says; set it right if it is wrong",
            doubt.before,
            doubt.after
        ),
        None if *is_doubted => tracing::info!("the clock is believed again"),
        _ => {}
    }
    *is_doubted = registry.clock_doubt().is_some();
}
