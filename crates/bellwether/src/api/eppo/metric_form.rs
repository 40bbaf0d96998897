//! A metric as Eppo's clients write and read it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::aggregation_form::{AggregationForm, FilterForm, Named};
use super::facts::Facts;
use super::kind_forms::{FunnelForm, PercentileForm};
use super::numbers::{Number, Numbered};
use crate::domain::aggregation::{Aggregation, Winsorization};
use crate::domain::clock::Timestamp;
use crate::domain::definition::DesiredChange;
use crate::domain::error::{FieldErrors, Refusal};
use crate::domain::id::{EntityId, FactId, TeamId};
use crate::domain::input;
use crate::domain::metric::{Display, Metric, MetricKind};
use crate::store::definitions::Definition;

/// What a metric refers to.
pub struct Terms {
    pub entities: Numbered<EntityId>,
    pub teams: Numbered<TeamId>,
    pub facts: Facts,
}

/// What is not given stays as it is; of what defines the metric, all is given, or nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricForm {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    metric_display_style: Option<Display>,
    #[serde(default)]
    minimum_detectable_effect: Option<f64>,
    #[serde(default)]
    is_guardrail: Option<bool>,
    #[serde(default)]
    guardrail_cutoff: Option<f64>,
    #[serde(default)]
    entity_id: Option<Number>,
    #[serde(default)]
    desired_change: Option<DesiredChange>,
    #[serde(default)]
    team_id: Option<Number>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    numerator: Option<AggregationForm>,
    #[serde(default)]
    denominator: Option<AggregationForm>,
    #[serde(default)]
    percentile: Option<PercentileForm>,
    #[serde(default)]
    funnel_aggregation: Option<FunnelForm>,
}

#[derive(Debug, Serialize)]
pub struct MetricView {
    id: i64,
    name: String,
    description: String,
    #[serde(rename = "type")]
    kind: MetricKind,
    metric_display_style: Display,
    minimum_detectable_effect: Option<f64>,
    is_guardrail: bool,
    guardrail_cutoff: Option<f64>,
    entity_id: Option<i64>,
    desired_change: Option<DesiredChange>,
    team_id: Option<i64>,
    numerator: Option<AggregationForm>,
    denominator: Option<AggregationForm>,
    percentile: Option<PercentileForm>,
    funnel_aggregation: Option<FunnelForm>,
    /// Whether a metric sync keeps it, and from where.
    is_certified: bool,
    reference_url: Option<String>,
    created_date: Timestamp,
    updated_date: Timestamp,
}

/// Facts and properties are named by their numbers.
impl Named for Facts {
    fn fact(&self, form: &AggregationForm, errors: &mut FieldErrors, field: &str) -> Option<FactId> {
        let path = format!("{field}.metric_event_measure_id");
        let Some(Number(number)) = form.metric_event_measure_id else {
            errors.add(path, "it is missing; give the number of a fact, as the fact sources of Bellwether show it");
            return None;
        };
        let found = self.id(number);
        errors.check(found.is_some(), &path, || {
            format!("there is no fact {number}; the numbers of facts stand in /api/v1/fact_sources")
        });
        found
    }

    fn property(&self, fact: FactId, form: &FilterForm, errors: &mut FieldErrors, field: &str) -> Option<String> {
        let path = format!("{field}.metric_event_dimension_id");
        let Some(Number(number)) = form.metric_event_dimension_id else {
            errors.add(path, "it is missing; give the number of a property of the fact's source");
            return None;
        };
        let found = Facts::property(self, fact, number);
        errors.check(found.is_some(), &path, || {
            format!(
                "the fact's source has no property {number}; the numbers of properties stand in /api/v1/fact_sources"
            )
        });
        found.map(str::to_owned)
    }
}

/// What is shown of a metric and is nobody's to give: clients write back what they have read.
const SHOWN_ALONE: [&str; 5] = ["id", "is_certified", "reference_url", "created_date", "updated_date"];

impl MetricForm {
    pub fn of(mut fields: Map<String, Value>) -> Result<Self, Refusal> {
        SHOWN_ALONE.iter().for_each(|name| drop(fields.shift_remove(*name)));
        input::read(fields)
    }

    /// The whole metric: what the form says, over what there is.
    pub fn read(self, terms: &Terms, before: Option<&Metric>) -> Result<Metric, Refusal> {
        let mut errors = FieldErrors::default();
        let mut metric = match before {
            Some(before) => before.clone(),
            None => self.bare(terms, &mut errors),
        };
        metric.name = self.name.clone().unwrap_or(metric.name);
        metric.description = self.description.clone().unwrap_or(metric.description);
        metric.display = self.metric_display_style.unwrap_or(metric.display);
        metric.minimum_detectable_effect = self.minimum_detectable_effect.or(metric.minimum_detectable_effect);
        metric.is_guardrail = self.is_guardrail.unwrap_or(metric.is_guardrail);
        metric.guardrail_cutoff = self.guardrail_cutoff.or(metric.guardrail_cutoff);
        metric.desired_change = self.desired_change.or(metric.desired_change);
        if let Some(Number(number)) = self.entity_id {
            match terms.entities.id(number) {
                Some(id) => metric.entity_id = id,
                None => errors.add("entity_id", format!("there is no entity {number}; see definitions/entities")),
            }
        }
        if let Some(Number(number)) = self.team_id {
            metric.team_id = terms.teams.id(number);
            errors.check(metric.team_id.is_some(), "team_id", || format!("there is no team {number}"));
        }
        self.define(&mut metric, terms, before.is_none(), &mut errors);
        errors.finish()?;
        Ok(metric)
    }

    /// One of which nothing is known yet but what must be given.
    fn bare(&self, terms: &Terms, errors: &mut FieldErrors) -> Metric {
        errors.check(self.name.is_some(), "name", || "it is missing; give it".to_owned());
        errors.check(self.entity_id.is_some(), "entity_id", || {
            "it is missing; give the number of an entity, see definitions/entities".to_owned()
        });
        let entity_id = self.entity_id.and_then(|Number(number)| terms.entities.id(number));
        Metric {
            name: String::new(),
            description: String::new(),
            team_id: None,
            entity_id: entity_id.unwrap_or(EntityId::of(0)),
            kind: MetricKind::Simple,
            numerator: None,
            denominator: None,
            percentile: None,
            funnel: None,
            desired_change: None,
            display: Display::default(),
            minimum_detectable_effect: None,
            is_guardrail: false,
            guardrail_cutoff: None,
            managed_by: None,
        }
    }

    /// Puts in what the metric is made of.
    fn define(&self, metric: &mut Metric, terms: &Terms, is_new: bool, errors: &mut FieldErrors) {
        let families = [self.numerator.is_some(), self.percentile.is_some(), self.funnel_aggregation.is_some()];
        let given = families.into_iter().filter(|is_given| *is_given).count();
        errors.check(self.denominator.is_none() || self.numerator.is_some(), "denominator", || {
            "it was given without a numerator; give both, or leave both out".to_owned()
        });
        if given != 1 {
            errors.check(given == 0 && !is_new, "numerator", || {
                format!("{given} of numerator, percentile and funnel_aggregation were given; give one of them")
            });
            self.check_kind(metric.kind, errors);
            return;
        }
        let kind = match (&self.denominator, &self.percentile, &self.funnel_aggregation) {
            (Some(_), ..) => MetricKind::Ratio,
            (_, Some(_), _) => MetricKind::Percentile,
            (_, _, Some(_)) => MetricKind::Funnel,
            _ => MetricKind::Simple,
        };
        self.check_kind(kind, errors);
        let before = std::mem::replace(metric, Metric { kind, ..metric.clone() });
        let percentile_time = before.percentile.as_ref().and_then(|percentile| percentile.timeframe);
        let funnel_time = before.funnel.as_ref().and_then(|funnel| funnel.timeframe);
        let facts = &terms.facts;
        metric.numerator = side(self.numerator.as_ref(), before.numerator.as_ref(), facts, errors, "numerator");
        metric.denominator = side(self.denominator.as_ref(), before.denominator.as_ref(), facts, errors, "denominator");
        metric.percentile =
            self.percentile.as_ref().and_then(|form| form.read(facts, percentile_time, errors, "percentile"));
        let funnel = self.funnel_aggregation.as_ref();
        metric.funnel = funnel.and_then(|form| form.read(facts, funnel_time, errors, "funnel_aggregation"));
    }

    /// Whether the kind that is said is the one that it is.
    fn check_kind(&self, kind: MetricKind, errors: &mut FieldErrors) {
        let said = self.kind.as_deref().map(str::to_ascii_lowercase);
        let is_it = said
            .as_deref()
            .is_none_or(|said| said == kind.as_str() || said == "standard" && kind == MetricKind::Simple);
        errors.check(is_it, "type", || {
            let said = said.unwrap_or_default();
            format!(
                "'{said}' was given, but it is made as '{}': leave the type out, or give what it is made of",
                kind.as_str()
            )
        });
    }
}

/// One side of a metric. What only newer clients say of it, its time and its bounds, stays if nothing is said of it.
fn side(
    form: Option<&AggregationForm>,
    before: Option<&Aggregation>,
    facts: &Facts,
    errors: &mut FieldErrors,
    field: &str,
) -> Option<Aggregation> {
    let form = form?;
    let mut aggregation = form.read(facts, errors, field)?;
    if let Some(before) = before.filter(|before| before.operation == aggregation.operation) {
        aggregation.timeframe = aggregation.timeframe.or(before.timeframe);
        let subjects = before.winsorization.as_ref().map(|bounds| bounds.subjects).unwrap_or_default();
        let given = aggregation.winsorization.map(|bounds| Winsorization { subjects, ..bounds });
        aggregation.winsorization = given.or_else(|| before.winsorization.clone());
    }
    Some(aggregation)
}

impl MetricView {
    pub fn of(definition: &Definition<Metric>, terms: &Terms) -> Self {
        let (metric, facts) = (&definition.body, &terms.facts);
        let side = |aggregation: &Aggregation| {
            let property = |name: &str| facts.property_number(aggregation.fact_id, name);
            AggregationForm::of(aggregation, facts.number(aggregation.fact_id), property)
        };
        Self {
            id: definition.number,
            name: metric.name.clone(),
            description: metric.description.clone(),
            kind: metric.kind,
            metric_display_style: metric.display,
            minimum_detectable_effect: metric.minimum_detectable_effect,
            is_guardrail: metric.is_guardrail,
            guardrail_cutoff: metric.guardrail_cutoff,
            entity_id: terms.entities.number(metric.entity_id),
            desired_change: metric.desired_change,
            team_id: metric.team_id.and_then(|id| terms.teams.number(id)),
            numerator: metric.numerator.as_ref().map(side),
            denominator: metric.denominator.as_ref().map(side),
            percentile: metric.percentile.as_ref().map(|percentile| PercentileForm::of(percentile, facts)),
            funnel_aggregation: metric.funnel.as_ref().map(|funnel| FunnelForm::of(funnel, facts)),
            is_certified: metric.managed_by.is_some(),
            reference_url: metric.managed_by.as_ref().and_then(|managed| managed.reference_url.clone()),
            created_date: definition.created_at,
            updated_date: definition.updated_at,
        }
    }
}
