//! What the files of a metric sync say, in both versions of their published schema. Every field is read here: what cannot be
//! computed is refused by its name, and what nothing hangs on is kept.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::aggregation_form::AggregationForm;
use super::kind_forms::PercentileForm;
use super::numbers::Number;
use crate::domain::definition::{DesiredChange, Fact, PropertyColumn};
use crate::domain::error::{FieldErrors, Refusal};
use crate::domain::input;
use crate::domain::metric::{Display, MetricKind};

/// The whole of what is sent. Its items are read one by one, so that what is wrong is told by their names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    pub sync_tag: Option<String>,
    pub reference_url: Option<String>,
    #[serde(default)]
    pub fact_sources: Vec<Map<String, Value>>,
    #[serde(default)]
    pub metrics: Vec<Map<String, Value>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    pub name: String,
    pub sql: String,
    pub timestamp_column: String,
    pub entities: Vec<EntityFile>,
    pub facts: Vec<FactFile>,
    #[serde(default)]
    pub properties: Vec<PropertyFile>,
    pub reference_url: Option<String>,
    team_id: Option<Value>,
    /// A run reads every source from the start, so that it makes no difference.
    #[serde(rename = "always_full_refresh")]
    _always_full_refresh: Option<bool>,
    partition_date: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityFile {
    pub entity_name: String,
    pub column: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactFile {
    pub name: String,
    column: Option<String>,
    description: Option<String>,
    desired_change: Option<DesiredChange>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropertyFile {
    pub name: String,
    column: String,
    description: Option<String>,
    include_experiment_computation: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricFile {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    pub entity: String,
    #[serde(default)]
    pub is_guardrail: bool,
    pub guardrail_cutoff: Option<f64>,
    pub metric_display_style: Option<Display>,
    pub minimum_detectable_effect: Option<f64>,
    pub reference_url: Option<String>,
    pub numerator: Option<AggregationForm>,
    pub denominator: Option<AggregationForm>,
    pub percentile: Option<PercentileForm>,
    pub desired_change: Option<DesiredChange>,
    pub team_id: Option<Number>,
}

/// An item that has a name, under which what is wrong with it is told.
pub fn read_item<T: serde::de::DeserializeOwned>(
    list: &str,
    i: usize,
    item: &Map<String, Value>,
) -> Result<T, Refusal> {
    input::read(item.clone()).map_err(|refusal| refusal.below(&place(list, i, item)))
}

/// Where an item stands: by its name, for the files' author does not know in which order they were sent.
pub fn place(list: &str, i: usize, item: &Map<String, Value>) -> String {
    let name = item.get("name").and_then(Value::as_str).filter(|name| !name.trim().is_empty());
    name.map_or_else(|| format!("{list}[{i}]."), |name| format!("{list}[{name}]."))
}

impl SourceFile {
    /// Refuses what would change figures and cannot be computed.
    pub fn check(&self, errors: &mut FieldErrors, path: &str) {
        errors.check(self.partition_date.is_none(), &format!("{path}partition_date"), || {
            "a source is read whole here, by its timestamp_column alone; leave it out".to_owned()
        });
        errors.check(self.team_id.is_none(), &format!("{path}team_id"), || {
            "fact sources are of no team here; leave it out".to_owned()
        });
        for property in &self.properties {
            let field = format!("{path}properties[{}].include_experiment_computation", property.name);
            errors.check(property.include_experiment_computation != Some(true), &field, || {
                "true was given; results are broken down by properties of assignments here, not of facts: leave it out"
                    .to_owned()
            });
        }
    }
}

impl FactFile {
    /// The fact, without an id.
    pub fn fact(&self) -> Fact {
        Fact {
            id: None,
            number: None,
            name: self.name.clone(),
            column: self.column.clone(),
            desired_change: self.desired_change.unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
        }
    }
}

impl PropertyFile {
    pub fn property(&self) -> PropertyColumn {
        PropertyColumn {
            number: None,
            name: self.name.clone(),
            column: self.column.clone(),
            description: self.description.clone().unwrap_or_default(),
        }
    }
}

impl MetricFile {
    /// What it is made as, which must be what it says.
    pub fn kind(&self, errors: &mut FieldErrors, path: &str) -> MetricKind {
        let kind = match (&self.percentile, &self.denominator) {
            (Some(_), _) => MetricKind::Percentile,
            (None, Some(_)) => MetricKind::Ratio,
            (None, None) => MetricKind::Simple,
        };
        let said = self.kind.as_deref();
        let field = format!("{path}type");
        if said == Some(MetricKind::Funnel.as_str()) {
            errors.add(
                field,
                "'funnel' was given, but these files have no word for its steps; make it by the API, or leave it out",
            );
        } else {
            errors.check(said.is_none_or(|said| said == kind.as_str()), &field, || {
                format!(
                    "'{}' was given, but what stands beside it makes it '{}'; give what the type needs, and nothing else",
                    said.unwrap_or_default(),
                    kind.as_str()
                )
            });
        }
        errors.check(self.percentile.is_none() || self.numerator.is_none(), &format!("{path}numerator"), || {
            "it was given beside percentile; give one of them".to_owned()
        });
        kind
    }
}
