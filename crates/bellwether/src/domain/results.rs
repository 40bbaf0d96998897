//! What a run found, in its published form. docs/analysis.md describes every field.

mod breakdown;

pub use breakdown::{Breakdown, BreakdownValue, BreakdownVariation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::analysis_plan::AnalysisPlan;
use super::clock::Timestamp;
use super::definition::DesiredChange;
use super::id::{FactSourceId, MetricId, RunId};
use super::metric::Display;
use super::verdict::{ExperimentVerdict, GuardrailState, Verdict};
use super::warning::Warning;

/// The number of the form that this program writes.
pub const FORMAT: u32 = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// 0: of a version that had none.
    #[serde(default)]
    pub format: u32,
    pub run_id: RunId,
    /// How the figures were judged.
    #[serde(default)]
    pub analysis_plan: AnalysisPlan,
    #[serde(default)]
    pub verdict: Option<ExperimentVerdict>,
    /// What the primary metric decides before the end, in words, where the plan allows to look early.
    #[serde(default)]
    pub decided: Option<String>,
    pub metrics: Vec<MetricResult>,
    pub traffic: Traffic,
    #[serde(default)]
    pub assignments: AssignmentCounts,
    #[serde(default)]
    pub facts: Vec<FactCounts>,
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricResult {
    pub metric_id: MetricId,
    pub name: String,
    pub is_primary: bool,
    #[serde(default)]
    pub desired_change: DesiredChange,
    #[serde(default)]
    pub display: Display,
    #[serde(default)]
    pub minimum_detectable_effect: Option<f64>,
    #[serde(default)]
    pub is_guardrail: bool,
    #[serde(default)]
    pub guardrail_cutoff: Option<f64>,
    /// The level of significance of each of its comparisons, after the correction.
    #[serde(default)]
    pub alpha: Option<f64>,
    /// How far its measurement is, from 0 to 1: of the treatment that is least far. `None` without a target.
    #[serde(default)]
    pub progress: Option<f64>,
    /// When that will be 1, if it goes on as it did.
    #[serde(default)]
    pub expected_end: Option<Timestamp>,
    /// Why there are no figures for this metric, if there are none.
    pub error: Option<String>,
    pub variations: Vec<VariationResult>,
    /// By each property of the assignment source.
    #[serde(default)]
    pub breakdowns: Vec<Breakdown>,
    /// Of a funnel: each step as a share of all subjects. The last one is what the metric itself is.
    #[serde(default)]
    pub funnel_steps: Vec<FunnelStepResult>,
    /// The statements of the run's log that its figures come from, by their numbers from 1 on.
    #[serde(default)]
    pub steps: Vec<u32>,
}

/// One step of a funnel. It is no metric: nothing is concluded from it, nor does it count for the correction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunnelStepResult {
    pub name: String,
    pub variations: Vec<VariationResult>,
}

/// Means are per subject, or ratios; what compares is relative to the control, and absent for the control itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VariationResult {
    pub key: String,
    pub subjects: u64,
    /// `None`: a ratio whose denominator is 0.
    pub mean: Option<f64>,
    #[serde(default)]
    pub standard_deviation: Option<f64>,
    #[serde(default)]
    pub mean_interval: Option<[f64; 2]>,
    /// The sum of the subjects' values; of a ratio, of its numerator.
    #[serde(default)]
    pub total: Option<f64>,
    /// Of a ratio, the sum of its denominator.
    #[serde(default)]
    pub denominator_total: Option<f64>,
    #[serde(default)]
    pub difference: Option<f64>,
    #[serde(default)]
    pub difference_standard_error: Option<f64>,
    #[serde(default)]
    pub difference_interval: Option<[f64; 2]>,
    pub lift: Option<f64>,
    /// Of the lift.
    pub standard_error: Option<f64>,
    /// Of the lift.
    pub interval: Option<[f64; 2]>,
    pub p_value: Option<f64>,
    /// Why there is no lift.
    #[serde(default)]
    pub no_lift_reason: Option<String>,
    /// What is believed of the lift, under a Bayesian plan.
    #[serde(default)]
    pub posterior: Option<PosteriorResult>,
    #[serde(default)]
    pub progress: Option<f64>,
    /// `None` of the control.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Of guardrails.
    #[serde(default)]
    pub guardrail: Option<GuardrailState>,
    /// Without the noise that is known from before, where the plan asks for that: what the verdict goes by.
    #[serde(default)]
    pub cuped: Option<AdjustedResult>,
}

/// Figures of a variation without the noise that is known from before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdjustedResult {
    pub mean: Option<f64>,
    pub standard_deviation: Option<f64>,
    /// The share of its subjects of whom anything is known from before.
    pub coverage: f64,
    pub difference: Option<f64>,
    pub difference_standard_error: Option<f64>,
    pub difference_interval: Option<[f64; 2]>,
    pub lift: Option<f64>,
    pub standard_error: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub p_value: Option<f64>,
    pub no_lift_reason: Option<String>,
    pub posterior: Option<PosteriorResult>,
}

/// An interval of beliefs lies around what is believed.
fn believed(lift: Option<f64>, posterior: Option<PosteriorResult>) -> Option<f64> {
    posterior.map_or(lift, |posterior| Some(posterior.mean))
}

/// A lift as a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PosteriorResult {
    pub mean: f64,
    pub standard_deviation: f64,
    /// The probability that the lift lies on the desired side of 0.
    pub better: f64,
    /// What is to be lost by taking the treatment, as a lift.
    pub risk: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    pub is_imbalance: bool,
    pub p_value: Option<f64>,
    /// Subjects that were seen in more than one variation, and so count in none.
    pub excluded: u64,
    /// With an entry point: subjects that were assigned and have not come to it, and so do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_entry: Option<u64>,
    pub variations: Vec<VariationTraffic>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VariationTraffic {
    pub key: String,
    pub weight: f64,
    pub subjects: u64,
}

/// What became of the assignment source's rows of this experiment's key. The parts add up to `rows`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssignmentCounts {
    pub rows: u64,
    pub counted: u64,
    pub without_subject: u64,
    /// Without a time, or with a text that is none.
    pub without_time: u64,
    pub outside_window: u64,
    pub of_unknown_variations: u64,
    pub of_inactive_variations: u64,
    /// The unknown variations with the most rows, 20 at most.
    pub unknown_variations: Vec<KeyCount>,
    pub earliest: Option<Timestamp>,
    pub latest: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyCount {
    pub key: Option<String>,
    pub rows: u64,
}

/// What became of the rows of a fact source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FactCounts {
    pub fact_source_id: FactSourceId,
    pub name: String,
    pub rows: u64,
    pub without_subject: u64,
    pub without_time: u64,
    /// Of subjects that count.
    pub joined: u64,
    /// Of those, from before the subject's assignment.
    pub before_assignment: u64,
    /// Of those, from after the end of facts.
    pub after_end: u64,
    /// Texts in value columns that are no numbers.
    pub unreadable_values: u64,
    pub latest: Option<Timestamp>,
    /// Its times are days: what happened on the day of the assignment counts.
    pub is_by_day: bool,
}

/// By how much a figure may differ and still be the same, relative to it or to its standard error.
const SAME: f64 = 1e-9;

impl Results {
    /// Whether the figures are the same, whichever run found them: counts exactly, other figures to 1e-9 of the greater of
    /// value and standard error, for the last digits are the machine's.
    pub fn same_figures(&self, other: &Self) -> bool {
        let same_metrics = self.metrics.len() == other.metrics.len()
            && self.metrics.iter().zip(&other.metrics).all(|(metric, other)| metric.same_figures(other));
        same_metrics && self.traffic.same_figures(&other.traffic)
    }
}

impl MetricResult {
    /// One of which nothing is known yet.
    pub fn named(metric_id: MetricId, name: impl Into<String>) -> Self {
        Self {
            metric_id,
            name: name.into(),
            is_primary: false,
            desired_change: DesiredChange::default(),
            display: Display::default(),
            minimum_detectable_effect: None,
            is_guardrail: false,
            guardrail_cutoff: None,
            alpha: None,
            progress: None,
            expected_end: None,
            error: None,
            variations: Vec::new(),
            breakdowns: Vec::new(),
            funnel_steps: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn same_figures(&self, other: &Self) -> bool {
        let named = |metric: &Self| (metric.metric_id, metric.is_primary, metric.error.clone());
        let same_steps = self.funnel_steps.len() == other.funnel_steps.len()
            && self
                .funnel_steps
                .iter()
                .zip(&other.funnel_steps)
                .all(|(step, other)| step.name == other.name && all_same(&step.variations, &other.variations));
        named(self) == named(other) && all_same(&self.variations, &other.variations) && same_steps
    }
}

fn all_same(variations: &[VariationResult], others: &[VariationResult]) -> bool {
    let is_same = |(variation, other): (&VariationResult, &VariationResult)| variation.same_figures(other);
    variations.len() == others.len() && variations.iter().zip(others).all(is_same)
}

impl VariationResult {
    /// What the verdict goes by: the lift and its interval, adjusted where they are.
    pub fn judged(&self) -> (Option<f64>, Option<[f64; 2]>) {
        let (lift, interval, posterior) = match &self.cuped {
            Some(cuped) => (cuped.lift, cuped.interval, cuped.posterior),
            None => (self.lift, self.interval, self.posterior),
        };
        (believed(lift, posterior), interval)
    }

    /// Takes over what was found without the noise that is known, and what follows from it.
    pub fn adjust(&mut self, adjusted: &Self, coverage: f64) {
        self.progress = adjusted.progress;
        self.verdict = adjusted.verdict;
        self.guardrail = adjusted.guardrail;
        self.cuped = Some(AdjustedResult {
            mean: adjusted.mean,
            standard_deviation: adjusted.standard_deviation,
            coverage,
            difference: adjusted.difference,
            difference_standard_error: adjusted.difference_standard_error,
            difference_interval: adjusted.difference_interval,
            lift: adjusted.lift,
            standard_error: adjusted.standard_error,
            interval: adjusted.interval,
            p_value: adjusted.p_value,
            no_lift_reason: adjusted.no_lift_reason.clone(),
            posterior: adjusted.posterior,
        });
    }

    fn same_figures(&self, other: &Self) -> bool {
        let of_mean = self.standard_deviation.unwrap_or(0.0) / (self.subjects.max(1) as f64).sqrt();
        let of_lift = self.standard_error.unwrap_or(0.0);
        let ends = |interval: Option<[f64; 2]>| interval.map_or([None, None], |[low, high]| [Some(low), Some(high)]);
        let ([low, high], [other_low, other_high]) = (ends(self.interval), ends(other.interval));
        (&self.key, self.subjects) == (&other.key, other.subjects)
            && same(self.mean, other.mean, of_mean)
            && same(self.lift, other.lift, of_lift)
            && same(self.standard_error, other.standard_error, of_lift)
            && same(low, other_low, of_lift)
            && same(high, other_high, of_lift)
            && same(self.p_value, other.p_value, 1.0)
            && self.same_judged(other)
    }

    /// What the verdict goes by.
    fn same_judged(&self, other: &Self) -> bool {
        let of = |found: &Self| {
            let (lift, interval) = found.judged();
            [lift, interval.map(|[low, _]| low), interval.map(|[_, high]| high)]
        };
        let error = self.cuped.as_ref().map_or(self.standard_error, |cuped| cuped.standard_error).unwrap_or(0.0);
        of(self).into_iter().zip(of(other)).all(|(one, other)| same(one, other, error))
    }
}

impl Traffic {
    fn same_figures(&self, other: &Self) -> bool {
        (self.is_imbalance, self.excluded, &self.variations) == (other.is_imbalance, other.excluded, &other.variations)
            && same(self.p_value, other.p_value, 1.0)
    }
}

fn same(value: Option<f64>, other: Option<f64>, standard_error: f64) -> bool {
    match (value, other) {
        (Some(value), Some(other)) => (value - other).abs() <= SAME * value.abs().max(standard_error),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(mean: f64, subjects: u64) -> Results {
        let variation = VariationResult {
            key: "treatment".into(),
            subjects,
            mean: Some(mean),
            standard_deviation: Some(10.0),
            lift: Some(0.1),
            standard_error: Some(0.01),
            interval: Some([0.08, 0.12]),
            p_value: Some(0.001),
            ..VariationResult::default()
        };
        let metric = MetricResult {
            is_primary: true,
            variations: vec![variation],
            ..MetricResult::named(MetricId::of(1), "Revenue")
        };
        let traffic = Traffic {
            is_imbalance: false,
            p_value: Some(0.5),
            excluded: 0,
            without_entry: None,
            variations: Vec::new(),
        };
        Results {
            format: FORMAT,
            run_id: RunId::of(u128::from(subjects)),
            analysis_plan: AnalysisPlan::default(),
            verdict: None,
            decided: None,
            metrics: vec![metric],
            traffic,
            assignments: AssignmentCounts::default(),
            facts: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_last_digits_of_a_figure_are_no_update_and_one_more_subject_is() {
        let before = results(1000.0, 100);
        assert!(before.same_figures(&results(1000.0 + 9e-7, 100)), "within 1e-9 of the mean");
        assert!(!before.same_figures(&results(1000.0 + 2e-6, 100)));
        assert!(!before.same_figures(&results(1000.0, 101)));
        assert!(results(0.0, 100).same_figures(&results(9e-10, 100)), "within 1e-9 of its standard error, 1");
        assert!(!results(0.0, 100).same_figures(&results(2e-9, 100)));
        let mut other = before.clone();
        other.metrics[0].variations[0].lift = None;
        assert!(!before.same_figures(&other), "a lift that is gone");
        let step = FunnelStepResult { name: "Cart".into(), variations: before.metrics[0].variations.clone() };
        let (mut other, mut earlier) = (before.clone(), before.clone());
        other.metrics[0].funnel_steps = vec![step.clone()];
        earlier.metrics[0].funnel_steps = vec![step];
        assert!(!before.same_figures(&other) && other.same_figures(&earlier));
        earlier.metrics[0].funnel_steps[0].variations[0].mean = Some(0.5);
        assert!(!other.same_figures(&earlier), "another share in a step");
        let mut other = before.clone();
        other.metrics[0].error = Some("gone".into());
        assert!(!before.same_figures(&other));
    }

    #[test]
    fn results_of_a_version_without_a_format_are_read() {
        let old = serde_json::json!({
            "run_id": RunId::of(1),
            "metrics": [{"metric_id": MetricId::of(1), "name": "m", "is_primary": false, "error": null, "variations": [
                {"key": "control", "subjects": 3, "mean": 2.0, "lift": null, "standard_error": null, "interval": null, "p_value": null}]}],
            "traffic": {"is_imbalance": false, "p_value": null, "excluded": 0, "variations": []},
        });
        let read: Results = serde_json::from_value(old).unwrap();
        assert_eq!((read.format, read.metrics[0].variations[0].mean), (0, Some(2.0)));
    }
}
