//! Computes one run's results: has its statements run by a worker, one after the other, and logs each. What they say and
//! what is made of their rows is pure and elsewhere.

mod kinds;

use std::collections::VecDeque;
use std::path::Path;

use bellwether_warehouse::{Answered, Column as ColumnInfo, Dialect, Session, Table, TableError, WarehouseError};

use kinds::PooledFacts;

use super::analysis;
use super::columns::{Columns, KeyKind};
use super::fact_figures::MetricFigures;
use super::inference::Inference;
use super::plan::{Made, Plan, PlannedMetric};
use super::steps::{self, AgedBefore, Assignments, Facts, Rows, Scope, Step};
use super::tables::{self, Column, Side, Subjects, Typed, ValuesTable};
use super::{Limits, counts, findings, progress, session};
use crate::domain::clock::Timestamp;
use crate::domain::configuration::{Configuration, Variation};
use crate::domain::experiment::Experiment;
use crate::domain::results::{AssignmentCounts, FORMAT, FactCounts, MetricResult, Results, Traffic};
use crate::domain::run::{LoggedStep, Run};
use crate::domain::warning::Warning;
use crate::registry::Registry;

/// Aggregates of a query: one row for each variation, and a few more.
const MOST_ROWS: usize = 1000;

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
}

pub struct Computation<'a> {
    pub registry: &'a Registry,
    pub run: &'a Run,
    pub experiment: &'a Experiment,
    pub found: &'a mut Found,
    pub steps: u32,
}

/// A fact source in use: its columns, and what became of its rows.
struct Source {
    facts: Result<(Facts, Vec<ColumnInfo>), String>,
    counts: Option<FactCounts>,
    /// What was joined of it is known.
    is_joined: bool,
}

/// One side of a metric, computed: the table that it stands in, and the steps that it comes from.
struct Computed {
    owner: (usize, usize),
    table: String,
    column: Column,
    steps: Vec<u32>,
}

/// Ratios of one table, by their metrics: the co-moments of their arms.
type CoMoments = Vec<(usize, Vec<f64>)>;

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
        let typed: Vec<_> =
            plan.metrics.iter().enumerate().map(|(place, metric)| typed(&scope, place, metric, &sources)).collect();

        self.expect_steps(&plan, &typed).await;
        let assignment_counts = self.census(&mut session, &scope, &assignments).await?;
        self.step(&mut session, &scope.subjects(&assignments)).await?;
        let mut limits: Vec<Vec<AgedBefore>> = Vec::new();
        for limit in typed.iter().flatten().map(Typed::aged).filter(|limit| !limit.is_empty()) {
            if limits.iter().all(|there| there != limit) {
                limits.push(limit.to_vec());
            }
        }
        let (counted, _) = self.step(&mut session, &scope.traffic(&limits)).await?;
        let (traffic, subjects) = analysis::traffic(&variations, &limits, &counted)?;
        self.found.traffic = Some(traffic.clone());
        self.found.warnings.extend(counts::traffic(&traffic));

        let kind = assignments.subject.kind;
        let mut work = Tables {
            scope: &scope,
            plan: &plan,
            typed: &typed,
            subjects: &subjects,
            subject_kind: kind,
            sources: &mut sources,
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
            verdict: Some(findings::verdict(&metrics, &traffic)),
            decided: findings::decided(&metrics, &inference),
            metrics,
            traffic,
            assignments: assignment_counts,
            facts,
            warnings: self.found.warnings.clone(),
        })
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

    /// What the assignment source has of this experiment. It is an error if it has rows, and none counts.
    async fn census(
        &mut self,
        session: &mut Session,
        scope: &Scope<'_>,
        assignments: &Assignments,
    ) -> Result<AssignmentCounts, Failed> {
        let (rows, _) = self.step(session, &scope.census(assignments)).await?;
        let counts::Census { counts, warnings } = counts::assignments(scope, &rows, assignments.time.is_by_day)?;
        self.found.warnings.extend(warnings);
        if let Some(reason) = counts::why_none_counts(scope, &counts) {
            return Err(Failed(reason));
        }
        if counts.rows == 0 {
            let (keys, _) = self.step(session, &scope.keys_seen(assignments)).await?;
            self.found.warnings.push(counts::no_assignments(scope, &counts::keys(&keys)?));
        }
        Ok(counts)
    }

    /// All metrics' results: one that fails does not fail the others, unless the worker is gone.
    async fn metrics(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        variations: &[&Variation],
    ) -> Result<(Vec<MetricResult>, Inference), Failed> {
        let mut errors: Vec<Option<String>> = work.typed.iter().map(|typed| typed.as_ref().err().cloned()).collect();
        let of_values = |typed: &&Typed| work.plan.metrics[typed.metric].made == Made::Means;
        let good: Vec<Typed> = work.typed.iter().flatten().filter(of_values).cloned().collect();
        let (computed, co_moments) = self.tables(session, work, &good, &mut errors).await?;
        let inference = self.inference(work, variations.len())?;
        let mut results = Vec::new();
        for (place, (metric, error)) in work.plan.metrics.iter().zip(errors).enumerate() {
            let side = |side| computed.iter().rfind(|it| it.owner == (place, side));
            let sides: Vec<&Computed> = (0..2).filter_map(side).collect();
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
                steps: sides.iter().flat_map(|side| side.steps.clone()).collect(),
                ..MetricResult::named(metric.id, &metric.name)
            };
            if result.error.is_none() {
                let found = match &work.typed[place] {
                    Ok(typed) if metric.made != Made::Means => self.of_facts(session, work, metric, typed).await,
                    _ => {
                        let known = co_moments.iter().rfind(|(metric, _)| *metric == place);
                        let known = known.map(|(_, known)| known.clone());
                        self.figures(session, work.scope, metric, &sides, known).await
                    }
                };
                match found {
                    Ok(found) => {
                        self.found.warnings.extend(counts::nothing_counted(metric, found.present, &work.subjects.all));
                        self.found.warnings.extend(counts::control_near_zero(metric, variations, &found.figures));
                        found.compare(&mut result, variations, &inference, &judged);
                        result.steps.extend(found.used);
                        findings::progress(&mut result, self.start(), self.run.created_at);
                    }
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

    fn inference(&self, work: &Tables<'_>, arms: usize) -> Result<Inference, Failed> {
        let plan = &self.experiment.configuration.analysis_plan;
        let subjects: u64 = work.subjects.all.iter().sum();
        let days = self.start().map_or(0, |start| self.run.window.end.since(start).as_secs() / 86_400);
        let meets_minimum = plan.minimum_subjects.is_none_or(|least| subjects >= least)
            && plan.minimum_days.is_none_or(|least| days >= u64::from(least));
        let has_primary = work.plan.metrics.iter().any(|metric| metric.is_primary);
        Inference::of(plan, arms.saturating_sub(1), work.plan.metrics.len(), has_primary, meets_minimum)
            .map_err(|error| Failed(error.to_string()))
    }

    fn start(&self) -> Option<Timestamp> {
        self.experiment.configuration.assignments_start_date.map(|start| start.as_start())
    }

    /// The tables of all metrics, source by source. Where one fails that several share, each gets one of its own, so that
    /// only those fail that do not work; `errors` says why, by metric.
    async fn tables(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        metrics: &[Typed],
        errors: &mut [Option<String>],
    ) -> Result<(Vec<Computed>, CoMoments), Failed> {
        let (mut computed, mut co_moments) = (Vec::new(), CoMoments::new());
        let mut waiting: VecDeque<ValuesTable> = tables::tables(metrics, "").into();
        while let Some(table) = waiting.pop_front() {
            let mut owners: Vec<usize> = table.owners.iter().map(|owner| owner.metric).collect();
            owners.dedup();
            match self.table(session, work, table).await {
                Ok((columns, products)) => {
                    computed.extend(columns);
                    co_moments.extend(products);
                }
                Err(failure) if session.worker_id().is_none() => return Err(failure),
                Err(Failed(reason)) => match owners[..] {
                    [only] => errors[only] = Some(reason),
                    _ => {
                        for metric in owners {
                            let alone: Vec<Typed> = metrics.iter().filter(|it| it.metric == metric).cloned().collect();
                            waiting.extend(tables::tables(&alone, &format!("metric_{metric}_")));
                        }
                    }
                },
            }
        }
        Ok((computed, co_moments))
    }

    /// The figures of one metric, once its sides are there. A ratio of two sources needs one more step.
    async fn figures(
        &mut self,
        session: &mut Session,
        scope: &Scope<'_>,
        metric: &PlannedMetric,
        sides: &[&Computed],
        known: Option<Vec<f64>>,
    ) -> Result<MetricFigures, Failed> {
        let present = sides.iter().map(|side| side.column.present()).min();
        let of = |figures, used| MetricFigures { figures, present, used, ..MetricFigures::default() };
        let (numerator, denominator) = match sides {
            [only] => return Ok(of(analysis::means(&only.column), Vec::new())),
            [numerator, denominator] => (*numerator, *denominator),
            _ => return Err(Failed("it was not computed".to_owned())),
        };
        let columns = [&numerator.column, &denominator.column];
        let mut used = Vec::new();
        let co_moments = match known {
            Some(known) => known,
            None => {
                let sides =
                    [numerator, denominator].map(|it| (&it.column.measured, &it.column.centres, it.table.as_str()));
                let (found, position) = self.step(session, &steps::products(scope, &metric.name, sides)).await?;
                used.push(position);
                tables::co_moments(0, &found, columns)?
            }
        };
        Ok(of(analysis::ratios(columns[0], columns[1], &co_moments), used))
    }

    /// One table of values: its census, if its source has none yet, the values, and both passes over them.
    async fn table(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        mut table: ValuesTable,
    ) -> Result<(Vec<Computed>, CoMoments), Failed> {
        let (scope, place) = (work.scope, table.source);
        self.census_of_facts(session, work, place).await?;
        let planned = &work.plan.sources[place];
        let source = &mut work.sources[place];
        let (facts, _) = source.facts.as_ref().map_err(|reason| Failed(reason.clone()))?;
        let mut used = Vec::new();
        let values = facts.values(scope, work.subject_kind, &table.outputs, &table.name);
        used.push(self.step(session, &values).await?.1);
        if table.measured.iter().any(|column| column.has_percentiles())
            && let Some(step) = steps::bounds(scope, &planned.name, &table.name, &table.measured)
        {
            let (rows, position) = self.step(session, &step).await?;
            used.push(position);
            table.set_bounds(&rows)?;
            if let Some(reason) = table.crossed_bounds() {
                return Err(Failed(reason));
            }
        }
        let (rows, position) =
            self.step(session, &steps::totals(scope, &planned.name, &table.name, &table.measured)).await?;
        used.push(position);
        if let Some(counts) = &mut source.counts {
            join(counts, &rows)?;
            source.is_joined = true;
        }
        let columns = table.measured.iter().enumerate();
        let columns = columns.map(|(place, measured)| Column::of_totals(measured.clone(), place, &rows, work.subjects));
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        let pairs = table.pairs();
        let only_pairs: Vec<_> = pairs.iter().map(|(_, pair)| *pair).collect();
        let centred: Vec<_> = columns.iter().map(|column| (column.measured.clone(), column.centres.clone())).collect();
        let step = steps::deviations(scope, &planned.name, &table.name, &centred, &only_pairs);
        let (rows, position) = self.step(session, &step).await?;
        used.push(position);
        for (place, column) in columns.iter_mut().enumerate() {
            column.deviate(place, &rows)?;
        }
        let products = pairs.iter().enumerate().map(|(place, (metric, pair))| {
            let sides = [&columns[pair.numerator], &columns[pair.denominator]];
            Ok((*metric, tables::co_moments(place, &rows, sides)?))
        });
        let products = products.collect::<Result<CoMoments, Failed>>()?;
        let computed = table.owners.iter().map(|owner| Computed {
            owner: (owner.metric, owner.side),
            table: table.name.clone(),
            column: columns[owner.measured].clone(),
            steps: used.clone(),
        });
        Ok((computed.collect(), products))
    }

    /// Carries a step out and logs it; gives its rows, if they are fetched, and its number in the log.
    async fn step(&mut self, session: &mut Session, step: &Step) -> Result<(Table, u32), Failed> {
        self.steps += 1;
        let position = self.steps;
        let kept_as = match &step.rows {
            Rows::Kept(table) => Some(table.clone()),
            Rows::Fetched => None,
        };
        let Step { name, sql, .. } = step.clone();
        let mut logged = LoggedStep { name, sql, kept_as, rows: None, duration_us: None, error: None };
        // The log shows a statement while it runs.
        self.log(position, logged.clone()).await;
        let answered: Result<Answered, WarehouseError> = match &step.rows {
            Rows::Kept(table) => session.materialize(table, &step.sql).await,
            Rows::Fetched => session.query(&step.sql, MOST_ROWS).await,
        };
        logged.rows = answered.as_ref().ok().map(|answered| answered.rows);
        logged.duration_us = answered.as_ref().ok().map(|answered| answered.duration_us);
        logged.error = answered.as_ref().err().map(ToString::to_string);
        self.log(position, logged).await;
        let answered = answered.map_err(|error| Failed(format!("{}: {}", step.name, Failed::from(error).0)))?;
        Ok((answered.table.unwrap_or_default(), position))
    }

    /// So that readers know how far it is; without it, the run goes on as well.
    async fn expect_steps(&self, plan: &Plan, typed: &[Result<Typed, String>]) {
        let good: Vec<Typed> = typed.iter().flatten().cloned().collect();
        let count = progress::steps_expected(&good, &plan.metrics) as u64;
        if let Err(error) = self.registry.expect_steps(self.run.id, count).await {
            tracing::warn!(%error, run = %self.run.id, "how many steps a run will have cannot be written");
        }
    }

    /// The log is for readers: a line that cannot be written fails no run.
    async fn log(&self, position: u32, step: LoggedStep) {
        if let Err(error) = self.registry.log_step(self.run.id, position, step).await {
            tracing::warn!(%error, run = %self.run.id, "a line of a run's log cannot be written");
        }
    }
}

/// What all tables of values have in common.
struct Tables<'a> {
    scope: &'a Scope<'a>,
    plan: &'a Plan,
    /// The metrics, in the plan's order.
    typed: &'a [Result<Typed, String>],
    subjects: &'a Subjects,
    subject_kind: KeyKind,
    sources: &'a mut [Source],
    pooled: Vec<PooledFacts>,
}

fn scope<'a>(configuration: &'a Configuration, run: &Run, dialect: Dialect) -> Scope<'a> {
    let facts_end = configuration.events_end_date.map_or(run.created_at, |end| end.as_end().min(run.created_at));
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

/// The metric as the columns of its sources allow it to be computed, or why they do not.
fn typed(scope: &Scope<'_>, place: usize, metric: &PlannedMetric, sources: &[Source]) -> Result<Typed, String> {
    let measures = metric.measures.as_ref().map_err(Clone::clone)?;
    let sides = measures.iter().map(|measure| {
        let (facts, columns) = sources[measure.source].facts.as_ref().map_err(Clone::clone)?;
        let source = format!("the fact source '{}'", facts.name);
        let columns = Columns { dialect: scope.dialect, source, columns };
        let output = facts.output(scope, measure, &columns)?;
        Ok(Side { source: measure.source, output, winsorization: measure.aggregation.winsorization.clone() })
    });
    Ok(Typed::of(place, sides.collect::<Result<_, String>>()?))
}

/// What of the source's facts was joined: as its first table says, for all see the same.
fn join(counts: &mut FactCounts, totals: &Table) -> Result<(), TableError> {
    let sum = |column: &str| -> Result<u64, TableError> {
        let each = (0..totals.rows.len()).map(|row| Ok(totals.optional_int(row, column)?.unwrap_or(0).unsigned_abs()));
        each.sum()
    };
    counts.joined = sum("facts")?;
    counts.before_assignment = sum("before_assignment")?;
    counts.after_end = sum("after_end")?;
    Ok(())
}
