//! Writes what came of attempts: many outcomes in one transaction, at low priority, again and again until it holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::monitor::Monitor;
use crate::domain::id::{DeliveryId, EndpointId};
use crate::kill_point;
use crate::registry::persist::until_taken;
use crate::registry::{Error, Registry, Report};
use crate::store::StoreError;

/// The most outcomes under one transaction. Many, for a change may be owed to many endpoints: changes would otherwise outrun
/// their outcomes, one commit after the other.
const LARGEST_BATCH: usize = 2048;
/// So many are worth a commit, and so are any that a lane will soon have to wait for; others wait this long for more, or for
/// a change to go along with.
const WORTH_WRITING: usize = LARGEST_BATCH / 2;
const PATIENCE: Duration = Duration::from_millis(5);
/// How soon an outcome that the database refuses is tried again by itself; twice as late each time in vain.
const REFUSED_WAIT: Duration = Duration::from_secs(1);
const LONGEST_REFUSED_WAIT: Duration = Duration::from_secs(60);

/// Deliveries of each endpoint whose latest outcome is on disk.
pub type Recorded = HashMap<EndpointId, Vec<DeliveryId>>;

/// Runs until `reports` is closed and everything from it is written. Nothing is dropped while the database cannot take
/// it: the lanes wait, for they are told only what is on disk. What it refuses, it is asked to take again and again, beside
/// what it takes.
pub async fn run(
    registry: Registry,
    monitor: Arc<Monitor>,
    mut reports: mpsc::UnboundedReceiver<Box<Report>>,
    recorded: mpsc::UnboundedSender<Recorded>,
) {
    let mut batch = Vec::new();
    let mut refused: JoinSet<Result<Box<Report>, Error>> = JoinSet::new();
    let tell = |done: &[Box<Report>]| {
        monitor.unrecorded.add(-i64::try_from(done.len()).unwrap_or(0));
        monitor.recorded.add(done.len() as u64);
        let mut by_endpoint = Recorded::new();
        for report in done {
            by_endpoint.entry(report.endpoint_id).or_default().push(report.outcome.position.delivery);
        }
        // Nobody listens any more when the engine has been stopped.
        let _ = recorded.send(by_endpoint);
    };
    loop {
        tokio::select! {
            has_more = gather(&registry, &mut reports, &mut batch) => if !has_more { break },
            Some(written) = refused.join_next() => {
                match written {
                    Ok(Ok(report)) => tell(&[report]),
                    Ok(Err(_)) => {}
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => {}
                }
                continue;
            }
        }
        let whole: Arc<[Box<Report>]> = batch.drain(..).collect();
        match write(&registry, whole.clone()).await {
            Ok(()) => {
                kill_point!("outcomes.recorded");
                tell(&whole);
            }
            Err(Error::Store(StoreError::Closed)) => break,
            Err(error) => {
                tracing::error!(%error, "some outcomes of deliveries cannot be recorded; looking for them");
                let (written, left) = write_apart(&registry, &whole).await;
                tell(&written);
                for report in left {
                    refused.spawn(write_refused(registry.clone(), report));
                }
            }
        }
    }
    if !refused.is_empty() {
        tracing::error!(count = refused.len(), "outcomes that the database refuses are lost; these will be sent again");
    }
}

/// The next batch; `false` when there is none any more.
#[expect(clippy::vec_box, reason = "what was sent as a pointer stays one")]
async fn gather(
    registry: &Registry,
    reports: &mut mpsc::UnboundedReceiver<Box<Report>>,
    batch: &mut Vec<Box<Report>>,
) -> bool {
    // What an earlier call has gathered and was stopped at is there already.
    if batch.is_empty() {
        reports.recv_many(batch, LARGEST_BATCH).await;
    }
    let mut patience = registry.clock().sleep(PATIENCE);
    let is_pressing = |batch: &[Box<Report>]| batch.iter().any(|report| report.is_pressing);
    while !batch.is_empty() && batch.len() < WORTH_WRITING && !is_pressing(batch) && !registry.db().has_commit_coming()
    {
        let most = LARGEST_BATCH - batch.len();
        tokio::select! {
            biased;
            more = reports.recv_many(batch, most) => if more == 0 { break },
            () = &mut patience => break,
        }
    }
    !batch.is_empty()
}

/// One of them cannot be written. It must not keep the others out: halved again and again, it is soon alone. Gives those
/// that were written, and those that were refused even without what their receivers have said.
async fn write_apart(registry: &Registry, reports: &[Box<Report>]) -> (Vec<Box<Report>>, Vec<Box<Report>>) {
    let (mut written, mut refused) = (Vec::new(), Vec::new());
    let mut parts = vec![reports];
    while let Some(part) = parts.pop() {
        let Err(error) = write(registry, part.into()).await else {
            written.extend_from_slice(part);
            continue;
        };
        match part {
            [report] => {
                let delivery = report.outcome.position.delivery;
                tracing::error!(%error, %delivery, "an outcome is refused; trying without its texts");
                match write(registry, [Box::new(report.alone())].into()).await {
                    Ok(()) => written.push(report.clone()),
                    Err(error) => {
                        tracing::error!(%error, %delivery, "an outcome is refused even so; trying again later");
                        refused.push(report.clone());
                    }
                }
            }
            _ => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
    }
    (written, refused)
}

/// Until it is written. Its delivery is not sent again meanwhile, for its lane counts it as under way.
async fn write_refused(registry: Registry, report: Box<Report>) -> Result<Box<Report>, Error> {
    let mut wait = REFUSED_WAIT;
    loop {
        registry.clock().sleep(wait).await;
        wait = (wait * 2).min(LONGEST_REFUSED_WAIT);
        match write(&registry, [Box::new(report.without_texts())].into()).await {
            Err(Error::Store(StoreError::Closed)) => return Err(StoreError::Closed.into()),
            Err(error) => {
                tracing::error!(%error, delivery = %report.outcome.position.delivery, "an outcome is still refused");
            }
            Ok(()) => return Ok(report),
        }
    }
}

async fn write(registry: &Registry, reports: Arc<[Box<Report>]>) -> Result<(), Error> {
    until_taken(&**registry.clock(), "outcomes of deliveries", || registry.record_outcomes(reports.clone())).await
}
