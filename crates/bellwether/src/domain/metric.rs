//! A metric: one aggregation of facts per subject, averaged over a variation's subjects, or the ratio of two; or a percentile
//! of facts, or a funnel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aggregation::{Aggregation, Timeframe, Winsorization};
use super::definition::DesiredChange;
use super::error::{FieldErrors, Refusal, Validate};
use super::funnel::Funnel;
use super::id::{EntityId, FactId, TeamId};
use super::managed::ManagedBy;
use super::percentile::Percentile;
use super::schema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<10_000>")]
    pub description: String,
    #[serde(default)]
    pub team_id: Option<TeamId>,
    pub entity_id: EntityId,
    pub kind: MetricKind,
    /// Of a simple metric or a ratio, and needed there.
    #[serde(default)]
    pub numerator: Option<Aggregation>,
    /// Of a ratio, and needed there.
    #[serde(default)]
    pub denominator: Option<Aggregation>,
    /// Of a percentile, and needed there.
    #[serde(default)]
    pub percentile: Option<Percentile>,
    /// Of a funnel, and needed there.
    #[serde(default)]
    pub funnel: Option<Funnel>,
    /// `null`: that of the leading fact.
    #[serde(default)]
    pub desired_change: Option<DesiredChange>,
    #[serde(default)]
    pub display: Display,
    /// The smallest relative lift that matters, like 0.02.
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 100))]
    pub minimum_detectable_effect: Option<f64>,
    /// Attached to every new experiment of its entity, as one that must not get worse.
    #[serde(default)]
    pub is_guardrail: bool,
    /// The lift beyond which it is breached, like -0.02; `null`: 0.
    #[serde(default)]
    #[schemars(range(min = -100, max = 100))]
    pub guardrail_cutoff: Option<f64>,
    /// Given by Bellwether: the metric sync that alone edits it.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub managed_by: Option<ManagedBy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// The mean over a variation's subjects.
    Simple,
    /// The sum of the numerator over the sum of the denominator.
    Ratio,
    /// A percentile of a variation's facts.
    Percentile,
    /// The share of a variation's subjects that come through all steps.
    Funnel,
}

impl MetricKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Ratio => "ratio",
            Self::Percentile => "percentile",
            Self::Funnel => "funnel",
        }
    }
}

/// How people are shown its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
        self.validate_parts(&mut errors);
        check_effect(&mut errors, self.minimum_detectable_effect);
        check_cutoff(&mut errors, self.guardrail_cutoff);
        errors.finish()
    }
}

impl Metric {
    /// What each kind has, and no other.
    fn validate_parts(&self, errors: &mut FieldErrors) {
        use MetricKind::{Funnel, Percentile, Ratio, Simple};
        let kind = self.kind;
        let mut check = |field: &str, is_given: bool, owners: &[MetricKind]| {
            let is_owner = owners.contains(&kind);
            if is_given && !is_owner {
                let owners: Vec<_> = owners.iter().map(|owner| format!("'{}'", owner.as_str())).collect();
                let owners = owners.join(" or ");
                errors.add(
                    field,
                    format!("it was given for the kind '{}'; leave it out, or set kind to {owners}", kind.as_str()),
                );
            } else if is_owner && !is_given {
                errors.add(field, format!("it is missing; the kind '{}' needs it", kind.as_str()));
            }
        };
        check("numerator", self.numerator.is_some(), &[Simple, Ratio]);
        check("denominator", self.denominator.is_some(), &[Ratio]);
        check("percentile", self.percentile.is_some(), &[Percentile]);
        check("funnel", self.funnel.is_some(), &[Funnel]);
        for (field, side) in [("numerator", &self.numerator), ("denominator", &self.denominator)] {
            if let Some(aggregation) = side {
                aggregation.validate(errors, field);
            }
        }
        if let Some(percentile) = &self.percentile {
            percentile.validate(errors, "percentile");
        }
        if let Some(funnel) = &self.funnel {
            funnel.validate(errors, "funnel");
        }
    }

    /// What it asks of facts, each with the field that it stands in: one aggregation or a ratio's two, a percentile's, or one
    /// for each step of a funnel.
    pub fn aggregations(&self) -> impl Iterator<Item = (String, Aggregation)> {
        let sides = [("numerator", &self.numerator), ("denominator", &self.denominator)].into_iter();
        let sides = sides.filter_map(|(field, side)| Some((field.to_owned(), side.clone()?)));
        let percentile = self.percentile.iter().map(|percentile| ("percentile".to_owned(), percentile.aggregation()));
        let steps = self.funnel.iter().flat_map(Funnel::aggregations).enumerate();
        sides.chain(percentile).chain(steps.map(|(i, step)| (format!("funnel.steps[{i}]"), step)))
    }

    /// The same metric of other facts.
    pub fn with_facts(mut self, fact: impl Fn(FactId) -> FactId) -> Self {
        let sides = self.numerator.iter_mut().chain(&mut self.denominator).map(|side| &mut side.fact_id);
        let percentile = self.percentile.iter_mut().map(|percentile| &mut percentile.fact_id);
        let steps = self.funnel.iter_mut().flat_map(|funnel| &mut funnel.steps).map(|step| &mut step.fact_id);
        sides.chain(percentile).chain(steps).for_each(|id| *id = fact(*id));
        self
    }

    /// The fact that says which change is desired, unless the metric does: the numerator's, or that of the last step.
    pub fn leading_fact(&self) -> Option<FactId> {
        let mut facts = self.aggregations().map(|(_, aggregation)| aggregation.fact_id);
        if self.kind == MetricKind::Funnel { facts.last() } else { facts.next() }
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
        for aggregation in metric.numerator.iter_mut().chain(&mut metric.denominator) {
            aggregation.timeframe = self.timeframe.or(aggregation.timeframe);
            if let Some(winsorization) = self.winsorization.as_ref().filter(|_| aggregation.operation.is_amount()) {
                aggregation.winsorization = Some(winsorization.clone());
            }
        }
        let percentile = metric.percentile.as_mut().map(|percentile| &mut percentile.timeframe);
        let funnel = metric.funnel.as_mut().map(|funnel| &mut funnel.timeframe);
        for timeframe in percentile.into_iter().chain(funnel) {
            *timeframe = self.timeframe.or(*timeframe);
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
        format!(
            "{} was given; it is a relative lift between -100 and 100: like -0.02, or 0.02 where a decrease is desired",
            given.unwrap_or_default()
        )
    });
}

fn check_effect(errors: &mut FieldErrors, given: Option<f64>) {
    errors.check(given.is_none_or(|effect| effect > 0.0 && effect <= 100.0), "minimum_detectable_effect", || {
        format!("{} was given; it is a relative lift: above 0, at most 100, like 0.02", given.unwrap_or_default())
    });
}
