//! Carries out one run: its queries in a worker, its log, its end. Whatever happens, the run is ended.

use std::path::PathBuf;

use bellwether_warehouse::{Answered, Session, Table, TableError, WarehouseError};
use tokio::sync::oneshot;

use super::plan::{Measure, Plan, PlannedMetric};
use super::steps::{Rows, Scope, Step};
use super::{Limits, analysis, session};
use crate::domain::configuration::Variation;
use crate::domain::experiment::Experiment;
use crate::domain::run::{LoggedStep, MetricResult, Results, Run, Traffic, VariationResult};
use crate::registry::persist::until_taken;
use crate::registry::{Ending, Registry};

/// Aggregates of a query: one row for each variation, and a few more.
const MOST_ROWS: usize = 1000;

pub async fn carry_out(
    registry: Registry,
    limits: Limits,
    run: Run,
    experiment: Experiment,
    cancelled: oneshot::Receiver<&'static str>,
) {
    let scratch = limits.scratch.join(run.id.to_string());
    let mut work = Work {
        registry: registry.clone(),
        limits: limits.clone(),
        run: run.clone(),
        experiment,
        scratch: scratch.clone(),
        steps: 0,
        traffic: None,
    };
    let outcome = tokio::select! {
        outcome = work.compute() => outcome,
        () = registry.clock().sleep(limits.timeout) => Err(Failed(format!("it took longer than {} s and was stopped", limits.timeout.as_secs()))),
        // A sender that is dropped does not cancel: the pipeline holds it as long as the run is under way.
        Ok(reason) = cancelled => Err(Failed(reason.to_owned())),
    };
    let imbalance = work.traffic.as_ref().map(|traffic| (traffic.is_imbalance, traffic.p_value));
    let ending = match outcome {
        Ok(results) => Ending { error: failure_of(&results), results: Some(results), imbalance },
        Err(Failed(reason)) => Ending { results: None, error: Some(reason), imbalance },
    };
    // What was computed for hours does not go for a database that is away just now.
    if let Err(error) =
        until_taken(&**registry.clock(), "the end of a run", || registry.end_run(run.id, ending.clone())).await
    {
        // It stays running in the database, and is ended by the next look.
        tracing::error!(%error, run = %run.id, "the end of a run cannot be recorded");
    }
    drop(work);
    if let Err(error) = tokio::fs::remove_dir_all(&scratch).await {
        tracing::debug!(%error, "a run's scratch folder was not removed");
    }
}

/// A run succeeds if its primary metric is there or, without one, if any is. One without metrics succeeds by its traffic.
fn failure_of(results: &Results) -> Option<String> {
    let failed = |metric: &MetricResult| {
        metric.error.as_ref().map(|error| format!("the metric '{}' failed: {error}", metric.name))
    };
    match results.metrics.iter().find(|metric| metric.is_primary) {
        Some(primary) => failed(primary),
        None if results.metrics.iter().all(|metric| metric.error.is_some()) => results.metrics.first().and_then(failed),
        None => None,
    }
}

/// Why a run or a metric did not come to a result, for its log and its event's reader.
struct Failed(String);

impl From<WarehouseError> for Failed {
    fn from(error: WarehouseError) -> Self {
        if error.kind().is_none() {
            tracing::warn!(?error, "a run's worker has failed");
        }
        Self(error.to_string())
    }
}

impl From<TableError> for Failed {
    fn from(error: TableError) -> Self {
        Self(error.to_string())
    }
}

impl From<crate::registry::Error> for Failed {
    fn from(error: crate::registry::Error) -> Self {
        Self(error.to_string())
    }
}

struct Work {
    registry: Registry,
    limits: Limits,
    run: Run,
    experiment: Experiment,
    scratch: PathBuf,
    steps: u32,
    traffic: Option<Traffic>,
}

impl Work {
    async fn compute(&mut self) -> Result<Results, Failed> {
        let plan = Plan::load(&self.registry, &self.experiment).await?;
        let (mut session, dialect) = session::open(&self.limits, &plan.engine, &self.scratch).await?;
        let configuration = self.experiment.configuration.clone();
        let variations: Vec<&Variation> = configuration.active_variations().collect();
        let facts_end =
            configuration.events_end_date.map_or(self.run.created_at, |end| end.as_end().min(self.run.created_at));
        let scope = Scope {
            dialect,
            experiment_key: &configuration.key,
            variations: variations.iter().map(|variation| variation.key.as_str()).collect(),
            window: self.run.window,
            facts_end,
        };

        session.check(&plan.assignments.sql).await?;
        let steps = scope.traffic(&plan.assignments);
        self.step(&mut session, &steps.subjects).await?;
        let traffic = analysis::traffic(&variations, &self.step(&mut session, &steps.counts).await?)?;
        self.traffic = Some(traffic.clone());

        let mut metrics = Vec::new();
        for (place, metric) in plan.metrics.iter().enumerate() {
            metrics.push(self.metric(&mut session, &scope, place, metric, &variations).await?);
        }
        session.kill().await;
        Ok(Results { run_id: self.run.id, metrics, traffic })
    }

    /// One metric's result. Its failure is its own, unless the worker is gone.
    async fn metric(
        &mut self,
        session: &mut Session,
        scope: &Scope<'_>,
        place: usize,
        metric: &PlannedMetric,
        variations: &[&Variation],
    ) -> Result<MetricResult, Failed> {
        let outcome = match &metric.measure {
            Ok(measure) => self.measure(session, scope, place, metric, measure, variations).await,
            Err(reason) => Err(Failed(reason.clone())),
        };
        if session.worker_id().is_none() {
            outcome?;
            return Err(Failed("the warehouse worker is gone".to_owned()));
        }
        let (error, variations) = match outcome {
            Ok(variations) => (None, variations),
            Err(Failed(reason)) => (Some(reason), Vec::new()),
        };
        Ok(MetricResult {
            metric_id: metric.id,
            name: metric.name.clone(),
            is_primary: metric.is_primary,
            error,
            variations,
        })
    }

    async fn measure(
        &mut self,
        session: &mut Session,
        scope: &Scope<'_>,
        place: usize,
        metric: &PlannedMetric,
        measure: &Measure,
        variations: &[&Variation],
    ) -> Result<Vec<VariationResult>, Failed> {
        session.check(&measure.sql).await?;
        let level = self.experiment.configuration.analysis_plan.confidence_level;
        let steps = scope.values(place, &metric.name, measure);
        self.step(session, &steps.values).await?;
        let means = analysis::means(&self.step(session, &steps.totals).await?)?;
        if means.is_empty() {
            return Ok(analysis::compare(variations, &[], level));
        }
        let by_key: Vec<_> = means.iter().map(|(key, _, mean)| (key.clone(), *mean)).collect();
        let squares = self.step(session, &scope.squares(place, &metric.name, &by_key)).await?;
        Ok(analysis::compare(variations, &analysis::moments(&means, &squares)?, level))
    }

    /// Carries a step out and logs it, and gives its rows, if they are fetched.
    async fn step(&mut self, session: &mut Session, step: &Step) -> Result<Table, Failed> {
        let position = self.begin_step(step).await;
        let answered = match &step.rows {
            Rows::Kept(table) => session.materialize(table, &step.sql).await,
            Rows::Fetched => session.query(&step.sql, MOST_ROWS).await,
        };
        Ok(self.end_step(position, step, answered).await?.table.unwrap_or_default())
    }

    /// The log shows a statement while it runs.
    async fn begin_step(&mut self, step: &Step) -> u32 {
        self.steps += 1;
        let Step { name, sql, .. } = step.clone();
        self.log(self.steps, LoggedStep { name, sql, rows: None, duration_us: None, error: None }).await;
        self.steps
    }

    /// The log is for readers: a line that cannot be written fails no run.
    async fn log(&self, position: u32, step: LoggedStep) {
        if let Err(error) = self.registry.log_step(self.run.id, position, step).await {
            tracing::warn!(%error, run = %self.run.id, "a line of a run's log cannot be written");
        }
    }

    async fn end_step(
        &self,
        position: u32,
        step: &Step,
        answered: Result<Answered, WarehouseError>,
    ) -> Result<Answered, Failed> {
        let Step { name, sql, .. } = step.clone();
        let logged = LoggedStep {
            name,
            sql,
            rows: answered.as_ref().ok().map(|answered| answered.rows),
            duration_us: answered.as_ref().ok().map(|answered| answered.duration_us),
            error: answered.as_ref().err().map(ToString::to_string),
        };
        self.log(position, logged).await;
        answered.map_err(|error| Failed(format!("{}: {error}", step.name)))
    }
}
