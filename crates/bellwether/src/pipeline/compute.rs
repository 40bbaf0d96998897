//! Computes one run's results: has its statements run by a worker, one after the other, and logs each. What they say and
//! what is made of their rows is pure and elsewhere.

mod figures;
mod kinds;
mod population;
mod stepping;
mod typing;
mod values;
mod work;

use std::path::Path;

use bellwether_warehouse::{Dialect, Session, TableError, WarehouseError};

use self::population::Population;
use self::values::Values;
use self::work::{Source, Tables};
use super::analysis;
use super::columns::Columns;
use super::inference::{Inference, Judged};
use super::plan::{Made, Plan, PlannedMetric};
use super::steps::{AgedBefore, Assignments, Facts, Scope};
use super::tables::Typed;
use super::{Limits, counts, findings, session};
use crate::domain::clock::Timestamp;
use crate::domain::configuration::{Configuration, Variation};
use crate::domain::experiment::Experiment;
use crate::domain::results::{FORMAT, FactCounts, MetricResult, Results, Traffic};
use crate::domain::run::Run;
use crate::domain::warning::Warning;
use crate::registry::Registry;

/// Rows of what is told cell by cell, of two properties at most.
const MOST_CELLS: usize = 200_000;

/// Why a run or a metric did not come to a result, for its log and its event's reader.
pub struct Failed(pub String);

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

/// What a run has found so far: some of it is told even if the run fails.
#[derive(Default)]
pub struct Found {
    pub traffic: Option<Traffic>,
    pub warnings: Vec<Warning>,
    /// All that the run itself is about, once it is there: what is filled in besides may not be.
    pub results: Option<Results>,
}

pub struct Computation<'a> {
    pub registry: &'a Registry,
    pub run: &'a Run,
    pub experiment: &'a Experiment,
    pub found: &'a mut Found,
    pub steps: u32,
    /// The earlier day that it is of.
    pub day: Option<String>,
}

impl Computation<'_> {
    pub async fn compute(&mut self, limits: &Limits, scratch: &Path) -> Result<Results, Failed> {
        let plan = Plan::load(self.registry, self.experiment).await?;
        let (mut session, dialect) = session::open(limits, &plan.engine, scratch).await?;
        let configuration = &self.experiment.configuration;
        let scope = scope(configuration, self.run, dialect);
        let variations: Vec<&Variation> = configuration.active_variations().collect();

        let columns = session.check(&plan.assignments.sql).await?;
        let source = format!("the assignment source '{}'", plan.assignments.name);
        let columns = Columns { dialect, source, columns: &columns };
        let assignments = Assignments::of(&plan.assignments, &columns).map_err(Failed)?;
        let mut sources = self.sources(&mut session, &plan, dialect).await?;
        let typed = typing::typed(&scope, &plan.metrics, &sources, configuration.analysis_plan.cuped);
        let entry = self.entry(&mut session, &plan, dialect).await?;

        self.expect_steps(&plan, &typed).await;
        let mut limits: Vec<Vec<AgedBefore>> = Vec::new();
        for limit in typed.iter().flatten().map(Typed::aged).filter(|limit| !limit.is_empty()) {
            if limits.iter().all(|there| there != limit) {
                limits.push(limit.to_vec());
            }
        }
        let population =
            self.population(&mut session, &scope, &assignments, entry.as_ref(), &limits, &variations).await?;
        let Population { assignments: assignment_counts, traffic, subjects, properties } = population;
        self.found.warnings.extend(plan.weights_changed.then(counts::weights_changed));

        let mut work = Tables {
            scope: &scope,
            plan: &plan,
            typed: &typed,
            subjects: &subjects,
            subject_kind: assignments.subject.kind,
            sources: &mut sources,
            properties: &properties,
            pooled: Vec::new(),
        };
        let (metrics, inference) = self.metrics(&mut session, &mut work, &variations).await?;
        let counted: u64 = subjects.all.iter().sum();
        let joined = sources.iter().filter(|source| source.is_joined).filter_map(|source| source.counts.as_ref());
        self.found.warnings.extend(joined.filter_map(|counts| counts::no_facts_joined(counts, counted)));
        let facts: Vec<FactCounts> = sources.into_iter().filter_map(|source| source.counts).collect();
        session.kill().await;
        Ok(Results {
            format: FORMAT,
            run_id: self.run.id,
            analysis_plan: configuration.analysis_plan.clone(),
            verdict: Some(findings::verdict(&metrics, &traffic, configuration)),
            decided: findings::decided(&metrics, &inference, configuration),
            metrics,
            traffic,
            assignments: assignment_counts,
            facts,
            warnings: self.found.warnings.clone(),
        })
    }

    /// The source that subjects enter by, if they do.
    async fn entry(&mut self, session: &mut Session, plan: &Plan, dialect: Dialect) -> Result<Option<Facts>, Failed> {
        let Some(entry) = &plan.entry else { return Ok(None) };
        let of_entry = |reason: String| Failed(format!("its entry point cannot be read: {reason}"));
        let source = entry.as_ref().map_err(|reason| of_entry(reason.clone()))?;
        let columns = session.check(&source.sql).await?;
        let name = format!("the fact source '{}'", source.name);
        Facts::of(source, &Columns { dialect, source: name, columns: &columns }).map(Some).map_err(of_entry)
    }

    /// The fact sources, each as its columns' types allow it to be read, or why they do not.
    async fn sources(&mut self, session: &mut Session, plan: &Plan, dialect: Dialect) -> Result<Vec<Source>, Failed> {
        let mut sources = Vec::new();
        for source in &plan.sources {
            let facts = match session.check(&source.sql).await {
                Ok(columns) => {
                    let name = format!("the fact source '{}'", source.name);
                    let facts = Facts::of(source, &Columns { dialect, source: name, columns: &columns });
                    facts.map(|facts| (facts, columns))
                }
                Err(error @ WarehouseError::Failed(_)) => Err(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            sources.push(Source { facts, counts: None, is_joined: false });
        }
        Ok(sources)
    }

    /// All metrics' results: one that fails does not fail the others, unless the worker is gone.
    async fn metrics(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        variations: &[&Variation],
    ) -> Result<(Vec<MetricResult>, Inference), Failed> {
        let typed = work.typed;
        let mut errors: Vec<Option<String>> = typed.iter().map(|typed| typed.as_ref().err().cloned()).collect();
        let of_values = |typed: &&Typed| work.plan.metrics[typed.metric].made == Made::Means;
        let good: Vec<Typed> = typed.iter().flatten().filter(of_values).cloned().collect();
        let mut values = self.values(session, work, &good, &mut errors).await?;
        self.products(session, work, &good, &mut values).await?;
        if self.experiment.configuration.analysis_plan.cuped {
            self.crossed(session, work, &mut values).await?;
        }
        let inference = self.inference(work, variations.len())?;
        let mut results = Vec::new();
        for ((metric, typed), error) in work.plan.metrics.iter().zip(typed).zip(errors) {
            // Adjusting is arithmetic, and others wait for this thread.
            tokio::task::yield_now().await;
            let cutoff = metric.is_guardrail.then(|| metric.guardrail_cutoff.unwrap_or(0.0));
            let effect = metric.minimum_detectable_effect;
            let judged = inference.judged(metric.is_primary, metric.desired_change, effect, cutoff);
            let mut result = MetricResult {
                is_primary: metric.is_primary,
                desired_change: metric.desired_change,
                display: metric.display,
                minimum_detectable_effect: effect,
                is_guardrail: metric.is_guardrail,
                guardrail_cutoff: cutoff,
                alpha: Some(judged.alpha),
                error,
                ..MetricResult::named(metric.id, &metric.name)
            };
            if let (None, Ok(typed)) = (&result.error, typed) {
                let judging = Judging { inference: &inference, judged: &judged, variations };
                let found = match metric.made {
                    Made::Means => self.result(session, work, (metric, typed), &values, judging, &mut result).await,
                    _ => self.result_of_facts(session, work, (metric, typed), judging, &mut result).await,
                };
                match found {
                    Ok(()) => {}
                    Err(failure) if session.worker_id().is_none() => return Err(failure),
                    Err(Failed(reason)) => result.error = Some(reason),
                }
            }
            result.steps.sort_unstable();
            result.steps.dedup();
            results.push(result);
        }
        Ok((results, inference))
    }

    /// All that is found of a metric that is not made of one value for each subject.
    async fn result_of_facts(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        (metric, typed): (&PlannedMetric, &Typed),
        judging: Judging<'_>,
        result: &mut MetricResult,
    ) -> Result<(), Failed> {
        let Judging { inference, judged, variations } = judging;
        let found = self.of_facts(session, work, metric, typed).await?;
        self.found.warnings.extend(counts::nothing_counted(metric, found.present, &work.subjects.all));
        self.found.warnings.extend(counts::control_near_zero(metric, variations, &found.figures));
        found.compare(result, variations, inference, judged);
        result.steps.extend(found.used);
        findings::progress(result, self.start(), self.run.created_at, self.has_ended());
        Ok(())
    }

    /// All that is found of one metric.
    async fn result(
        &mut self,
        session: &mut Session,
        work: &Tables<'_>,
        (metric, typed): (&PlannedMetric, &Typed),
        values: &Values,
        judging: Judging<'_>,
        result: &mut MetricResult,
    ) -> Result<(), Failed> {
        let Judging { inference, judged, variations } = judging;
        let figures = values.figures(typed, work.properties, &mut result.steps)?;
        let sides = &values.of(typed.metric)[..typed.sides.len()];
        let present = sides.iter().map(|side| side.column.present()).min();
        self.found.warnings.extend(counts::nothing_counted(metric, present, &work.subjects.all));
        self.found.warnings.extend(counts::control_near_zero(metric, variations, &figures.arms));
        result.variations = analysis::compare(variations, &figures.arms, inference, judged);
        if let Some(adjustment) = &figures.adjustment {
            let adjusted = analysis::compare(variations, &adjustment.figures, inference, judged);
            let both = result.variations.iter_mut().zip(&adjusted).zip(&adjustment.coverage);
            both.for_each(|((plain, adjusted), coverage)| plain.adjust(adjusted, *coverage));
        }
        findings::progress(result, self.start(), self.run.created_at, self.has_ended());
        result.breakdowns = self.breakdowns(session, work, (metric, typed), values, judging).await?;
        Ok(())
    }

    fn inference(&self, work: &Tables<'_>, arms: usize) -> Result<Inference, Failed> {
        let plan = &self.experiment.configuration.analysis_plan;
        let subjects: u64 = work.subjects.all.iter().sum();
        let days = self.start().map_or(0, |start| self.run.window.end.since(start).as_secs() / 86_400);
        let asks_for_any = plan.minimum_subjects.is_some() || plan.minimum_days.is_some();
        let meets_minimum = (self.has_ended() || asks_for_any)
            && plan.minimum_subjects.is_none_or(|least| subjects >= least)
            && plan.minimum_days.is_none_or(|least| days >= u64::from(least));
        let has_primary = work.plan.metrics.iter().any(|metric| metric.is_primary);
        Inference::of(plan, arms.saturating_sub(1), work.plan.metrics.len(), has_primary, meets_minimum)
            .map_err(|error| Failed(error.to_string()))
    }

    fn has_ended(&self) -> bool {
        self.experiment.configuration.end().is_some_and(|end| end <= self.run.created_at)
    }

    fn start(&self) -> Option<Timestamp> {
        self.experiment.configuration.assignments_start_date.map(|start| start.as_start())
    }
}

/// By what a metric's figures are compared.
#[derive(Clone, Copy)]
struct Judging<'a> {
    inference: &'a Inference,
    judged: &'a Judged,
    variations: &'a [&'a Variation],
}

fn scope<'a>(configuration: &'a Configuration, run: &Run, dialect: Dialect) -> Scope<'a> {
    let facts_end = configuration.facts_end(run.created_at);
    let keys = |is_active: bool| {
        let those = configuration.variations.iter().filter(move |variation| variation.is_active == is_active);
        those.map(|variation| variation.key.as_str()).collect()
    };
    Scope {
        dialect,
        experiment_key: &configuration.key,
        variations: keys(true),
        inactive: keys(false),
        window: run.window,
        facts_end,
        now: run.created_at,
    }
}
