//! Carries out one run: its queries in a worker, its log, its end. Whatever happens, the run is ended.

use std::path::PathBuf;

use bellwether_warehouse::{Answered, Dialect, Session, Setup, Table, TableError, WarehouseConfig, WarehouseError};
use tokio::sync::oneshot;

use super::plan::{Measure, Plan, PlannedMetric};
use super::{Limits, analysis, query};
use crate::domain::configuration::Variation;
use crate::domain::experiment::Experiment;
use crate::domain::run::{MetricResult, Results, Run, Step, Traffic};
use crate::registry::persist::until_taken;
use crate::registry::{Ending, Registry};

/// Aggregates of a query: one row for each variation, and a few more.
const MOST_ROWS: usize = 1000;

pub async fn carry_out(
    registry: Registry,
    limits: Limits,
    run: Run,
    experiment: Experiment,
    cancelled: oneshot::Receiver<()>,
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
        () = tokio::time::sleep(limits.timeout) => Err(Failed(format!("it took longer than {} s and was stopped", limits.timeout.as_secs()))),
        // A sender that is dropped does not cancel: the pipeline holds it as long as the run is under way.
        Ok(()) = cancelled => Err(Failed("it was cancelled".to_owned())),
    };
    let imbalance = work.traffic.as_ref().map(|traffic| (traffic.is_imbalance, traffic.p_value));
    let ending = match outcome {
        Ok(results) => Ending { error: failure_of(&results), results: Some(results), imbalance },
        Err(Failed(reason)) => Ending { results: None, error: Some(reason), imbalance },
    };
    // What was computed for hours does not go for a database that is away just now.
    if let Err(error) = until_taken("the end of a run", || registry.end_run(run.id, ending.clone())).await {
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
    const DIALECT: Dialect = Dialect::DataFusion;

    async fn compute(&mut self) -> Result<Results, Failed> {
        let plan = Plan::load(&self.registry, &self.experiment).await?;
        let mut session = self.start_session(&plan).await?;
        let configuration = self.experiment.configuration.clone();
        let variations: Vec<&Variation> = configuration.active_variations().collect();
        let keys: Vec<&str> = variations.iter().map(|variation| variation.key.as_str()).collect();

        session.check(&plan.assignments.sql).await?;
        let sql = query::subjects(Self::DIALECT, &plan.assignments, &configuration.key, &keys, self.run.window);
        self.materialize(&mut session, "subjects", query::SUBJECTS, sql).await?;
        let table = self.query(&mut session, "traffic", query::traffic(Self::DIALECT)).await?;
        let traffic = analysis::traffic(&variations, &table)?;
        self.traffic = Some(traffic.clone());

        let mut metrics = Vec::new();
        for (index, metric) in plan.metrics.iter().enumerate() {
            metrics.push(self.metric(&mut session, index, metric, &variations).await?);
        }
        session.kill().await;
        Ok(Results { run_id: self.run.id, metrics, traffic })
    }

    async fn start_session(&self, plan: &Plan) -> Result<Session, Failed> {
        let setup = Setup {
            warehouse: WarehouseConfig::Files { path: plan.warehouse.clone(), roots: self.limits.files_roots.clone() },
            scratch: self.scratch.clone(),
            memory_limit_bytes: self.limits.memory_bytes,
        };
        Ok(Session::start(&self.limits.program, ["worker"], &setup).await?)
    }

    /// One metric's result. Its failure is its own, unless the worker is gone.
    async fn metric(
        &mut self,
        session: &mut Session,
        index: usize,
        metric: &PlannedMetric,
        variations: &[&Variation],
    ) -> Result<MetricResult, Failed> {
        let outcome = match &metric.measure {
            Ok(measure) => self.measure(session, index, &metric.name, measure, variations).await,
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
        index: usize,
        name: &str,
        measure: &Measure,
        variations: &[&Variation],
    ) -> Result<Vec<crate::domain::run::VariationResult>, Failed> {
        session.check(&measure.sql).await?;
        let table = format!("values_{index}");
        let configuration = &self.experiment.configuration;
        let level = configuration.analysis_plan.confidence_level;
        let facts_end =
            configuration.events_end_date.map_or(self.run.created_at, |end| end.as_end().min(self.run.created_at));
        self.materialize(session, &format!("{name}: values"), &table, query::values(Self::DIALECT, measure, facts_end))
            .await?;
        let totals = self.query(session, &format!("{name}: totals"), query::totals(Self::DIALECT, &table)).await?;
        let means = analysis::means(&totals)?;
        if means.is_empty() {
            return Ok(analysis::compare(variations, &[], level));
        }
        let by_key: Vec<_> = means.iter().map(|(key, _, mean)| (key.clone(), *mean)).collect();
        let squares =
            self.query(session, &format!("{name}: squares"), query::squares(Self::DIALECT, &table, &by_key)).await?;
        Ok(analysis::compare(variations, &analysis::moments(&means, &squares)?, level))
    }

    async fn materialize(&mut self, session: &mut Session, name: &str, table: &str, sql: String) -> Result<(), Failed> {
        let position = self.begin_step(name, &sql).await;
        let answered = session.materialize(table, &sql).await;
        self.end_step(position, name, &sql, answered).await.map(drop)
    }

    async fn query(&mut self, session: &mut Session, name: &str, sql: String) -> Result<Table, Failed> {
        let position = self.begin_step(name, &sql).await;
        let answered = session.query(&sql, MOST_ROWS).await;
        Ok(self.end_step(position, name, &sql, answered).await?.table.unwrap_or_default())
    }

    /// The log shows a statement while it runs.
    async fn begin_step(&mut self, name: &str, sql: &str) -> u32 {
        self.steps += 1;
        let step = Step { name: name.to_owned(), sql: sql.to_owned(), rows: None, duration_us: None, error: None };
        self.log(self.steps, step).await;
        self.steps
    }

    /// The log is for readers: a line that cannot be written fails no run.
    async fn log(&self, position: u32, step: Step) {
        if let Err(error) = self.registry.log_step(self.run.id, position, step).await {
            tracing::warn!(%error, run = %self.run.id, "a line of a run's log cannot be written");
        }
    }

    async fn end_step(
        &self,
        position: u32,
        name: &str,
        sql: &str,
        answered: Result<Answered, WarehouseError>,
    ) -> Result<Answered, Failed> {
        let step = Step {
            name: name.to_owned(),
            sql: sql.to_owned(),
            rows: answered.as_ref().ok().map(|answered| answered.rows),
            duration_us: answered.as_ref().ok().map(|answered| answered.duration_us),
            error: answered.as_ref().err().map(ToString::to_string),
        };
        self.log(position, step).await;
        answered.map_err(|error| Failed(format!("{name}: {error}")))
    }
}
