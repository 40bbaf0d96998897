//! An experiment as Eppo's clients write it, a new one or an edit.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::numbers::{Number, Numbers};
use crate::domain::error::{FieldErrors, Refusal};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentForm {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    experiment_key: Option<String>,
    #[serde(default)]
    entity_id: Option<Number>,
    #[serde(default)]
    assignment_source_id: Option<Number>,
    #[serde(default)]
    hypothesis: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    traffic_allocation: Option<f64>,
    #[serde(default)]
    assignments_start_date: Option<String>,
    #[serde(default)]
    assignments_end_date: Option<String>,
    #[serde(default)]
    variations: Option<Vec<VariationForm>>,
    #[serde(default)]
    metrics: Option<Vec<AttachedForm>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct VariationForm {
    #[serde(default)]
    name: Option<String>,
    variant_key: String,
    #[serde(default)]
    is_control: bool,
    #[serde(default = "yes")]
    is_active: bool,
    #[serde(default)]
    weighted_expected_traffic: Option<f64>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttachedForm {
    metric_id: Number,
    #[serde(default)]
    is_primary: bool,
}

impl ExperimentForm {
    /// The same as a body of our own API, by which an experiment is made.
    pub fn read_new(self, numbers: &Numbers) -> Result<Map<String, Value>, Refusal> {
        let mut errors = FieldErrors::default();
        for (field, is_given) in [("name", self.name.is_some()), ("experiment_key", self.experiment_key.is_some())] {
            errors.check(is_given, field, || "it is missing; give it".to_owned());
        }
        let metrics = self.read_metrics(numbers, &mut errors);
        let mut fields = self.read_configuration(numbers, &mut errors);
        errors.finish()?;
        fields.insert("metrics".to_owned(), metrics);
        Ok(fields)
    }

    /// The fields of an experiment to edit: those that are given.
    pub fn read_edit(self, numbers: &Numbers) -> Result<Map<String, Value>, Refusal> {
        let mut errors = FieldErrors::default();
        errors.check(self.metrics.is_none(), "metrics", || {
            "it was given; attach and detach by /api/v1/experiments/{id}/metrics, and leave it out here".to_owned()
        });
        let fields = self.read_configuration(numbers, &mut errors);
        errors.finish()?;
        Ok(fields)
    }

    fn read_configuration(self, numbers: &Numbers, errors: &mut FieldErrors) -> Map<String, Value> {
        let entity = self.entity_id.map(|Number(number)| {
            let id = numbers.entities.id(number);
            errors
                .check(id.is_some(), "entity_id", || format!("there is no entity {number}; see definitions/entities"));
            json!(id)
        });
        let source = self.assignment_source_id.map(|Number(number)| {
            let id = numbers.sources.id(number);
            errors.check(id.is_some(), "assignment_source_id", || {
                format!("there is no assignment source {number}; see definitions/assignments")
            });
            json!(id)
        });
        let variations = self.variations.as_deref().map(|variations| read_variations(variations, errors));
        let given = [
            ("key", self.experiment_key.map(Value::from)),
            ("name", self.name.map(Value::from)),
            ("hypothesis", self.hypothesis.map(Value::from)),
            ("tags", self.tags.map(Value::from)),
            ("entity_id", entity),
            ("assignment_source_id", source),
            ("traffic_allocation", self.traffic_allocation.map(Value::from)),
            ("assignments_start_date", self.assignments_start_date.map(Value::from)),
            ("assignments_end_date", self.assignments_end_date.map(Value::from)),
            ("variations", variations),
        ];
        given.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect()
    }

    fn read_metrics(&self, numbers: &Numbers, errors: &mut FieldErrors) -> Value {
        let metrics = self.metrics.as_deref().unwrap_or_default().iter().enumerate();
        let read = metrics.map(|(i, attached)| {
            let Number(number) = attached.metric_id;
            let id = numbers.metrics.id(number);
            errors.check(id.is_some(), &format!("metrics[{i}].metric_id"), || {
                format!("there is no metric {number}; see metrics")
            });
            json!({"metric_id": id, "is_primary": attached.is_primary})
        });
        read.collect()
    }
}

/// Weights are all alike where none is given.
fn read_variations(variations: &[VariationForm], errors: &mut FieldErrors) -> Value {
    let given = variations.iter().filter(|variation| variation.weighted_expected_traffic.is_some()).count();
    let is_whole = given == 0 || given == variations.len();
    errors.check(is_whole, "variations", || {
        format!(
            "weighted_expected_traffic stands on {given} of {} of them; give it for all, or for none to have all alike",
            variations.len()
        )
    });
    let read = variations.iter().map(|variation| {
        let (name, weight) = (variation.name.clone().unwrap_or_default(), variation.weighted_expected_traffic);
        json!({"key": variation.variant_key, "name": name, "weight": weight.unwrap_or(1.0), "is_control": variation.is_control,
               "is_active": variation.is_active})
    });
    read.collect()
}
