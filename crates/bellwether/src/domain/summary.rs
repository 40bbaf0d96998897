//! What a list shows of an experiment's last results: what the primary metric came to, and whether a guardrail forbids it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::definition::DesiredChange;
use super::results::{MetricResult, Results};
use super::verdict::{GuardrailState, Verdict};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// That of the primary metric; `null` without one, and where that failed.
    pub verdict: Option<Verdict>,
    /// How far the primary metric's measurement is, from 0 to 1; `null` without a target.
    pub progress: Option<f64>,
    /// When that will be 1, if it goes on as it did.
    pub expected_end: Option<Timestamp>,
    /// What the verdict goes by.
    pub leading: Option<Leading>,
    /// The worst state of any guardrail, of which those without figures are at risk; `null` without guardrails.
    pub guardrail: Option<GuardrailState>,
}

/// The treatment that the verdict is of: the best of those that have it, by the primary metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leading {
    /// The metric's name.
    pub metric: String,
    /// The variation's key.
    pub variation: String,
    /// Relative to the control, like 0.031.
    pub lift: f64,
    /// Of the lift.
    pub interval: [f64; 2],
}

impl Summary {
    pub fn of(results: &Results) -> Self {
        let verdict = results.verdict.as_ref().and_then(|found| found.verdict);
        let primary = results.metrics.iter().find(|metric| metric.is_primary && metric.error.is_none());
        Self {
            verdict,
            progress: primary.and_then(|metric| metric.progress),
            expected_end: primary.and_then(|metric| metric.expected_end),
            leading: primary.zip(verdict).and_then(|(metric, verdict)| leading(metric, verdict)),
            guardrail: worst_guardrail(&results.metrics),
        }
    }
}

fn leading(primary: &MetricResult, verdict: Verdict) -> Option<Leading> {
    let wish = if primary.desired_change == DesiredChange::Increase { 1.0 } else { -1.0 };
    let having_it = primary.variations.iter().filter(|variation| variation.verdict == Some(verdict));
    let lifts = having_it.filter_map(|variation| {
        let (lift, interval) = variation.judged();
        Some(Leading {
            metric: primary.name.clone(),
            variation: variation.key.clone(),
            lift: lift?,
            interval: interval?,
        })
    });
    lifts.max_by(|one, other| (one.lift * wish).total_cmp(&(other.lift * wish)))
}

fn worst_guardrail(metrics: &[MetricResult]) -> Option<GuardrailState> {
    let states = metrics.iter().filter(|metric| metric.is_guardrail).flat_map(|metric| {
        let mut states: Vec<_> = metric.variations.iter().filter_map(|variation| variation.guardrail).collect();
        if states.is_empty() {
            states.push(GuardrailState::AtRisk);
        }
        states
    });
    let found: Vec<_> = states.collect();
    [GuardrailState::Breached, GuardrailState::AtRisk, GuardrailState::Safe].into_iter().find(|it| found.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{MetricId, RunId};
    use crate::domain::results::{AssignmentCounts, Traffic, VariationResult};
    use crate::domain::verdict::ExperimentVerdict;

    fn treatment(key: &str, verdict: Verdict, lift: f64) -> VariationResult {
        VariationResult {
            key: key.into(),
            lift: Some(lift),
            interval: Some([lift - 0.01, lift + 0.01]),
            verdict: Some(verdict),
            ..VariationResult::default()
        }
    }

    fn results(verdict: Verdict, metrics: Vec<MetricResult>) -> Results {
        Results {
            format: 2,
            run_id: RunId::of(1),
            analysis_plan: Default::default(),
            verdict: Some(ExperimentVerdict { verdict: Some(verdict), sentence: String::new() }),
            decided: None,
            metrics,
            traffic: Traffic {
                is_imbalance: false,
                p_value: None,
                excluded: 0,
                without_entry: None,
                variations: Vec::new(),
            },
            assignments: AssignmentCounts::default(),
            facts: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn primary(desired_change: DesiredChange, variations: Vec<VariationResult>) -> MetricResult {
        let named = MetricResult::named(MetricId::of(1), "Refunds");
        MetricResult { is_primary: true, desired_change, progress: Some(0.4), variations, ..named }
    }

    #[test]
    fn it_is_of_the_best_treatment_that_has_the_verdict() {
        let variations = vec![
            treatment("worst", Verdict::Better, -0.02),
            treatment("best", Verdict::Better, -0.05),
            treatment("unknown", Verdict::NotEnoughData, -0.5),
        ];
        let metric = primary(DesiredChange::Decrease, variations.clone());
        let summary = Summary::of(&results(Verdict::Better, vec![metric]));
        let leading = summary.leading.unwrap();
        assert_eq!((leading.variation.as_str(), leading.lift), ("best", -0.05));
        assert_eq!((summary.progress, summary.guardrail), (Some(0.4), None));
        let metric = primary(DesiredChange::Increase, variations);
        let summary = Summary::of(&results(Verdict::Better, vec![metric]));
        assert_eq!(summary.leading.unwrap().variation, "worst");
    }

    #[test]
    fn one_breached_guardrail_is_not_hidden_by_safe_ones() {
        let mut guardrail = primary(DesiredChange::Increase, Vec::new());
        (guardrail.is_primary, guardrail.is_guardrail) = (false, true);
        for state in [GuardrailState::Safe, GuardrailState::Breached, GuardrailState::AtRisk] {
            guardrail.variations.push(VariationResult { guardrail: Some(state), ..VariationResult::default() });
        }
        let summary = Summary::of(&results(Verdict::Better, vec![guardrail]));
        assert_eq!(summary.guardrail, Some(GuardrailState::Breached));
        assert_eq!((summary.leading, summary.progress), (None, None), "without a primary metric");
    }

    #[test]
    fn a_guardrail_without_figures_is_not_hidden_by_safe_ones() {
        let mut safe = primary(DesiredChange::Increase, Vec::new());
        (safe.is_primary, safe.is_guardrail) = (false, true);
        let failed = MetricResult { error: Some("gone".into()), ..safe.clone() };
        safe.variations.push(VariationResult { guardrail: Some(GuardrailState::Safe), ..VariationResult::default() });
        let worst = |metrics: &[&MetricResult]| worst_guardrail(&metrics.iter().copied().cloned().collect::<Vec<_>>());
        assert_eq!(worst(&[&safe, &failed]), Some(GuardrailState::AtRisk));
        assert_eq!(worst(&[&safe]), Some(GuardrailState::Safe));
        assert_eq!(worst(&[]), None);
    }
}
