//! Writes what came of attempts: many outcomes in one transaction, at low priority, again and again until it holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::monitor::Monitor;
use crate::id::{DeliveryId, EndpointId};
use crate::kill_point;
use crate::registry::{Error, Registry, Report};
use crate::store::StoreError;

/// The most outcomes under one transaction. Many, for a change may be owed to many endpoints: changes would otherwise outrun
/// their outcomes, one commit after the other.
const LARGEST_BATCH: usize = 2048;
/// So many are worth a commit, and so are any that a lane will soon have to wait for; others wait this long for more, or for
/// a change to go along with.
const WORTH_WRITING: usize = LARGEST_BATCH / 2;
const PATIENCE: Duration = Duration::from_millis(5);
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Deliveries of each endpoint whose latest outcome is on disk.
pub type Recorded = HashMap<EndpointId, Vec<DeliveryId>>;

/// Runs until `reports` is closed and everything from it is written. Nothing is dropped while the database cannot take
/// it: the lanes wait, for they are told only what is on disk.
pub async fn run(
    registry: Registry,
    monitor: Arc<Monitor>,
    mut reports: mpsc::UnboundedReceiver<Box<Report>>,
    recorded: mpsc::UnboundedSender<Recorded>,
) {
    let mut batch = Vec::new();
    while gather(&registry, &mut reports, &mut batch).await {
        let mut done = Recorded::new();
        for report in &batch {
            done.entry(report.endpoint_id).or_default().push(report.outcome.key.delivery);
        }
        let whole: Arc<[Box<Report>]> = batch.drain(..).collect();
        if let Err(error) = write(&registry, whole.clone()).await {
            tracing::error!(%error, "some outcomes of deliveries cannot be recorded; looking for them");
            write_apart(&registry, &whole).await;
        }
        kill_point!("outcomes.recorded");
        monitor.unrecorded.add(-i64::try_from(whole.len()).unwrap_or(0));
        monitor.recorded.add(whole.len() as u64);
        // Nobody listens any more when the engine has been stopped.
        let _ = recorded.send(done);
    }
}

/// The next batch; `false` when there is none any more.
#[expect(clippy::vec_box, reason = "what was sent as a pointer stays one")]
async fn gather(
    registry: &Registry,
    reports: &mut mpsc::UnboundedReceiver<Box<Report>>,
    batch: &mut Vec<Box<Report>>,
) -> bool {
    reports.recv_many(batch, LARGEST_BATCH).await;
    let until = tokio::time::Instant::now() + PATIENCE;
    let is_pressing = |batch: &[Box<Report>]| batch.iter().any(|report| report.is_pressing);
    while !batch.is_empty() && batch.len() < WORTH_WRITING && !is_pressing(batch) && !registry.db().has_commit_coming()
    {
        let more = reports.recv_many(batch, LARGEST_BATCH - batch.len());
        if !matches!(tokio::time::timeout_at(until, more).await, Ok(1..)) {
            break;
        }
    }
    !batch.is_empty()
}

/// One of them cannot be written, ever. It must not keep the others out: halved again and again, it is soon alone.
async fn write_apart(registry: &Registry, reports: &[Box<Report>]) {
    let mut parts = vec![reports];
    while let Some(part) = parts.pop() {
        let Err(error) = write(registry, part.into()).await else { continue };
        match part {
            [report] => {
                tracing::error!(%error, delivery = %report.outcome.key.delivery, "an outcome was not recorded");
            }
            _ => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
    }
}

/// Tries until it holds, or until it is certain that it never will.
async fn write(registry: &Registry, reports: Arc<[Box<Report>]>) -> Result<(), Error> {
    let mut wait = SHORTEST_WAIT;
    loop {
        match registry.record_outcomes(reports.clone()).await {
            Err(Error::Store(
                error @ (StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::OutcomeUnknown(_)),
            )) => {
                tracing::warn!(%error, "outcomes of deliveries cannot be recorded yet; trying again");
            }
            other => return other,
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
