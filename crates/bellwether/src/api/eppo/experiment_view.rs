//! An experiment as Eppo's clients read it: our statuses and decisions in Eppo's words.

use serde::Serialize;

use super::calculated::{CalculatedMetric, calculated_metrics};
use super::numbers::Numbers;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::{Bound, Variation};
use crate::domain::experiment::Experiment;
use crate::domain::results::Results;
use crate::domain::status::{DecisionOutcome, Status};

#[derive(Debug, Serialize)]
pub struct ExperimentView {
    id: i64,
    name: String,
    experiment_key: String,
    status: &'static str,
    entity_id: Option<i64>,
    assignment_source_id: Option<i64>,
    hypothesis: String,
    tags: Vec<String>,
    created_date: Timestamp,
    updated_date: Timestamp,
    results_last_updated: Option<Timestamp>,
    assignments_start_date: Option<Timestamp>,
    /// The first moment outside.
    assignments_end_date: Option<Timestamp>,
    traffic_allocation: f64,
    winning_variant_key: Option<String>,
    outcome: Option<&'static str>,
    key_takeaways: Option<String>,
    is_archived: bool,
    is_deleted: bool,
    variations: Vec<VariationView>,
}

#[derive(Debug, Serialize)]
struct VariationView {
    name: String,
    variant_key: String,
    is_control: bool,
    is_active: bool,
    /// Its share among the active variations.
    weighted_expected_traffic: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    calculated_metrics: Option<Vec<CalculatedMetric>>,
}

/// What is shown of an experiment beside itself.
pub struct Shown {
    pub is_deleted: bool,
    /// `None`: they are not asked for, or there are none yet.
    pub results: Option<Results>,
    pub with_results: bool,
    pub with_cuped: bool,
}

impl ExperimentView {
    pub fn of(experiment: &Experiment, numbers: &Numbers, shown: &Shown) -> Self {
        let configuration = &experiment.configuration;
        let decision = experiment.decision.as_ref();
        let total: f64 = configuration.active_variations().map(|variation| variation.weight).sum();
        let variation = |variation: &Variation| VariationView {
            name: if variation.name.is_empty() { variation.key.clone() } else { variation.name.clone() },
            variant_key: variation.key.clone(),
            is_control: variation.is_control,
            is_active: variation.is_active,
            weighted_expected_traffic: if variation.is_active && total > 0.0 { variation.weight / total } else { 0.0 },
            calculated_metrics: shown.with_results.then(|| {
                let of = |results| calculated_metrics(results, &variation.key, numbers, shown.with_cuped);
                shown.results.as_ref().map(of).unwrap_or_default()
            }),
        };
        Self {
            id: experiment.id,
            name: configuration.name.clone(),
            experiment_key: configuration.key.clone(),
            status: status(experiment.status),
            entity_id: configuration.entity_id.and_then(|id| numbers.entities.number(id)),
            assignment_source_id: configuration.assignment_source_id.and_then(|id| numbers.sources.number(id)),
            hypothesis: configuration.hypothesis.clone(),
            tags: configuration.tags.clone(),
            created_date: experiment.created_at,
            updated_date: experiment.updated_at,
            results_last_updated: experiment.results_updated_at,
            assignments_start_date: configuration.assignments_start_date.map(Bound::as_start),
            assignments_end_date: configuration.assignments_end_date.map(Bound::as_end),
            traffic_allocation: configuration.traffic_allocation,
            winning_variant_key: winner(experiment),
            outcome: decision.map(|decision| outcome(decision.outcome)),
            key_takeaways: decision.map(|decision| decision.reason.clone()),
            is_archived: configuration.is_archived,
            is_deleted: shown.is_deleted,
            variations: configuration.variations.iter().map(variation).collect(),
        }
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Draft => "Draft",
        Status::Running => "Running",
        Status::ReadyForReview => "Ready for review",
        Status::WrapUp => "Wrap up",
        Status::Concluded => "Concluded",
    }
}

/// The status that a client asks for, in whichever case it writes it, with spaces or without.
pub fn asked_status(text: &str) -> Option<Status> {
    let plain = |text: &str| text.to_lowercase().replace([' ', '-'], "_");
    Status::ALL.into_iter().find(|there| plain(there.as_str()) == plain(text))
}

fn outcome(outcome: DecisionOutcome) -> &'static str {
    match outcome {
        DecisionOutcome::Ship => "POSITIVE",
        DecisionOutcome::Rollback => "NEGATIVE",
        DecisionOutcome::Inconclusive => "INCONCLUSIVE",
    }
}

/// The variation that is to be kept: what was decided, and of a rollback that names none, the control.
fn winner(experiment: &Experiment) -> Option<String> {
    let decision = experiment.decision.as_ref()?;
    let control = || experiment.configuration.active_variations().find(|variation| variation.is_control);
    match (&decision.winning_variation, decision.outcome) {
        (Some(key), _) => Some(key.clone()),
        (None, DecisionOutcome::Rollback) => control().map(|variation| variation.key.clone()),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_is_shown_and_as_ours() {
        for there in Status::ALL {
            for text in [status(there), there.as_str(), &status(there).to_uppercase()] {
                assert_eq!(asked_status(text), Some(there), "{text}");
            }
        }
        assert_eq!(asked_status("analysis_complete"), None);
    }
}
