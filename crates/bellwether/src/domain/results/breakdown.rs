//! A metric by the values of a property of subjects: the same figures of each part of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PosteriorResult, VariationResult, believed};
use crate::domain::verdict::Verdict;

/// A metric by the values of a property of subjects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Breakdown {
    pub property: String,
    /// The most frequent first, 50 at most, and the rest together.
    pub values: Vec<BreakdownValue>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BreakdownValue {
    /// `None`: subjects without one, unless `is_rest`.
    pub value: Option<String>,
    /// All other values together.
    pub is_rest: bool,
    pub variations: Vec<BreakdownVariation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BreakdownVariation {
    pub key: String,
    pub subjects: u64,
    pub mean: Option<f64>,
    pub standard_deviation: Option<f64>,
    pub lift: Option<f64>,
    pub standard_error: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub p_value: Option<f64>,
    /// What is believed of the lift, under a Bayesian plan.
    #[serde(default)]
    pub posterior: Option<PosteriorResult>,
    pub verdict: Option<Verdict>,
}

impl BreakdownVariation {
    /// What the verdict goes by.
    pub fn judged(&self) -> (Option<f64>, Option<[f64; 2]>) {
        (believed(self.lift, self.posterior), self.interval)
    }
}

impl VariationResult {
    /// What of it stands in a breakdown.
    pub fn short(&self) -> BreakdownVariation {
        BreakdownVariation {
            key: self.key.clone(),
            subjects: self.subjects,
            mean: self.mean,
            standard_deviation: self.standard_deviation,
            lift: self.lift,
            standard_error: self.standard_error,
            interval: self.interval,
            p_value: self.p_value,
            posterior: self.posterior,
            verdict: self.verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breakdown_shows_what_is_believed_within_its_interval() {
        let posterior = PosteriorResult { mean: 0.02, standard_deviation: 0.01, better: 0.97, risk: 0.0 };
        let found = VariationResult {
            lift: Some(0.3),
            interval: Some([0.0, 0.04]),
            posterior: Some(posterior),
            ..VariationResult::default()
        };
        assert_eq!(found.short().judged(), found.judged());
        assert_eq!(found.short().judged(), (Some(0.02), Some([0.0, 0.04])));
    }
}
