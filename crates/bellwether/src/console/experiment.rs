//! The pages of one experiment, and what they have in common.

pub mod actions;
pub mod attachment;
pub mod breakdown;
pub mod configuration;
pub mod draft;
pub mod history;
pub mod metrics;
pub mod overview;
mod recipients;
pub mod run;
pub mod runs;
mod summary;
pub mod time;
pub mod traffic;

use serde::Deserialize;
use summary::ResultsSummary;

use super::failure::Failure;
use super::page::{Moment, escaped};
use super::visit::Visit;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::{Bound, Configuration};
use crate::domain::id::ExperimentId;
use crate::domain::status::{Decision, DecisionOutcome, Status};

/// An experiment as the API shows it.
#[derive(Debug, Deserialize)]
pub struct Experiment {
    pub id: ExperimentId,
    #[serde(flatten)]
    pub configuration: Configuration,
    pub status: Status,
    pub decision: Option<Decision>,
    pub version: i64,
    pub is_traffic_imbalance: bool,
    pub results_updated_at: Option<Moment>,
    pub results_summary: Option<ResultsSummary>,
    pub next_run_at: Option<Moment>,
}

impl Experiment {
    pub async fn of(visit: &Visit, id: &str) -> Result<Self, Failure> {
        visit.get(&format!("/experiments/{}", escaped(id))).await
    }

    pub fn status_in_words(&self) -> String {
        in_words(self.status.as_str())
    }

    /// What was decided, if something was.
    pub fn outcome(&self) -> Option<String> {
        let decision = self.decision.as_ref().filter(|_| self.status == Status::Concluded)?;
        let winner = decision.winning_variation.as_deref();
        Some(match (decision.outcome, winner) {
            (DecisionOutcome::Ship, Some(winner)) => format!("ship “{winner}”"),
            (DecisionOutcome::Ship, None) => "ship".to_owned(),
            (DecisionOutcome::Rollback, None) => "keep the control".to_owned(),
            (DecisionOutcome::Inconclusive, None) => "inconclusive".to_owned(),
            (DecisionOutcome::Rollback, Some(kept)) => format!("roll back, and keep “{kept}”"),
            (DecisionOutcome::Inconclusive, Some(kept)) => format!("inconclusive, and keep “{kept}”"),
        })
    }

    pub fn dates(&self) -> String {
        let Configuration { assignments_start_date, assignments_end_date, .. } = &self.configuration;
        // A bare day is included whole; a time is told as one.
        let day = |bound: Bound| match bound {
            Bound::Day(day) => day.to_string(),
            Bound::Moment(at) => to_minute(at),
        };
        match (assignments_start_date.map(day), assignments_end_date.map(day)) {
            (Some(start), Some(end)) => format!("{start} to {end}"),
            (Some(start), None) => format!("since {start}"),
            (None, Some(end)) => format!("until {end}"),
            (None, None) => "no dates yet".to_owned(),
        }
    }

    /// Its colour and dash in charts: the control has the first.
    pub fn style_of(&self, variation: &str) -> usize {
        let treatments = self.configuration.active_variations().filter(|variation| !variation.is_control);
        let place = treatments.into_iter().position(|other| other.key == variation);
        place.map_or(0, |place| place % 6 + 1)
    }

    /// What people call a variation.
    pub fn name_of<'a>(&'a self, key: &'a str) -> &'a str {
        self.configuration.name_of(key)
    }

    pub fn is_control(&self, key: &str) -> bool {
        self.configuration.variations.iter().any(|variation| variation.key == key && variation.is_control)
    }
}

fn to_minute(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..16).map_or_else(|| text.clone(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

/// A word of the API as people write it.
pub fn in_words(word: &str) -> String {
    word.replace('_', " ")
}
