//! A funnel: which share of a variation's subjects takes each of some steps, one after the other. What it is, and what makes
//! it valid.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aggregation::{Aggregation, Operation, PropertyFilter, TimeUnit, Timeframe, Within, validate_filters};
use super::error::FieldErrors;
use super::id::FactId;
use super::schema;

const FEWEST_STEPS: usize = 2;
const MOST_STEPS: usize = 10;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Funnel {
    /// In their order.
    #[schemars(length(min = FEWEST_STEPS, max = MOST_STEPS))]
    pub steps: Vec<FunnelStep>,
    /// `null`: there is no hurry.
    #[serde(default)]
    pub conversion_window: Option<ConversionWindow>,
    /// Of the facts of every step. `null`: from the subject's assignment to the end of facts.
    #[serde(default)]
    pub timeframe: Option<Timeframe>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunnelStep {
    /// `null`: that of the fact.
    #[serde(default)]
    #[schemars(schema_with = "schema::optional_name")]
    pub name: Option<String>,
    pub fact_id: FactId,
    /// All must hold.
    #[serde(default)]
    pub filters: Vec<PropertyFilter>,
}

/// The time that a subject has to come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversionWindow {
    #[schemars(range(min = 1))]
    pub length: u32,
    pub unit: TimeUnit,
    #[serde(default)]
    pub from: WindowStart,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowStart {
    /// For all steps.
    #[default]
    Assignment,
    /// The subject's first fact of the first step, for all later steps.
    FirstStep,
}

impl Funnel {
    pub fn validate(&self, errors: &mut FieldErrors, field: &str) {
        let (path, count) = (format!("{field}.steps"), self.steps.len());
        errors.check((FEWEST_STEPS..=MOST_STEPS).contains(&count), &path, || {
            format!("{count} were given; from {FEWEST_STEPS} to {MOST_STEPS} are allowed")
        });
        for (i, step) in self.steps.iter().take(MOST_STEPS).enumerate() {
            let step_path = format!("{path}[{i}]");
            if let Some(name) = &step.name {
                errors.name(&format!("{step_path}.name"), name);
            }
            validate_filters(&step.filters, errors, &step_path);
        }
        if let Some(ConversionWindow { length, unit, .. }) = self.conversion_window {
            Within { length, unit }.validate(errors, &format!("{field}.conversion_window"));
        }
        if let Some(timeframe) = &self.timeframe {
            timeframe.validate(errors, &format!("{field}.timeframe"));
        }
    }

    /// What the steps ask of their fact sources, each by itself, is what conversions ask: whether there is such a fact.
    pub fn aggregations(&self) -> impl Iterator<Item = Aggregation> {
        let step =
            |step: &FunnelStep| Aggregation::of(step.fact_id, Operation::Conversion, &step.filters, self.timeframe);
        self.steps.iter().map(step)
    }
}
