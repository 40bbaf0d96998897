//! The pipeline: opens scheduled runs, carries runs out, and ends every one that was started, whatever becomes of it.
//!
//! Queries run in a child process (see `bellwether_warehouse::Session`), so that none, however bad, stops a delivery.
//! What a run's end means for experiment, event and deliveries is the registry's.

mod ad_hoc;
mod adjusting;
mod analysis;
pub mod columns;
mod compute;
mod counts;
mod discovery;
pub mod explain;
mod fact_figures;
mod findings;
mod history;
mod inference;
mod plan;
mod progress;
mod properties;
mod reading;
mod run;
mod session;
mod steps;
mod tables;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::domain::id::{NodeId, RunId};
use crate::maintenance::nodes::View;
use crate::registry::{Ending, Error, Registry, Result, RunHint};
use crate::store::{Tx, runs};
pub use ad_hoc::{AdHocQueries, QueryError};

/// How often schedules and the queue are looked at without a hint.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Runs opened or picked up at a time.
const BATCH: u32 = 100;
/// For runs under way to come to their end by themselves when the process is asked to stop, and no other shares its work.
const LAST_PATIENCE: Duration = Duration::from_secs(20);
/// For the ends of the others to be recorded.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a run fails whose process ends before it.
const AT_STOP: &str = "the server was stopped before it had ended; run it again";

/// Why a run fails that somebody asked to stop.
const BY_HAND: &str = "it was cancelled";

/// What a run may take.
#[derive(Debug, Clone)]
pub struct Limits {
    pub timeout: Duration,
    pub memory_bytes: u64,
    /// Runs under way at once.
    pub max_runs: usize,
    /// Folder for intermediate results.
    pub scratch: PathBuf,
    pub files_roots: Vec<PathBuf>,
    /// The program that is started with `worker` to run queries: this one.
    pub program: PathBuf,
}

pub struct Pipeline {
    registry: Registry,
    hints: mpsc::Receiver<RunHint>,
    limits: Limits,
    /// Who lives: the runs of others are abandoned.
    view: watch::Receiver<View>,
    under_way: JoinSet<()>,
    runs: HashMap<tokio::task::Id, UnderWay>,
}

struct UnderWay {
    id: RunId,
    /// Taken when the run is asked to stop; it is under way until its task has ended.
    cancel: Option<oneshot::Sender<&'static str>>,
}

impl Pipeline {
    pub fn prepare(
        registry: Registry,
        hints: mpsc::Receiver<RunHint>,
        limits: Limits,
        view: watch::Receiver<View>,
    ) -> Self {
        Self { registry, hints, limits, view, under_way: JoinSet::new(), runs: HashMap::new() }
    }

    /// Works until `stop` turns true. What is under way then has a little time to end, and is ended as a failure after it; at
    /// once where there are other nodes.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let clock = self.registry.clock().clone();
        let mut look_due = clock.sleep(Duration::ZERO);
        loop {
            tokio::select! {
                _ = stop.wait_for(|is_stopping| *is_stopping) => break,
                () = &mut look_due => look_due = clock.sleep(LOOK_INTERVAL),
                hint = self.hints.recv() => match hint {
                    Some(RunHint::Cancel(id)) => self.cancel(BY_HAND, |run| run.id == id),
                    Some(RunHint::Queued | RunHint::ScheduleChanged) => {}
                    None => break,
                },
                Some(ended) = self.under_way.join_next_with_id() => {
                    // A task that panicked has left its run to be ended as abandoned.
                    let task = ended.map_or_else(|error| error.id(), |(task, ())| task);
                    self.runs.remove(&task);
                }
            }
            self.look(&stop).await;
        }
        let others = there_are_others(self.view.clone());
        let have_ended = tokio::select! {
            have_ended = self.have_ended(LAST_PATIENCE) => have_ended,
            // This node has sent its last: its endpoints are silent until it leaves, which waits for its runs.
            () = others => false,
        };
        if have_ended {
            return;
        }
        self.cancel(AT_STOP, |_| true);
        if !self.have_ended(STOP_TIMEOUT).await {
            tracing::warn!("some runs could not be ended before the time to stop was up; the next start ends them");
        }
    }

    async fn have_ended(&mut self, within: Duration) -> bool {
        let ended = async { while self.under_way.join_next().await.is_some() {} };
        tokio::time::timeout(within, ended).await.is_ok()
    }

    fn cancel(&mut self, reason: &'static str, which: impl Fn(&UnderWay) -> bool) {
        for run in self.runs.values_mut().filter(|run| which(run)) {
            if let Some(cancel) = run.cancel.take() {
                // It fails only if the run has just ended by itself.
                let _ = cancel.send(reason);
            }
        }
    }

    /// Ends what has no process any more, opens what is due, starts what is queued. What cannot be done of this keeps the
    /// rest from nothing.
    async fn look(&mut self, stop: &watch::Receiver<bool>) {
        let warn = |error: &Error| tracing::warn!(%error, "the pipeline cannot go on yet; trying again");
        let _ = self.end_abandoned().await.inspect_err(warn);
        let _ = self.heed_cancels().await.inspect_err(warn);
        let is_full = |due: &usize| *due == BATCH as usize;
        while !*stop.borrow()
            && self.registry.request_scheduled_runs(BATCH).await.inspect_err(warn).as_ref().is_ok_and(is_full)
        {}
        let _ = self.start_queued(stop).await.inspect_err(warn);
    }

    async fn start_queued(&mut self, stop: &watch::Receiver<bool>) -> Result<()> {
        let queued = self.registry.db().look(|tx: &mut dyn Tx| runs::startable(tx, BATCH)).await?;
        for id in queued {
            if *stop.borrow() || self.under_way.len() >= self.limits.max_runs {
                break;
            }
            let (run, experiment) = match self.registry.start_run(id).await {
                Ok(Some(started)) => started,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%error, run = %id, "a run cannot be started; trying again later");
                    continue;
                }
            };
            let (cancel, cancelled) = oneshot::channel();
            let limits = self.limits.clone();
            let carrying = run::carry_out(self.registry.clone(), limits, run, experiment, cancelled);
            let task = self.under_way.spawn(carrying);
            self.runs.insert(task.id(), UnderWay { id, cancel: Some(cancel) });
        }
        Ok(())
    }

    /// A run that is called running, but is not under way here or at another node that lives, was left behind by a process
    /// that died.
    async fn end_abandoned(&self) -> Result<()> {
        let (me, alive) = (self.registry.node_id(), self.view.borrow().alive.clone());
        if !alive.contains(&me) {
            return Ok(()); // Nobody knows yet who lives.
        }
        let running = self.registry.db().look(|tx| runs::running(tx)).await?;
        let is_under_way = |id: RunId, node: Option<NodeId>| match node {
            Some(node) if node == me => self.runs.values().any(|there| there.id == id),
            Some(node) => alive.contains(&node),
            None => false,
        };
        for (id, _) in running.into_iter().filter(|(id, node)| !is_under_way(*id, *node)) {
            let error = "the process that carried it out ended before the run did; run it again".to_owned();
            if let Err(error) = self
                .registry
                .end_run(
                    id,
                    Ending {
                        results: None,
                        error: Some(error),
                        imbalance: None,
                        warnings: Vec::new(),
                        is_abandoned: true,
                    },
                )
                .await
            {
                tracing::error!(%error, run = %id, "a run that was left behind cannot be ended; trying again later");
            }
        }
        Ok(())
    }

    /// Stops what somebody asked to stop at another node.
    async fn heed_cancels(&mut self) -> Result<()> {
        if !self.runs.is_empty() {
            let me = self.registry.node_id();
            let to_stop: Vec<RunId> = self.registry.db().look(move |tx| runs::to_stop(tx, me)).await?;
            self.cancel(BY_HAND, |run| to_stop.contains(&run.id));
        }
        Ok(())
    }
}

/// Ends as soon as another node than this one lives; never where there can be none.
async fn there_are_others(mut view: watch::Receiver<View>) {
    if view.wait_for(|view| view.alive.len() > 1).await.is_err() {
        std::future::pending().await
    }
}
