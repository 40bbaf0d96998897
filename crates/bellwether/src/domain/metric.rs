//! A metric: one aggregation of facts per subject, averaged over a variation's subjects, or the ratio of two.

use serde::{Deserialize, Serialize};

use super::aggregation::{Aggregation, Timeframe, Winsorization};
use super::definition::DesiredChange;
use super::error::{FieldErrors, Refusal, Validate};
use super::id::EntityId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub entity_id: EntityId,
    pub kind: MetricKind,
    pub numerator: Aggregation,
    /// Of a ratio, and needed there.
    #[serde(default)]
    pub denominator: Option<Aggregation>,
    /// `null`: that of the numerator's fact.
    #[serde(default)]
    pub desired_change: Option<DesiredChange>,
    #[serde(default)]
    pub display: Display,
    /// The smallest relative lift that matters, like 0.02.
    #[serde(default)]
    pub minimum_detectable_effect: Option<f64>,
    /// Attached to every new experiment of its entity, as one that must not get worse.
    #[serde(default)]
    pub is_guardrail: bool,
    /// The lift beyond which it is breached, like -0.02; `null`: 0.
    #[serde(default)]
    pub guardrail_cutoff: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// The mean over a variation's subjects.
    Simple,
    /// The sum of the numerator over the sum of the denominator.
    Ratio,
}

/// How people are shown its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Display {
    #[default]
    Decimal,
    Percent,
}

impl Validate for Metric {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        errors.text("description", &self.description, 10_000);
        self.numerator.validate(&mut errors, "numerator");
        match (self.kind, &self.denominator) {
            (MetricKind::Simple, Some(_)) => {
                errors.add("denominator", "it was given for a simple metric; leave it out, or set kind to 'ratio'");
            }
            (MetricKind::Ratio, None) => errors.add("denominator", "it is missing; a ratio needs one"),
            (_, Some(denominator)) => denominator.validate(&mut errors, "denominator"),
            (_, None) => {}
        }
        check_effect(&mut errors, self.minimum_detectable_effect);
        check_cutoff(&mut errors, self.guardrail_cutoff);
        errors.finish()
    }
}

impl Metric {
    /// Its one aggregation, or its two, each with the field that it stands in.
    pub fn aggregations(&self) -> impl Iterator<Item = (&'static str, &Aggregation)> {
        let denominator = self.denominator.as_ref().map(|aggregation| ("denominator", aggregation));
        [("numerator", &self.numerator)].into_iter().chain(denominator)
    }
}

/// What an experiment sets for a metric in place of the metric's own; what is `null` stays the metric's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricSettings {
    /// Whether it must not get worse.
    pub is_guardrail: bool,
    pub guardrail_cutoff: Option<f64>,
    pub timeframe: Option<Timeframe>,
    pub winsorization: Option<Winsorization>,
    pub minimum_detectable_effect: Option<f64>,
}

impl MetricSettings {
    /// The metric as this experiment measures it.
    pub fn applied_to(&self, metric: &Metric) -> Metric {
        let mut metric = metric.clone();
        let aggregations = std::iter::once(&mut metric.numerator).chain(&mut metric.denominator);
        for aggregation in aggregations {
            aggregation.timeframe = self.timeframe.or(aggregation.timeframe);
            if let Some(winsorization) = self.winsorization.as_ref().filter(|_| aggregation.operation.is_amount()) {
                aggregation.winsorization = Some(winsorization.clone());
            }
        }
        metric.minimum_detectable_effect = self.minimum_detectable_effect.or(metric.minimum_detectable_effect);
        metric.guardrail_cutoff = self.guardrail_cutoff.or(metric.guardrail_cutoff);
        metric
    }
}

impl Validate for MetricSettings {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        if let Some(timeframe) = &self.timeframe {
            timeframe.validate(&mut errors, "timeframe");
        }
        if let Some(winsorization) = &self.winsorization {
            winsorization.validate(&mut errors, "winsorization");
        }
        check_effect(&mut errors, self.minimum_detectable_effect);
        check_cutoff(&mut errors, self.guardrail_cutoff);
        errors.finish()
    }
}

fn check_cutoff(errors: &mut FieldErrors, given: Option<f64>) {
    errors.check(given.is_none_or(|cutoff| cutoff.abs() <= 100.0), "guardrail_cutoff", || {
        format!("{} was given; it is a relative lift between -100 and 100, like -0.02", given.unwrap_or_default())
    });
}

fn check_effect(errors: &mut FieldErrors, given: Option<f64>) {
    errors.check(given.is_none_or(|effect| effect > 0.0 && effect <= 100.0), "minimum_detectable_effect", || {
        format!("{} was given; it is a relative lift: above 0, at most 100, like 0.02", given.unwrap_or_default())
    });
}
