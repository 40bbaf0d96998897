//! What an assignment source has rows of: the keys of experiments, and the variations of each. From what was seen of one, an
//! experiment can be made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::clock::Timestamp;
use super::definition::AssignmentSource;
use super::error::Refusal;
use super::id::AssignmentSourceId;

/// Experiments that a scan holds, those seen last first.
pub const MOST_EXPERIMENTS: usize = 1000;
/// Variations of each, those with the most rows first.
pub const MOST_VARIATIONS: usize = super::configuration::MOST_VARIATIONS;
/// Names of variations that are a control, the surest first.
const CONTROLS: [&str; 5] = ["control", "off", "default", "baseline", "a"];
/// Keys that a refusal names.
const MOST_NAMED: usize = 10;

/// What a scan of a source has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// Of the source that was scanned.
    pub source_version: i64,
    pub experiments: Vec<SeenExperiment>,
    /// Rows whose key is missing or longer than any experiment's.
    pub rows_without_key: u64,
    /// Whether there are more experiments than it holds.
    pub is_cut: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenExperiment {
    pub experiment_key: String,
    pub rows: u64,
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    pub variations: Vec<SeenVariation>,
    /// How many there are, though not all may stand here.
    pub variation_count: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeenVariation {
    /// `None`: the rows name none, or one longer than any is.
    pub key: Option<String>,
    pub rows: u64,
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
}

/// What a new experiment is made from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromSource {
    pub assignment_source_id: AssignmentSourceId,
    pub experiment_key: String,
}

impl SeenExperiment {
    pub fn is_cut(&self) -> bool {
        u64::try_from(self.variations.len()).is_ok_and(|shown| shown < self.variation_count)
    }
}

impl Scan {
    /// The fields of an experiment as it was seen, under what is `given` beside it.
    pub fn configuration(
        &self,
        from: &FromSource,
        source: &AssignmentSource,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Refusal> {
        let key = &from.experiment_key;
        let seen = self.experiments.iter().find(|seen| seen.experiment_key == *key);
        let seen = seen.ok_or_else(|| self.refuse_unseen(key, source))?;
        if seen.is_cut() && !given.contains_key("variations") {
            let message = format!(
                "it is not given, and '{key}' has {} variations in its source, of which an experiment may have \
                 {MOST_VARIATIONS}; give those that it is about",
                seen.variation_count
            );
            return Err(Refusal::invalid("variations", message));
        }
        let mut fields = Map::new();
        let mut set = |field: &str, value: Value| drop(fields.insert(field.to_owned(), value));
        set("key", json!(key));
        set("name", json!(key));
        set("entity_id", json!(source.entity_id));
        set("assignment_source_id", json!(from.assignment_source_id));
        set("variations", seen.proposed_variations());
        set("assignments_start_date", json!(seen.first_at.map(|first| first.date().to_string())));
        fields.extend(given.clone());
        Ok(fields)
    }

    fn refuse_unseen(&self, key: &str, source: &AssignmentSource) -> Refusal {
        let seen: Vec<_> = self.experiments.iter().map(|seen| seen.experiment_key.as_str()).collect();
        let named = match seen.as_slice() {
            [] => "no experiments".to_owned(),
            few if few.len() <= MOST_NAMED => few.join(", "),
            many => format!("{} and {} more", many[..MOST_NAMED].join(", "), many.len() - MOST_NAMED),
        };
        let message = format!(
            "'{key}' was given, but the last scan of the assignment source '{}' saw {named}; give one of these, or scan \
             it again",
            source.name
        );
        Refusal::invalid("from_source.experiment_key", message)
    }
}

impl SeenExperiment {
    /// Of equal weights, by name, so that two scans of the same rows propose the same.
    fn proposed_variations(&self) -> Value {
        let mut keys: Vec<&str> = self.variations.iter().filter_map(|variation| variation.key.as_deref()).collect();
        keys.sort_unstable();
        let place = |name: &str| keys.iter().position(|key| key.eq_ignore_ascii_case(name));
        let control = CONTROLS.into_iter().find_map(place).unwrap_or(0);
        let variations = keys.iter().enumerate();
        variations.map(|(i, key)| json!({"key": key, "weight": 1, "is_control": i == control})).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(variations: &[Option<&str>], count: u64) -> Scan {
        let variation =
            |key: &Option<&str>| SeenVariation { key: key.map(str::to_owned), rows: 1, first_at: None, last_at: None };
        let experiment = SeenExperiment {
            experiment_key: "cta".into(),
            rows: 3,
            first_at: Some("2026-03-01T23:59:00Z".parse().unwrap()),
            last_at: None,
            variations: variations.iter().map(variation).collect(),
            variation_count: count,
        };
        Scan { source_version: 1, experiments: vec![experiment], rows_without_key: 0, is_cut: false }
    }

    fn proposed(scan: &Scan, key: &str, given: Value) -> Result<Map<String, Value>, Refusal> {
        let id = |prefix: &str| format!("{prefix}_{}", "0".repeat(26));
        let source = json!({"name": "s", "warehouse_id": id("wh"), "entity_id": id("ent"), "sql": "SELECT 1",
                            "columns": {"subject": "s", "timestamp": "t", "experiment_key": "e", "variation": "v"}});
        let from = json!({"assignment_source_id": id("as"), "experiment_key": key});
        let given = given.as_object().unwrap();
        scan.configuration(&serde_json::from_value(from).unwrap(), &serde_json::from_value(source).unwrap(), given)
    }

    #[test]
    fn variations_are_of_equal_weight_and_the_control_is_known_by_its_name() {
        for (keys, control) in [
            (vec![Some("red"), Some("Control"), Some("a")], "Control"),
            (vec![Some("on"), Some("off")], "off"),
            (vec![Some("b"), None, Some("a")], "a"),
            (vec![Some("red"), Some("blue")], "blue"),
        ] {
            let made = proposed(&seen(&keys, 2), "cta", json!({})).unwrap();
            let variations = made["variations"].as_array().unwrap();
            assert_eq!(variations.len(), keys.iter().flatten().count());
            assert!(variations.iter().all(|variation| variation["weight"] == 1));
            let controls: Vec<_> = variations.iter().filter(|variation| variation["is_control"] == true).collect();
            assert_eq!(controls.len(), 1);
            assert_eq!(controls[0]["key"], control, "{keys:?}");
        }
        let made = proposed(&seen(&[], 0), "cta", json!({})).unwrap();
        assert_eq!((&made["variations"], &made["assignments_start_date"]), (&json!([]), &json!("2026-03-01")));
    }

    #[test]
    fn what_is_given_beside_it_wins_and_what_was_not_seen_is_refused() {
        let scan = seen(&[Some("a")], 1);
        let made = proposed(&scan, "cta", json!({"name": "CTA", "variations": []})).unwrap();
        assert_eq!((&made["name"], &made["variations"], &made["key"]), (&json!("CTA"), &json!([]), &json!("cta")));
        let unseen = proposed(&scan, "other", json!({})).unwrap_err().to_string();
        assert!(unseen.contains("from_source.experiment_key") && unseen.contains("saw cta"), "{unseen}");
        let many = seen(&[Some("a")], 51);
        assert!(proposed(&many, "cta", json!({})).unwrap_err().to_string().contains("51 variations"));
        assert!(proposed(&many, "cta", json!({"variations": []})).is_ok());
    }
}
