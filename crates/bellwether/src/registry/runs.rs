//! Commands on runs: request, start, end, cancel. Every started run ends in exactly one event; the transaction that ends
//! it publishes its results.

use std::time::Duration;

use bellwether_webhook::EventType;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::record::Action;
use super::{Context, Error, Registry, Result, RunHint};
use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::FieldChange;
use crate::domain::definition::{AssignmentSource, FactSource};
use crate::domain::error::{Conflict, Refusal};
use crate::domain::experiment::Experiment;
use crate::domain::id::{ExperimentId, RunId};
use crate::domain::lifecycle;
use crate::domain::metric::Metric;
use crate::domain::point::Point;
use crate::domain::results::Results;
use crate::domain::run::{self, Asked, LATENESS, LoggedStep, Mode, Run, RunState, Window};
use crate::domain::status::Status;
use crate::domain::warehouse::Warehouse;
use crate::domain::warning::Warning;
use crate::store::{StoreError, Tx, definitions, experiments, points, runs};

/// When an experiment is looked at again that cannot be read, or whose schedule cannot.
const UNREADABLE_WAIT: Duration = Duration::from_mins(10);

/// A requested run, and whether it is one that was there already.
#[derive(Debug, Clone)]
pub struct Requested {
    pub run: Run,
    pub is_joined: bool,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// What it found, if it got that far.
    pub results: Option<Results>,
    /// Why it failed; `None` for a success.
    pub error: Option<String>,
    /// The imbalance test's verdict and p-value, if it was reached; it may have been though the run failed later.
    pub imbalance: Option<(bool, Option<f64>)>,
    /// What it warns of, as far as it got.
    pub warnings: Vec<Warning>,
    /// It failed for want of its process, and says nothing of what it was to compute.
    pub is_abandoned: bool,
}

impl Registry {
    pub async fn request_run(&self, actor: Actor, id: ExperimentId, asked: impl Into<Asked>) -> Result<Requested> {
        let asked = asked.into();
        self.command(move |context, tx| {
            let experiment = context.lock(tx, id)?;
            if experiment.status == Status::Draft {
                return Err(Refusal::conflict(Conflict::State, "the experiment is a draft; start it, then run").into());
            }
            context.open_run(tx, &experiment, &actor, asked, true, None)
        })
        .await
    }

    /// Opens the runs that are due by schedule, and notes when each experiment's next one is. Tells how many were due. One
    /// that cannot be opened keeps the others from nothing, and is tried again.
    pub async fn request_scheduled_runs(&self, limit: u32) -> Result<usize> {
        self.command(move |context, tx| {
            let now = context.setup.clock.now();
            let due = experiments::due_for_run(tx, now, limit)?;
            for id in &due {
                context.request_scheduled_run(tx, *id, now)?;
            }
            Ok(due.len())
        })
        .await
    }

    /// The run is under way from now; `None` if it is no longer queued.
    pub async fn start_run(&self, id: RunId) -> Result<Option<(Run, Experiment)>> {
        self.command(move |context, tx| {
            let Some(mut run) = runs::lock(tx, id)?.filter(|run| run.state == RunState::Queued) else {
                return Ok(None);
            };
            // Another of this experiment may have been started meanwhile; this one waits for its end.
            if runs::open_of(tx, run.experiment_id)?.iter().any(|other| other.state == RunState::Running) {
                return Ok(None);
            }
            run.state = RunState::Running;
            run.started_at = Some(context.setup.clock.now());
            runs::save(tx, &run)?;
            runs::set_node(tx, run.id, context.node_id)?;
            let experiment = experiments::get(tx, run.experiment_id)?;
            Ok(experiment.map(|experiment| (run, experiment)))
        })
        .await
    }

    /// Keeps what the figures of an experiment were at the end of an earlier day.
    pub async fn keep_point(&self, id: ExperimentId, point: Point) -> Result<()> {
        self.command(move |_, tx| Ok(points::save(tx, id, &point)?)).await
    }

    /// The days of which the figures are known.
    pub async fn known_days(&self, id: ExperimentId) -> Result<Vec<String>> {
        self.db().read(move |tx: &mut dyn Tx| Ok(points::days(tx, id)?)).await
    }

    /// Notes how many statements a run will have.
    pub async fn expect_steps(&self, id: RunId, count: u64) -> Result<()> {
        self.command(move |_, tx| Ok(runs::expect_steps(tx, id, count)?)).await
    }

    /// Writes a statement into the run's log.
    pub async fn log_step(&self, id: RunId, position: u32, step: LoggedStep) -> Result<()> {
        self.command(move |_, tx| Ok(runs::save_step(tx, id, position, &step)?)).await
    }

    /// Ends a running run and publishes what it found. One that has ended already stays as it is: `false`.
    pub async fn end_run(&self, id: RunId, ending: Ending) -> Result<bool> {
        self.command(move |context, tx| {
            let Some(run) = runs::get(tx, id)? else { return Err(Refusal::not_found("run", id).into()) };
            // The experiment of one that has ended may be gone.
            if run.state != RunState::Running {
                return Ok(false);
            }
            let mut experiment = context.lock(tx, run.experiment_id)?;
            // Looked up again under the lock, for another may have ended it meanwhile.
            let Some(run) = runs::lock(tx, id)?.filter(|run| run.state == RunState::Running) else {
                return Ok(false);
            };
            context.end_running(tx, &mut experiment, run, &ending)?;
            if let Some(transition) = lifecycle::by_results(&experiment, context.trusted_now()) {
                context.carry_out(tx, &mut experiment, transition)?;
            }
            Ok(true)
        })
        .await
    }

    /// A queued run is cancelled at once; a running one is asked to stop, and ends as a failure.
    pub async fn cancel_run(&self, id: RunId) -> Result<Run> {
        self.command(move |context, tx| {
            let experiment = runs::get(tx, id)?.map(|run| run.experiment_id);
            let experiment = experiment.map_or(Ok(None), |id| experiments::lock(tx, id))?;
            let run = runs::lock(tx, id)?.ok_or_else(|| Refusal::not_found("run", id))?;
            match run.state {
                RunState::Queued => {
                    // It may have been the one that was to decide.
                    experiment.map_or(Ok(()), |mut experiment| context.note_due(tx, &mut experiment))?;
                    context.cancel_queued(tx, run)
                }
                RunState::Running => context.ask_to_stop(tx, id).map(|()| run),
                ended => {
                    let detail = format!("the run has ended already: {}", ended.as_str());
                    Err(Refusal::conflict(Conflict::State, detail).into())
                }
            }
        })
        .await
    }
}

impl Context {
    /// The end of a running run: its results are the experiment's, and where it stands by them; an event.
    fn end_running(&self, tx: &mut dyn Tx, experiment: &mut Experiment, mut run: Run, ending: &Ending) -> Result<()> {
        let now = self.setup.clock.now();
        run.state = if ending.error.is_none() { RunState::Success } else { RunState::Failure };
        run.ended_at = Some(now);
        run.error = ending.error.clone();
        run.is_traffic_imbalance =
            ending.imbalance.map_or(experiment.is_traffic_imbalance, |(is_imbalance, _)| is_imbalance);
        run.imbalance_p_value = ending.imbalance.and_then(|(_, p_value)| p_value);
        run.warnings = ending.warnings.clone();
        experiment.is_traffic_imbalance = run.is_traffic_imbalance;
        // By a clock that is ahead it would know of an end that has not come.
        let made_at = run.created_at.min(self.trusted_now());
        let end = experiment.configuration.end();
        // A definition that cannot be read keeps no run from its end.
        let is_current = definitions_of(tx, experiment).is_ok_and(|now| run.definitions == Some(now));
        let mut changes = Vec::new();
        if let (RunState::Success, Some(results)) = (run.state, &ending.results) {
            let previous = experiment.results_run_id.map_or(Ok(None), |id| runs::results(tx, id))?;
            run.is_data_updated = previous.is_none_or(|previous| !previous.same_figures(results));
            runs::insert_results(tx, experiment.id, results)?;
            let until = experiment.configuration.facts_end(run.created_at).max(run.window.end);
            points::save(tx, experiment.id, &Point::of(results, until))?;
            let from = json!(experiment.results_run_id);
            changes.push(FieldChange { field: "results_run_id".into(), from, to: json!(run.id) });
            experiment.results_run_id = Some(run.id);
            experiment.results_updated_at = Some(now);
            experiment.standing = experiment.standing.succeeded(results, made_at, end, is_current);
        } else if !ending.is_abandoned {
            let reason = run.error.clone().unwrap_or_default();
            experiment.standing = experiment.standing.failed(reason, made_at, end, is_current);
        }
        runs::save(tx, &run)?;
        let action = Action {
            reason: run.error.clone().unwrap_or_default(),
            ..Action::new(EventType::CalculatedMetricsUpdated, "run_ended", changes)
        };
        self.advance(tx, experiment, &run.actor.clone(), action, Some(&run))
    }

    /// Ends a run that is queued or running, for `reason`: of one that was never started there is no event.
    pub fn end_open_run(&self, tx: &mut dyn Tx, experiment: &mut Experiment, run: Run, reason: &str) -> Result<()> {
        let Some(run) = runs::lock(tx, run.id)? else { return Ok(()) };
        match run.state {
            RunState::Queued => self.cancel_queued(tx, run).map(drop),
            RunState::Running => {
                let id = run.id;
                let error = Some(format!("it was stopped: {reason}"));
                let ending =
                    Ending { results: None, error, imbalance: None, warnings: Vec::new(), is_abandoned: false };
                self.end_running(tx, experiment, run, &ending)?;
                self.ask_to_stop(tx, id)
            }
            RunState::Success | RunState::Failure | RunState::Cancelled => Ok(()),
        }
    }

    /// Leaves alone what has been started meanwhile.
    pub fn cancel_if_queued(&self, tx: &mut dyn Tx, id: RunId) -> Result<()> {
        match runs::lock(tx, id)?.filter(|run| run.state == RunState::Queued) {
            Some(run) => self.cancel_queued(tx, run).map(drop),
            None => Ok(()),
        }
    }

    fn cancel_queued(&self, tx: &mut dyn Tx, mut run: Run) -> Result<Run> {
        run.state = RunState::Cancelled;
        run.ended_at = Some(self.setup.clock.now());
        runs::save(tx, &run)?;
        Ok(run)
    }

    /// Another node may carry the run out; that one looks every few seconds.
    fn ask_to_stop(&self, tx: &mut dyn Tx, id: RunId) -> Result<()> {
        runs::ask_to_cancel(tx, id)?;
        let hints = self.hints.clone();
        tx.after_commit(Box::new(move || hints.runs(RunHint::Cancel(id))));
        Ok(())
    }

    fn request_scheduled_run(&self, tx: &mut dyn Tx, id: ExperimentId, now: Timestamp) -> Result<()> {
        match self.open_scheduled_run(tx, id, now) {
            Err(Error::Store(error @ StoreError::Corrupt { .. })) => {
                tracing::error!(%error, experiment = id, "a scheduled run cannot be opened; trying again later");
                Ok(experiments::set_next_run(tx, id, Some(now.plus(UNREADABLE_WAIT)))?)
            }
            other => other,
        }
    }

    fn open_scheduled_run(&self, tx: &mut dyn Tx, id: ExperimentId, now: Timestamp) -> Result<()> {
        let Some(mut experiment) = experiments::lock(tx, id)? else { return Ok(()) };
        if experiment.next_run_at.is_none_or(|at| at > now) {
            return Ok(()); // Another node was first.
        }
        if is_past_schedule(&experiment, now) {
            return Ok(experiments::set_next_run(tx, id, None)?);
        }
        match self.open_run(tx, &experiment, &Actor::System, Mode::Incremental.into(), false, None) {
            Ok(_) => {}
            // Nothing to scan yet: the next time, perhaps.
            Err(Error::Refused(reason)) => {
                tracing::info!(experiment = id, %reason, "a scheduled run was not opened")
            }
            Err(error) => return Err(error),
        }
        self.schedule_next_run(tx, &mut experiment, now)
    }

    /// Joins an open run or opens one. A run that was made before `not_before` is none to join.
    pub fn open_run(
        &self,
        tx: &mut dyn Tx,
        experiment: &Experiment,
        actor: &Actor,
        asked: Asked,
        is_manual: bool,
        not_before: Option<Timestamp>,
    ) -> Result<Requested> {
        let definitions = definitions_of(tx, experiment)?;
        let mut open = runs::open_of(tx, experiment.id)?;
        open.retain(|run| not_before.is_none_or(|not_before| run.created_at >= not_before));
        if let Some(run) = run::answering(&open, asked, &definitions) {
            let Asked { mode, fills_history } = asked;
            let is_more = mode == Mode::Full && run.mode != Mode::Full || fills_history && !run.fills_history;
            let run = Run {
                mode: if is_more { Mode::Full } else { run.mode },
                fills_history: run.fills_history || fills_history,
                ..run.clone()
            };
            // Another node may have started it since it was read; then another is queued, and nothing of that one touched.
            if !is_more || runs::make_full(tx, run.id, fills_history)? {
                return Ok(Requested { run, is_joined: true });
            }
        }
        let now = self.setup.clock.now();
        let run = Run {
            id: RunId::of(self.setup.ids.next()),
            experiment_id: experiment.id,
            mode: asked.mode,
            fills_history: asked.fills_history,
            is_manual,
            state: RunState::Queued,
            actor: actor.clone(),
            // Nothing is kept between runs yet, so that an incremental one scans everything, and says so.
            window: Window::of(&experiment.configuration, asked.mode, None, now)?,
            created_at: now,
            started_at: None,
            ended_at: None,
            error: None,
            is_data_updated: false,
            is_traffic_imbalance: experiment.is_traffic_imbalance,
            imbalance_p_value: None,
            warnings: Vec::new(),
            definitions: Some(definitions),
        };
        runs::save(tx, &run)?;
        let hints = self.hints.clone();
        tx.after_commit(Box::new(move || hints.runs(RunHint::Queued)));
        Ok(Requested { run, is_joined: false })
    }
}

/// All that defines what a run of the experiment computes, in short: what of its configuration enters, and the version of
/// every definition that it refers to.
pub fn definitions_of(tx: &mut dyn Tx, experiment: &Experiment) -> Result<String> {
    let configuration = &experiment.configuration;
    let assignments = configuration.assignment_source_id;
    let assignments = assignments.map_or(Ok(None), |id| definitions::get::<AssignmentSource>(tx, id))?;
    let warehouse = assignments.as_ref().map(|source| source.body.warehouse_id);
    let warehouse = warehouse.map_or(Ok(None), |id| definitions::get::<Warehouse>(tx, id))?;
    let entry = configuration.entry_point.map(|entry| entry.fact_source_id);
    let entry = entry.map_or(Ok(None), |id| definitions::get::<FactSource>(tx, id))?;
    let mut metrics = Vec::new();
    for attached in experiments::attached_metrics(tx, experiment.id)? {
        let metric = definitions::get::<Metric>(tx, attached.metric_id)?;
        let mut sources = Vec::new();
        for (_, aggregation) in metric.iter().flat_map(|metric| metric.body.aggregations()) {
            let source = definitions::source_of_fact(tx, aggregation.fact_id)?;
            sources.push(source.map(|source| (source.id, source.version)));
        }
        metrics.push(json!([attached, metric.map(|metric| metric.version), sources]));
    }
    let all = json!([
        configuration.key,
        configuration.entity_id,
        configuration.variations,
        configuration.assignments_start_date,
        configuration.assignments_end_date,
        configuration.events_end_date,
        configuration.analysis_plan,
        entry.map(|source| (source.id, source.version)),
        assignments.map(|source| (source.id, source.version)),
        warehouse.map(|warehouse| (warehouse.id, warehouse.version)),
        metrics,
    ]);
    let digest = Sha256::digest(all.to_string());
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Scheduled runs end some time after the experiment's later end, so that late facts are still counted.
fn is_past_schedule(experiment: &Experiment, now: Timestamp) -> bool {
    let end = experiment.configuration.end();
    let has_none = experiment.status == Status::Draft || experiment.configuration.is_archived;
    has_none || end.is_some_and(|end| end.plus(LATENESS) < now)
}
