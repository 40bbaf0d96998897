//! The pipeline: opens scheduled runs, carries runs out, and ends every one that was started, whatever becomes of it.
//!
//! Queries run in a child process (see `bellwether_warehouse::Session`), so that none, however bad, stops a delivery.
//! What a run's end means for experiment, event and deliveries is the registry's.

mod analysis;
mod plan;
mod queries;
mod query;
mod run;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::id::RunId;
use crate::registry::{Ending, Registry, Result, RunWake};
use crate::run::RunState;
use crate::store::runs;

pub use queries::{Queries, QueryError};

/// How often schedules and the queue are looked at without a hint.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Runs opened or picked up at a time.
const BATCH: u32 = 100;

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

impl Limits {
    pub fn of(config: &Config) -> Self {
        Self {
            timeout: Duration::from_secs(config.run_timeout_seconds),
            memory_bytes: config.run_memory_mib * 1024 * 1024,
            max_runs: config.max_runs,
            scratch: config.data.join("scratch"),
            files_roots: config.files_roots.clone(),
            program: config.program.clone(),
        }
    }
}

pub struct Pipeline {
    registry: Registry,
    hints: mpsc::Receiver<RunWake>,
    limits: Limits,
    under_way: JoinSet<RunId>,
    cancels: HashMap<RunId, oneshot::Sender<()>>,
}

impl Pipeline {
    pub fn prepare(registry: Registry, hints: mpsc::Receiver<RunWake>, limits: Limits) -> Self {
        Self { registry, hints, limits, under_way: JoinSet::new(), cancels: HashMap::new() }
    }

    /// Works until `stop` turns true; what is under way then ends as a failure.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stop.wait_for(|is_stopping| *is_stopping) => break,
                _ = look.tick() => {}
                hint = self.hints.recv() => match hint {
                    Some(RunWake::Cancel(id)) => drop(self.cancels.remove(&id).map(|cancel| cancel.send(()))),
                    Some(RunWake::Queued | RunWake::ScheduleChanged) => {}
                    None => break,
                },
                Some(ended) = self.under_way.join_next() => {
                    if let Ok(id) = ended {
                        self.cancels.remove(&id);
                    }
                }
            }
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the pipeline cannot go on yet; trying again");
            }
        }
        for (_, cancel) in self.cancels.drain() {
            let _ = cancel.send(());
        }
        while self.under_way.join_next().await.is_some() {}
    }

    /// Ends what has no process any more, opens what is due, starts what is queued.
    async fn look(&mut self) -> Result<()> {
        self.end_abandoned().await?;
        while self.registry.request_scheduled_runs(BATCH).await? == BATCH as usize {}
        while self.under_way.len() < self.limits.max_runs {
            let queued = self.registry.db().read(|tx| runs::in_state(tx, RunState::Queued, 1)).await;
            let Some(run) = queued?.pop() else { break };
            let Some((run, experiment)) = self.registry.start_run(run.id).await? else { continue };
            let (cancel, cancelled) = oneshot::channel();
            self.cancels.insert(run.id, cancel);
            self.under_way.spawn(run::carry_out(
                self.registry.clone(),
                self.limits.clone(),
                run,
                experiment,
                cancelled,
            ));
        }
        Ok(())
    }

    /// A run that is called running, but is not under way here, was left behind by a process that died.
    async fn end_abandoned(&self) -> Result<()> {
        let running = self.registry.db().read(|tx| runs::in_state(tx, RunState::Running, BATCH)).await;
        for run in running?.into_iter().filter(|run| !self.cancels.contains_key(&run.id)) {
            let error = "the process that carried it out ended before the run did; run it again".to_owned();
            self.registry.end_run(run.id, Ending { results: None, error: Some(error), imbalance: None }).await?;
        }
        Ok(())
    }
}
