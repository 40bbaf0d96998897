//! A percentile of facts: of all those of a variation pooled, whoever they are of. What it is, and what makes it valid.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aggregation::{Aggregation, Operation, PropertyFilter, Timeframe, validate_filters};
use super::error::FieldErrors;
use super::id::FactId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Percentile {
    pub fact_id: FactId,
    /// Which one: at 0.95, the value that 95 % of the facts lie at or below.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub level: f64,
    /// All must hold.
    #[serde(default)]
    pub filters: Vec<PropertyFilter>,
    /// `null`: from the subject's assignment to the end of facts.
    #[serde(default)]
    pub timeframe: Option<Timeframe>,
}

impl Percentile {
    pub fn validate(&self, errors: &mut FieldErrors, field: &str) {
        errors.check(self.level > 0.0 && self.level < 1.0, &format!("{field}.level"), || {
            format!("{} was given; it lies between 0 and 1, both excluded, like 0.95", self.level)
        });
        validate_filters(&self.filters, errors, field);
        if let Some(timeframe) = &self.timeframe {
            timeframe.validate(errors, &format!("{field}.timeframe"));
        }
    }

    /// What it asks of a fact source is what a mean asks: facts in a time, and their values as numbers.
    pub fn aggregation(&self) -> Aggregation {
        Aggregation::of(self.fact_id, Operation::Mean, &self.filters, self.timeframe)
    }
}
