//! A new experiment as Eppo's clients write it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::numbers::{Number, Numbers};
use crate::domain::error::{FieldErrors, Refusal};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentForm {
    name: String,
    experiment_key: String,
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
    variations: Vec<VariationForm>,
    #[serde(default)]
    metrics: Vec<AttachedForm>,
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
    /// The same as a body of our own API.
    pub fn read(self, numbers: &Numbers) -> Result<Map<String, Value>, Refusal> {
        let mut errors = FieldErrors::default();
        let entity = self.entity_id.map(|Number(number)| {
            let id = numbers.entities.id(number);
            errors
                .check(id.is_some(), "entity_id", || format!("there is no entity {number}; see definitions/entities"));
            id
        });
        let source = self.assignment_source_id.map(|Number(number)| {
            let id = numbers.sources.id(number);
            errors.check(id.is_some(), "assignment_source_id", || {
                format!("there is no assignment source {number}; see definitions/assignments")
            });
            id
        });
        let weights = self.weights(&mut errors);
        let variations = self.variations.iter().zip(weights);
        let variations = variations.map(|(variation, weight)| {
            let name = variation.name.clone().unwrap_or_default();
            json!({"key": variation.variant_key, "name": name, "weight": weight, "is_control": variation.is_control,
                   "is_active": variation.is_active})
        });
        let variations: Vec<_> = variations.collect();
        let metrics: Vec<_> = self
            .metrics
            .iter()
            .enumerate()
            .map(|(i, attached)| {
                let Number(number) = attached.metric_id;
                let id = numbers.metrics.id(number);
                errors.check(id.is_some(), &format!("metrics[{i}].metric_id"), || {
                    format!("there is no metric {number}; see metrics")
                });
                json!({"metric_id": id, "is_primary": attached.is_primary})
            })
            .collect();
        errors.finish()?;
        let body = json!({
            "key": self.experiment_key, "name": self.name, "hypothesis": self.hypothesis.unwrap_or_default(),
            "tags": self.tags.unwrap_or_default(), "entity_id": entity.flatten(), "assignment_source_id": source.flatten(),
            "traffic_allocation": self.traffic_allocation.unwrap_or(1.0),
            "assignments_start_date": self.assignments_start_date, "assignments_end_date": self.assignments_end_date,
            "variations": variations, "metrics": metrics,
        });
        Ok(if let Value::Object(fields) = body { fields } else { Map::new() })
    }

    /// All alike where none is given.
    fn weights(&self, errors: &mut FieldErrors) -> Vec<f64> {
        let given = self.variations.iter().filter(|variation| variation.weighted_expected_traffic.is_some()).count();
        let is_whole = given == 0 || given == self.variations.len();
        errors.check(is_whole, "variations", || {
            format!(
                "weighted_expected_traffic stands on {given} of {} of them; give it for all, or for none to have all alike",
                self.variations.len()
            )
        });
        self.variations.iter().map(|variation| variation.weighted_expected_traffic.unwrap_or(1.0)).collect()
    }
}
