//! One statement after the other: each is had by the worker, and stands in the run's log while it runs and after.

use std::time::Duration;

use bellwether_warehouse::{Answered, Session, Table, WarehouseError};
use tracing::field::Empty;
use tracing::{Instrument, debug_span};

use super::{Computation, Failed};
use crate::domain::run::LoggedStep;
use crate::pipeline::plan::Plan;
use crate::pipeline::progress;
use crate::pipeline::steps::{Rows, Step};
use crate::pipeline::tables::Typed;

/// Aggregates of a query: one row for each variation, and a few more.
const MOST_ROWS: usize = 1000;

impl Computation<'_> {
    /// Carries a step out and logs it; gives its rows, if they are fetched, and its number in the log.
    pub(super) async fn step(&mut self, session: &mut Session, step: &Step) -> Result<(Table, u32), Failed> {
        self.step_of(session, step, MOST_ROWS).await
    }

    /// The same of a step that fetches so many rows at most.
    pub(super) async fn step_of(
        &mut self,
        session: &mut Session,
        step: &Step,
        most_rows: usize,
    ) -> Result<(Table, u32), Failed> {
        if self.day.is_none() {
            self.steps += 1;
        }
        let position = self.steps;
        let kept_as = match &step.rows {
            Rows::Kept(table) => Some(table.clone()),
            Rows::Fetched => None,
        };
        let Step { name, sql, .. } = step.clone();
        let mut logged = LoggedStep { name, sql, kept_as, rows: None, duration_us: None, error: None };
        // The log shows a statement while it runs.
        self.log(position, logged.clone()).await;
        let span = debug_span!("step", otel.name = logged.name, otel.status_code = Empty, bellwether.rows = Empty);
        let asking = async {
            match &step.rows {
                Rows::Kept(table) => session.materialize(table, &step.sql).await,
                Rows::Fetched => session.query(&step.sql, most_rows).await,
            }
        };
        let answered: Result<Answered, WarehouseError> = asking.instrument(span.clone()).await;
        match &answered {
            Ok(answered) => span.record("bellwether.rows", answered.rows),
            Err(_) => span.record("otel.status_code", "ERROR"),
        };
        logged.rows = answered.as_ref().ok().map(|answered| answered.rows);
        logged.duration_us = answered.as_ref().ok().map(|answered| answered.duration_us);
        logged.error = answered.as_ref().err().map(ToString::to_string);
        self.log(position, logged).await;
        let answered = answered.map_err(|error| Failed(format!("{}: {}", step.name, Failed::from(error).0)))?;
        Ok((answered.table.unwrap_or_default(), position))
    }

    /// Says that an earlier day has been filled in, or why it was not.
    pub async fn log_day(&mut self, day: &str, took: Duration, failure: Option<&Failed>) {
        self.steps += 1;
        let step = LoggedStep {
            name: format!("figures of {day}"),
            sql: "-- the statements above, of what had happened by the end of that day".to_owned(),
            kept_as: None,
            rows: None,
            duration_us: failure.is_none().then_some(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            error: failure.map(|Failed(reason)| reason.clone()),
        };
        self.log(self.steps, step).await;
    }

    /// So that readers know how far it is; without it, the run goes on as well.
    pub(super) async fn expect_steps(&self, plan: &Plan, typed: &[Result<Typed, String>]) {
        let good: Vec<Typed> = typed.iter().flatten().cloned().collect();
        if self.day.is_some() {
            return;
        }
        let count = u64::from(self.steps) + progress::steps_expected(&good, &plan.metrics) as u64;
        if let Err(error) = self.registry.expect_steps(self.run.id, count).await {
            tracing::warn!(%error, run = %self.run.id, "how many steps a run will have cannot be written");
        }
    }

    /// The log is for readers: a line that cannot be written fails no run.
    async fn log(&self, position: u32, step: LoggedStep) {
        // The statements of earlier days are those of the run's own, and one line stands for all of a day's.
        if self.day.is_some() {
            return;
        }
        if let Err(error) = self.registry.log_step(self.run.id, position, step).await {
            tracing::warn!(%error, run = %self.run.id, "a line of a run's log cannot be written");
        }
    }
}
