//! A metric: an aggregation of facts per subject.

use serde::{Deserialize, Serialize};

use super::error::{FieldErrors, Refusal, Validate};
use super::id::{EntityId, FactId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub entity_id: EntityId,
    pub kind: MetricKind,
    pub numerator: Aggregation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// One aggregation per subject, averaged over a variation's subjects.
    Simple,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregation {
    pub fact_id: FactId,
    pub operation: Operation,
}

/// What one subject's facts become. A subject without facts counts as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The sum of the values.
    Sum,
    /// The number of facts.
    Count,
    /// The mean of the values.
    Mean,
    /// 1 if there is any fact, else 0.
    Conversion,
}

impl Validate for Metric {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        errors.text("description", &self.description, 10_000);
        errors.finish()
    }
}
