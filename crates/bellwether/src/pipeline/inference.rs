//! How far figures can be trusted, by the experiment's plan: intervals by its method and correction, progress, and verdicts.
//! Pure; the formulas are in `bellwether_stats`.

use bellwether_stats as stats;
use bellwether_stats::{Difference, Lift, Measurement, OutOfRange};

use crate::domain::analysis_plan::{AnalysisPlan, Correction, Method};
use crate::domain::definition::DesiredChange;
use crate::domain::results::{PosteriorResult, VariationResult};
use crate::domain::verdict::{GuardrailState, Verdict};

/// The plan, as it is for this experiment's metrics and treatments.
#[derive(Debug, Clone)]
pub struct Inference {
    plan: AnalysisPlan,
    primary_alpha: f64,
    other_alpha: f64,
    /// Whether the plan's minimum requirements are met.
    meets_minimum: bool,
}

/// What decides of one metric.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    pub alpha: f64,
    pub desired: DesiredChange,
    /// Half the width of the interval that is wanted.
    pub target: Option<f64>,
    /// Of a guardrail.
    pub cutoff: Option<f64>,
}

impl Inference {
    /// `metrics` are all of the experiment's, the primary one among them if it `has_primary`.
    pub fn of(
        plan: &AnalysisPlan,
        treatments: usize,
        metrics: usize,
        has_primary: bool,
        meets_minimum: bool,
    ) -> Result<Self, OutOfRange> {
        let alpha = alpha_of(plan);
        let is_corrected = plan.correction == Correction::PreferentialBonferroni && plan.method != Method::Bayesian;
        let (primary_alpha, other_alpha) = if is_corrected && treatments > 0 && metrics > 0 {
            let weight = has_primary.then_some(plan.primary_weight);
            let found = stats::preferential_bonferroni(alpha, treatments as u64, metrics as u64, weight)?;
            (found.primary.unwrap_or(alpha), found.other.unwrap_or(alpha))
        } else {
            (alpha, alpha)
        };
        Ok(Self { plan: plan.clone(), primary_alpha, other_alpha, meets_minimum })
    }

    pub fn judged(
        &self,
        is_primary: bool,
        desired: DesiredChange,
        minimum_detectable_effect: Option<f64>,
        cutoff: Option<f64>,
    ) -> Judged {
        let alpha = if is_primary { self.primary_alpha } else { self.other_alpha };
        Judged { alpha, desired, target: self.plan.precision.or(minimum_detectable_effect), cutoff }
    }

    /// The level of the figures of one variation, which nothing is compared with.
    pub fn confidence(&self) -> f64 {
        self.plan.confidence_level
    }

    /// What is found of an absolute difference of arms with so many `subjects` together. Beliefs are of lifts alone.
    pub fn difference(&self, result: &mut VariationResult, found: &Difference, subjects: u64, alpha: f64) {
        let interval = match self.plan.method {
            Method::Fixed | Method::Bayesian => Ok(fixed(found.difference, found.standard_error, alpha)),
            Method::Sequential => stats::sequential_interval(found.difference, found.standard_error, subjects, alpha),
        };
        result.difference = Some(found.difference);
        result.difference_standard_error = Some(found.standard_error);
        result.difference_interval = interval.ok().map(ends);
    }

    /// What is found of a lift. The p-value is of this comparison alone.
    pub fn lift(
        &self,
        result: &mut VariationResult,
        found: &Lift,
        subjects: u64,
        judged: &Judged,
    ) -> Result<(), OutOfRange> {
        let (lift, standard_error) = (found.lift, found.standard_error);
        result.lift = Some(lift);
        result.standard_error = Some(standard_error);
        match self.plan.method {
            Method::Fixed => {
                result.interval = Some(ends(fixed(lift, standard_error, judged.alpha)));
                result.p_value = Some(found.p_value);
            }
            Method::Sequential => {
                let interval = stats::sequential_interval(lift, standard_error, subjects, judged.alpha)?;
                result.interval = Some(ends(interval));
                let alpha = alpha_of(&self.plan);
                result.p_value = Some(stats::sequential_p(lift, standard_error, subjects, alpha)?);
            }
            Method::Bayesian => {
                let (prior_sd, desired) = (self.plan.prior_sd, desired(judged.desired));
                let found = stats::posterior(lift, standard_error, prior_sd, desired, 1.0 - judged.alpha)?;
                result.interval = Some(ends(found.interval));
                result.posterior = Some(PosteriorResult {
                    mean: found.mean,
                    standard_deviation: found.standard_deviation,
                    better: found.better,
                    risk: found.risk,
                });
            }
        }
        Ok(())
    }

    /// What follows from the interval of a treatment's lift, if it has one.
    pub fn judge(&self, result: &mut VariationResult, judged: &Judged) {
        let interval = result.interval.map(|[low, high]| (low, high));
        let progress = judged.target.zip(interval);
        result.progress = progress.and_then(|(target, interval)| stats::progress(target, interval).ok());
        let progress = judged.target.map(|_| result.progress.unwrap_or(0.0));
        let desired = desired(judged.desired);
        result.verdict = Some(match stats::verdict(interval, progress, self.meets_minimum, desired) {
            stats::Verdict::Better => Verdict::Better,
            stats::Verdict::Worse => Verdict::Worse,
            stats::Verdict::NoDifferenceFound => Verdict::NoDifferenceFound,
            stats::Verdict::NotEnoughData => Verdict::NotEnoughData,
        });
        result.guardrail = judged.cutoff.map(|cutoff| match stats::guardrail(interval, cutoff, desired) {
            stats::Guardrail::Breached => GuardrailState::Breached,
            stats::Guardrail::Safe => GuardrailState::Safe,
            stats::Guardrail::AtRisk => GuardrailState::AtRisk,
        });
    }

    /// Whether the treatments of the primary metric decide before the end.
    pub fn is_decided(&self, variations: &[VariationResult]) -> bool {
        let treatments = variations.iter().filter(|variation| variation.verdict.is_some());
        let measured: Vec<_> = treatments
            .map(|it| Measurement { interval: it.judged().1.map(|[low, high]| (low, high)), progress: it.progress })
            .collect();
        self.plan.method.may_look_early() && stats::is_decided(&measured)
    }
}

/// 0.05 of a level of 0.95, and not the digits that the difference of two doubles leaves.
fn alpha_of(plan: &AnalysisPlan) -> f64 {
    ((1.0 - plan.confidence_level) * 1e12).round() / 1e12
}

fn fixed(estimate: f64, standard_error: f64, alpha: f64) -> (f64, f64) {
    let reach = stats::distribution::normal_quantile(1.0 - alpha / 2.0) * standard_error;
    (estimate - reach, estimate + reach)
}

fn ends((low, high): (f64, f64)) -> [f64; 2] {
    [low, high]
}

fn desired(change: DesiredChange) -> stats::DesiredChange {
    match change {
        DesiredChange::Increase => stats::DesiredChange::Increase,
        DesiredChange::Decrease => stats::DesiredChange::Decrease,
    }
}
