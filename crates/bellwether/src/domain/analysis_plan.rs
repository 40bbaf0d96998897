//! The analysis plan: how an experiment's results are computed, and what must hold before it may end. What is made of it is
//! in `pipeline` and `lifecycle`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::FieldErrors;

/// The longest that a plan may ask an experiment to run, in days.
const MOST_DAYS: u32 = 3650;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnalysisPlan {
    pub method: Method,
    /// Of the intervals; between 0.5 and 0.9999.
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub confidence_level: f64,
    pub correction: Correction,
    /// The primary metric's share of what may go wrong; above 0 and below 1.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub primary_weight: f64,
    /// Of the lift, before anything was seen; above 0 and at most 10.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 10))]
    pub prior_sd: f64,
    /// Whether what subjects did before takes noise out of what they do now.
    pub cuped: bool,
    /// Before the experiment may end by its results, and by its date without being held.
    #[schemars(range(max = MOST_DAYS))]
    pub minimum_days: Option<u32>,
    /// The same, of all active variations together.
    pub minimum_subjects: Option<u64>,
    /// Half the width of the interval around the lift at which enough is known; `null`: the metric's minimum detectable
    /// effect.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 100))]
    pub precision: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AnalysisMethod")]
pub enum Method {
    /// Valid once, at the end.
    #[default]
    Fixed,
    /// Valid at every look.
    Sequential,
    /// The lift as a distribution, given a prior one.
    Bayesian,
}

impl Method {
    /// Whether the results may decide before the end.
    pub const fn may_look_early(self) -> bool {
        matches!(self, Self::Sequential | Self::Bayesian)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Each comparison by itself.
    #[default]
    None,
    /// All comparisons together are wrong no more often than the confidence level says, and the primary metric gets the most.
    PreferentialBonferroni,
}

impl Default for AnalysisPlan {
    fn default() -> Self {
        Self {
            method: Method::default(),
            confidence_level: 0.95,
            correction: Correction::default(),
            primary_weight: 0.5,
            prior_sd: 0.05,
            cuped: false,
            minimum_days: None,
            minimum_subjects: None,
            precision: None,
        }
    }
}

impl AnalysisPlan {
    pub fn validate(&self, errors: &mut FieldErrors) {
        let mut check = |holds: bool, field: &str, given: String, allowed: &str| {
            let field = format!("analysis_plan.{field}");
            errors.check(holds, &field, || format!("{given} was given; {allowed}"));
        };
        let level = self.confidence_level;
        let allowed = "it must lie between 0.5 and 0.9999, usually 0.95";
        check((0.5..=0.9999).contains(&level), "confidence_level", level.to_string(), allowed);
        let weight = self.primary_weight;
        let allowed = "it is the primary metric's share of the correction: above 0 and below 1, usually 0.5";
        check(weight > 0.0 && weight < 1.0, "primary_weight", weight.to_string(), allowed);
        let sd = self.prior_sd;
        let allowed =
            "it is the standard deviation of lifts before anything is known: above 0 and at most 10, usually 0.05";
        check(sd > 0.0 && sd <= 10.0, "prior_sd", sd.to_string(), allowed);
        let days = self.minimum_days.unwrap_or_default();
        check(days <= MOST_DAYS, "minimum_days", days.to_string(), "at most 3650 are allowed");
        let precision = self.precision.unwrap_or(1.0);
        let allowed = "it is half the width of the interval around a lift: above 0 and at most 100, like 0.02";
        check(precision > 0.0 && precision <= 100.0, "precision", precision.to_string(), allowed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::error::Refusal;

    #[test]
    fn a_plan_names_each_figure_that_cannot_be() {
        let plan = AnalysisPlan {
            confidence_level: 1.0,
            primary_weight: 1.0,
            prior_sd: f64::NAN,
            minimum_days: Some(4000),
            precision: Some(0.0),
            ..AnalysisPlan::default()
        };
        let mut errors = FieldErrors::default();
        plan.validate(&mut errors);
        let Refusal::Invalid(errors) = errors.finish().unwrap_err() else { panic!("another refusal") };
        let fields: Vec<_> = errors.iter().map(|error| error.field.trim_start_matches("analysis_plan.")).collect();
        assert_eq!(fields, ["confidence_level", "primary_weight", "prior_sd", "minimum_days", "precision"]);
        let mut errors = FieldErrors::default();
        AnalysisPlan::default().validate(&mut errors);
        errors.finish().unwrap();
    }
}
