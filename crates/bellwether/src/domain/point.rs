//! A point of an experiment's curves: what its figures were at the end of a day.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{MetricId, RunId};
use super::results::{Results, VariationResult, VariationTraffic};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The UTC day whose end, or the last run of which, it is of: like `2026-03-01`.
    pub day: String,
    /// The run that has computed it.
    pub run_id: RunId,
    /// Until when assignments and facts were read.
    pub until: Timestamp,
    pub traffic: Vec<VariationTraffic>,
    pub metrics: Vec<MetricPoint>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricPoint {
    pub metric_id: MetricId,
    pub name: String,
    pub variations: Vec<VariationPoint>,
}

/// Figures as the verdict goes by them: without the noise that is known, where the plan asks for that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VariationPoint {
    pub key: String,
    pub subjects: u64,
    pub mean: Option<f64>,
    pub lift: Option<f64>,
    pub interval: Option<[f64; 2]>,
}

/// The last UTC day that lies before a moment, if only in part.
pub fn day_before(moment: Timestamp) -> jiff::civil::Date {
    moment.minus(Duration::from_micros(1)).date()
}

impl Point {
    /// Of what a run found of what had happened `until` then.
    pub fn of(results: &Results, until: Timestamp) -> Self {
        let metrics = results.metrics.iter().filter(|metric| metric.error.is_none());
        Self {
            day: day_before(until).to_string(),
            run_id: results.run_id,
            until,
            traffic: results.traffic.variations.clone(),
            metrics: metrics
                .map(|metric| MetricPoint {
                    metric_id: metric.metric_id,
                    name: metric.name.clone(),
                    variations: metric.variations.iter().map(VariationPoint::of).collect(),
                })
                .collect(),
        }
    }
}

impl VariationPoint {
    fn of(found: &VariationResult) -> Self {
        let (lift, interval) = found.judged();
        let mean = found.cuped.as_ref().map_or(found.mean, |cuped| cuped.mean);
        Self { key: found.key.clone(), subjects: found.subjects, mean, lift, interval }
    }
}
