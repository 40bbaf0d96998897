//! From what was found of facts to figures: percentiles, and the steps of funnels. Pure; the formulas are in
//! `bellwether_stats`.

use bellwether_stats::{self as stats, Moments, PercentileError, PercentileFacts, Ranks, RatioMoments};

use super::analysis::{self, Figure};
use super::inference::{Inference, Judged};
use super::steps::percentile::{Placed, Pooled};
use crate::domain::configuration::Variation;
use crate::domain::results::{FunnelStepResult, MetricResult, VariationResult};

/// A metric's figures, arm by arm, and what else is told of it.
#[derive(Debug, Default, PartialEq)]
pub struct MetricFigures {
    pub figures: Vec<Figure>,
    /// How many subjects have anything that counts.
    pub present: Option<u64>,
    /// Why an arm has no figure, where more can be said than that there is none.
    pub reasons: Vec<Option<String>>,
    /// The steps of a funnel by their names, the last one, which the metric's figures are of, among them.
    pub funnel_steps: Vec<(String, Vec<Figure>)>,
    /// The statements that all this comes from.
    pub used: Vec<u32>,
}

impl MetricFigures {
    /// Writes the comparison of all into the result. Steps of a funnel are compared, but nothing is concluded from them.
    pub fn compare(
        &self,
        result: &mut MetricResult,
        variations: &[&Variation],
        inference: &Inference,
        judged: &Judged,
    ) {
        result.variations = analysis::compare(variations, &self.figures, inference, judged);
        let control = variations.iter().position(|variation| variation.is_control);
        let of_control = control.and_then(|arm| self.reasons.get(arm)?.as_ref());
        let of_control = of_control.map(|reason| format!("of the control, {reason}"));
        for (arm, variation) in result.variations.iter_mut().enumerate() {
            let own = self.reasons.get(arm).cloned().flatten();
            let reason = own.or_else(|| of_control.clone());
            variation.no_lift_reason = reason.or_else(|| variation.no_lift_reason.take());
        }
        let step = |(name, figures): &(String, Vec<Figure>)| {
            let compared = analysis::compare(variations, figures, inference, judged);
            let only_figures =
                |it: VariationResult| VariationResult { progress: None, verdict: None, guardrail: None, ..it };
            FunnelStepResult { name: name.clone(), variations: compared.into_iter().map(only_figures).collect() }
        };
        result.funnel_steps = self.funnel_steps.iter().map(step).collect();
    }
}

/// The quantile of an arm, from its facts at their places. None of 0 is negative: it is compared with the facts.
pub fn quantile(ranks: &Ranks, placed: &Placed) -> f64 {
    ranks.quantile(at(placed, ranks.below), at(placed, ranks.below + 1)) + 0.0
}

/// What is not there is no number, and so no estimate is made of it.
fn at(placed: &Placed, place: u64) -> f64 {
    placed.iter().find(|(there, _)| *there == place).map_or(f64::NAN, |(_, value)| *value)
}

/// The percentile of an arm, or why it has none.
pub fn percentile(
    level: f64,
    pooled: &Pooled,
    ranks: &Result<Ranks, PercentileError>,
    placed: &Placed,
    shares: &RatioMoments,
) -> (Figure, Option<String>) {
    let estimate = ranks.and_then(|ranks| {
        let (low, high) = ranks.outer;
        let (quantile, outer) = (quantile(&ranks, placed), (at(placed, low), at(placed, high)));
        stats::percentile(level, &PercentileFacts { quantile, outer, subjects: *shares })
    });
    let figure = Figure {
        estimate: estimate.ok(),
        subjects: pooled.subjects,
        total: pooled.total,
        denominator_total: Some(pooled.facts as f64),
    };
    (figure, estimate.err().map(|error| error.to_string()))
}

/// The share of an arm's subjects that take a step.
pub fn share(reached: u64, subjects: u64) -> Figure {
    // Who takes a step is one of the subjects, whatever the counts of another statement say.
    let n = subjects.max(reached);
    let (all, some) = (n as f64, reached as f64);
    let mean = if n == 0 { 0.0 } else { some / all };
    let m2 = if n == 0 { 0.0 } else { some * (all - some) / all };
    let max_abs = if reached > 0 { 1.0 } else { 0.0 };
    let moments = Moments { n, mean, m2, max_abs, mean_abs: mean };
    Figure { estimate: (n > 0).then(|| (&moments).into()), subjects: n, total: some, denominator_total: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_mean_of_ones_and_zeros() {
        let ones = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let expected: stats::Estimate = (&Moments::of(ones)).into();
        let found = share(2, 7).estimate.unwrap();
        assert!((found.value - expected.value).abs() < 1e-15 && !found.is_zero);
        assert!((found.standard_deviation.unwrap() - expected.standard_deviation.unwrap()).abs() < 1e-15);
        assert_eq!((share(0, 0).estimate, share(3, 2).subjects), (None, 3));
        assert!(share(0, 5).estimate.unwrap().is_zero);
    }

    #[test]
    fn an_arm_of_few_facts_says_how_many_it_needs() {
        let pooled = Pooled { subjects: 9, facts: 10, total: 55.0 };
        let (figure, reason) =
            percentile(0.95, &pooled, &stats::ranks(0.95, 10), &Placed::new(), &RatioMoments::default());
        assert_eq!((figure.estimate, figure.subjects, figure.denominator_total), (None, 9, Some(10.0)));
        assert!(reason.unwrap().starts_with("there are 10 facts"));
    }
}
