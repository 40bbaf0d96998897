//! A variation's figures as Eppo's clients read them: `calculated_metrics`.

use serde::Serialize;

use super::numbers::Numbers;
use crate::domain::results::{AdjustedResult, MetricResult, Results, VariationResult};
use crate::domain::verdict::Verdict;

#[derive(Debug, Serialize)]
pub struct CalculatedMetric {
    /// `null`: the metric is gone; its name is kept.
    metric_id: Option<i64>,
    metric_name: String,
    metric_value: Option<f64>,
    numerator: Option<f64>,
    denominator: Option<f64>,
    assignment_count: u64,
    /// A fraction: 0.05 for 5 %.
    percent_change: Option<f64>,
    p_value: Option<f64>,
    z_score: Option<f64>,
    standard_error: Option<f64>,
    confidence_interval: Option<Interval>,
    /// `null` for the control.
    statistically_significant: Option<bool>,
    metric_value_cuped: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cuped: Option<Cuped>,
}

#[derive(Debug, Serialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

#[derive(Debug, Serialize)]
struct Cuped {
    metric_value: Option<f64>,
    percent_change: Option<f64>,
    p_value: Option<f64>,
    z_score: Option<f64>,
    standard_error: Option<f64>,
    confidence_interval: Option<Interval>,
    /// These two need the metric's total beyond the experiment, which is not measured.
    coverage: Option<f64>,
    global_lift: Option<f64>,
}

/// What a run found of a variation. A metric that failed has no figures, and is not there.
pub fn calculated_metrics(results: &Results, key: &str, numbers: &Numbers, with_cuped: bool) -> Vec<CalculatedMetric> {
    let of_variation = |metric: &MetricResult| {
        let found = metric.variations.iter().find(|variation| variation.key == key)?;
        Some(calculated(metric, found, numbers.metrics.number(metric.metric_id), with_cuped))
    };
    results.metrics.iter().filter_map(of_variation).collect()
}

fn calculated(
    metric: &MetricResult,
    found: &VariationResult,
    number: Option<i64>,
    with_cuped: bool,
) -> CalculatedMetric {
    CalculatedMetric {
        metric_id: number,
        metric_name: metric.name.clone(),
        metric_value: found.mean,
        numerator: found.total,
        // Of a metric that is no ratio, what it is divided by are the subjects.
        denominator: found.denominator_total.or(found.total.map(|_| found.subjects as f64)),
        assignment_count: found.subjects,
        // What an interval of beliefs lies around is what is believed.
        percent_change: found.posterior.map_or(found.lift, |posterior| Some(posterior.mean)),
        p_value: found.p_value,
        z_score: z_score(found.lift, found.standard_error),
        standard_error: found.standard_error,
        confidence_interval: found.interval.map(Interval::of),
        statistically_significant: found.verdict.map(|verdict| matches!(verdict, Verdict::Better | Verdict::Worse)),
        metric_value_cuped: found.cuped.as_ref().and_then(|cuped| cuped.mean),
        cuped: found.cuped.as_ref().filter(|_| with_cuped).map(Cuped::of),
    }
}

/// By how many standard errors a lift differs from 0.
fn z_score(lift: Option<f64>, standard_error: Option<f64>) -> Option<f64> {
    let (lift, standard_error) = (lift?, standard_error.filter(|error| *error > 0.0)?);
    Some(lift / standard_error)
}

impl Interval {
    fn of([lower_bound, upper_bound]: [f64; 2]) -> Self {
        Self { lower_bound, upper_bound }
    }
}

impl Cuped {
    fn of(adjusted: &AdjustedResult) -> Self {
        Self {
            metric_value: adjusted.mean,
            percent_change: adjusted.posterior.map_or(adjusted.lift, |posterior| Some(posterior.mean)),
            p_value: adjusted.p_value,
            z_score: z_score(adjusted.lift, adjusted.standard_error),
            standard_error: adjusted.standard_error,
            confidence_interval: adjusted.interval.map(Interval::of),
            coverage: None,
            global_lift: None,
        }
    }
}
