//! The figures of runs against those of numpy, pandas, scipy and statsmodels, on seeded tables and on published trials.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::installation::Installation;

/// What a script of `oracle/` prints.
fn ask<T: DeserializeOwned>(script: &str, folder: &Path) -> T {
    // Asked for at run time: what was built in another checkout of the same cache names that one's folder.
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let oracles = std::env::var_os("BELLWETHER_ORACLES").map(PathBuf::from);
    let python = oracles.unwrap_or_else(|| cache.join("bellwether/oracles")).join("python/bin/python");
    assert!(python.exists(), "{} is missing; run `cargo xtask setup`", python.display());
    std::fs::create_dir_all(folder).unwrap();
    let script = package.join("tests/pipeline/oracle").join(script);
    let answer = Command::new(python).arg(script).arg(folder).arg(package.join("data")).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    serde_json::from_slice(&answer.stdout).unwrap()
}

fn near(found: &Value, expected: f64, place: &str) {
    assert!(distance(found, expected, place) <= 1e-9, "{place}: {found}, {expected} was expected");
}

/// How far off a number is, relative to what was expected.
fn distance(found: &Value, expected: f64, place: &str) -> f64 {
    let number = found.as_f64().unwrap_or_else(|| panic!("{place}: {found} is no number"));
    (number - expected).abs() / expected.abs().max(1e-3)
}

/// Compares all that is expected of variations, and gives the largest distance.
fn compare(found: &Value, expected: &Value, place: &str) -> f64 {
    let mut largest = 0.0_f64;
    for (expected, found) in expected.as_array().unwrap().iter().zip(found.as_array().unwrap()) {
        let place = format!("{place} of {}", expected["key"]);
        for (field, expected) in expected.as_object().unwrap() {
            let place = format!("{place}: {field}");
            match expected.as_f64() {
                Some(number) => {
                    near(&found[field], number, &place);
                    largest = largest.max(distance(&found[field], number, &place));
                }
                None => assert_eq!(&found[field], expected, "{place}"),
            }
        }
    }
    largest
}

struct Definitions {
    entity: Value,
    warehouse: Value,
}

impl Definitions {
    async fn of(here: &Installation) -> Self {
        let entity = created(here, "entities", json!({"name": "Person"})).await["id"].clone();
        let warehouse = json!({"name": "Tables", "kind": "files", "path": here.files()});
        Self { entity, warehouse: created(here, "warehouses", warehouse).await["id"].clone() }
    }

    async fn experiment(&self, here: &Installation, table: &str, subject: &str, fields: Value) -> i64 {
        self.experiment_of(here, table, subject, &[], fields).await
    }

    /// The same of subjects with these properties.
    async fn experiment_of(
        &self,
        here: &Installation,
        table: &str,
        subject: &str,
        properties: &[&str],
        fields: Value,
    ) -> i64 {
        let source = json!({
            "name": table, "warehouse_id": self.warehouse, "entity_id": self.entity, "sql": format!("SELECT * FROM {table}"),
            "columns": {"subject": subject, "timestamp": "at", "experiment_key": "experiment", "variation": "variation", "properties": properties},
        });
        let source = created(here, "assignment_sources", source).await;
        let mut experiment = json!({"name": table, "entity_id": self.entity, "assignment_source_id": source["id"]});
        experiment.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let id = created(here, "experiments", experiment).await["id"].as_i64().unwrap();
        here.api.post(&format!("/experiments/{id}/start"), &json!({})).await.unwrap();
        id
    }

    /// A fact source with a fact for each of its columns, and one for its rows.
    async fn facts(
        &self,
        here: &Installation,
        table: &str,
        subject: &str,
        columns: &[&str],
        properties: &[&str],
    ) -> Value {
        let mut facts = vec![json!({"name": "rows"})];
        facts.extend(columns.iter().map(|column| json!({"name": column, "column": column})));
        let properties: Vec<_> = properties.iter().map(|column| json!({"name": column, "column": column})).collect();
        let source = json!({
            "name": table, "warehouse_id": self.warehouse, "sql": format!("SELECT * FROM {table}"), "timestamp_column": "at",
            "entities": [{"entity_id": self.entity, "column": subject}], "facts": facts, "properties": properties,
        });
        created(here, "fact_sources", source).await
    }

    async fn attach(&self, here: &Installation, experiment: i64, mut metric: Map<String, Value>) {
        metric.insert("entity_id".into(), self.entity.clone());
        let metric = created(here, "metrics", Value::Object(metric)).await;
        let path = format!("/experiments/{experiment}/metrics");
        here.api.post(&path, &json!({"metric_id": metric["id"]})).await.unwrap();
    }
}

async fn created(here: &Installation, what: &str, body: Value) -> Value {
    here.api.post(&format!("/{what}"), &body).await.unwrap_or_else(|refused| panic!("{body}: {refused:?}"))
}

/// An aggregation as the script names it, as the API wants it.
fn aggregation(side: &Value, sources: &[(&str, Value)]) -> Value {
    let mut side = side.as_object().unwrap().clone();
    let (source, column) = (side.remove("source").unwrap(), side.remove("column").unwrap());
    let facts = &sources.iter().find(|(name, _)| source == *name).unwrap().1["facts"];
    let name = column.as_str().unwrap_or("rows");
    let fact = facts.as_array().unwrap().iter().find(|fact| fact["name"] == name).unwrap();
    side.insert("fact_id".into(), fact["id"].clone());
    Value::Object(side)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_and_option_gives_what_pandas_gives() {
    let mut here = Installation::start().await;
    let metrics = ask::<Vec<Map<String, Value>>>("operations.py", &here.files());
    let definitions = Definitions::of(&here).await;
    let variations = json!([{"key": "control", "weight": 1, "is_control": true}, {"key": "blue", "weight": 1}, {"key": "green", "weight": 1}]);
    let dates = json!({
        "key": "study", "variations": variations, "assignments_start_date": "2026-03-01",
        "assignments_end_date": "2026-03-31", "events_end_date": "2026-04-10T00:00:00Z",
    });
    let experiment = definitions.experiment(&here, "assignments", "user", dates).await;
    let sources = [
        ("orders", definitions.facts(&here, "orders", "user", &["amount"], &["country"]).await),
        ("visits", definitions.facts(&here, "visits", "user", &["page"], &[]).await),
    ];
    for metric in &metrics {
        let mut metric = metric.clone();
        metric.remove("variations");
        for side in ["numerator", "denominator"] {
            if let Some(given) = metric.get(side) {
                let given = aggregation(given, &sources);
                metric.insert(side.into(), given);
            }
        }
        definitions.attach(&here, experiment, metric).await;
    }
    let ended = here.run(experiment).await;
    assert_eq!(ended.run["state"], "success", "{}", ended.run);
    let results = here.results(experiment).await;
    for (expected, found) in metrics.iter().zip(results["metrics"].as_array().unwrap()) {
        let name = &expected["name"];
        assert_eq!((&found["name"], &found["error"]), (name, &Value::Null));
        compare(&found["variations"], &expected["variations"], &name.to_string());
    }
    let joins = ended.run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["sql"].as_str().unwrap().contains(" JOIN (SELECT"));
    assert_eq!(joins.count(), 2, "one for each source, however many metrics");
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_and_funnels_give_what_numpy_gives() {
    let mut here = Installation::start().await;
    let metrics: Vec<Map<String, Value>> = ask("kinds.py", &here.files());
    let definitions = Definitions::of(&here).await;
    let variations = json!([{"key": "control", "weight": 1, "is_control": true}, {"key": "blue", "weight": 1}, {"key": "green", "weight": 1}]);
    let dates = json!({
        "key": "study", "variations": variations, "assignments_start_date": "2026-03-01",
        "assignments_end_date": "2026-03-31", "events_end_date": "2026-04-10T00:00:00Z",
    });
    let experiment = definitions.experiment(&here, "assignments", "user", dates).await;
    let sources = [
        ("loads", definitions.facts(&here, "loads", "user", &["ms", "price", "text"], &["device"]).await),
        ("visits", definitions.facts(&here, "visits", "user", &[], &["page"]).await),
        ("buys", definitions.facts(&here, "buys", "user", &["amount", "stars"], &[]).await),
        ("calls", definitions.facts(&here, "calls", "user", &[], &["topic"]).await),
    ];
    for metric in &metrics {
        let (mut metric, kind) = (metric.clone(), metric["kind"].as_str().unwrap().to_owned());
        metric.retain(|field, _| field == "name" || field == "kind" || *field == kind);
        let given = metric.get_mut(&kind).unwrap();
        match given.get_mut("steps") {
            Some(steps) => {
                steps.as_array_mut().unwrap().iter_mut().for_each(|step| *step = aggregation(step, &sources))
            }
            None => *given = aggregation(given, &sources),
        }
        definitions.attach(&here, experiment, metric).await;
    }
    let ended = here.run(experiment).await;
    assert_eq!(ended.run["state"], "success", "{}", ended.run);
    let results = here.results(experiment).await;
    let (mut percentiles, mut funnels) = (0.0_f64, 0.0_f64);
    for (expected, found) in metrics.iter().zip(results["metrics"].as_array().unwrap()) {
        let name = expected["name"].to_string();
        assert_eq!((&found["name"], &found["error"]), (&expected["name"], &Value::Null));
        let distance = compare(&found["variations"], &expected["variations"], &name);
        let Some(steps) = expected.get("steps_expected") else {
            percentiles = percentiles.max(distance);
            continue;
        };
        let found_steps = found["funnel_steps"].as_array().unwrap();
        assert_eq!(found_steps.len(), steps.as_array().unwrap().len(), "{name}");
        for (place, (expected, found)) in steps.as_array().unwrap().iter().zip(found_steps).enumerate() {
            funnels = funnels.max(compare(&found["variations"], expected, &format!("{name}, step {place}")));
        }
    }
    println!("{} metrics; largest distance of percentiles {percentiles:.1e}, of funnels {funnels:.1e}", metrics.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn published_trials_give_what_statsmodels_gives() {
    let mut here = Installation::start().await;
    let trials = ask::<Vec<Map<String, Value>>>("trials.py", &here.files());
    let definitions = Definitions::of(&here).await;
    for trial in &trials {
        let name = trial["name"].as_str().unwrap();
        let variations =
            json!([{"key": "control", "weight": 1, "is_control": true}, {"key": "treatment", "weight": 1}]);
        let fields = json!({"key": name, "variations": variations, "assignments_start_date": "2024-01-01"});
        let experiment = definitions.experiment(&here, &format!("{name}_assignments"), "subject", fields).await;
        let source = definitions.facts(&here, &format!("{name}_facts"), "subject", &["amount"], &[]).await;
        let numerator = json!({"fact_id": source["facts"][1]["id"], "operation": "sum"});
        let metric = json!({"name": name, "kind": "simple", "numerator": numerator});
        definitions.attach(&here, experiment, metric.as_object().unwrap().clone()).await;
        let ended = here.run(experiment).await;
        assert_eq!(ended.run["state"], "success", "{}", ended.run);
        let results = here.results(experiment).await;
        let [control, treatment] = &results["metrics"][0]["variations"].as_array().unwrap()[..] else { panic!("two") };
        assert_eq!(json!([control["subjects"], treatment["subjects"]]), trial["subjects"], "{name}");
        for field in ["mean", "difference", "lift", "standard_error"] {
            near(&treatment[field], trial[field].as_f64().unwrap(), &format!("{name}: {field}"));
        }
        for (field, end) in
            [("mean_interval", 0), ("mean_interval", 1), ("difference_interval", 0), ("difference_interval", 1)]
        {
            near(&treatment[field][end], trial[field][end].as_f64().unwrap(), &format!("{name}: {field}"));
        }
        near(&results["traffic"]["p_value"], trial["imbalance_p_value"].as_f64().unwrap(), name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entry_points_adjustments_and_breakdowns_give_what_numpy_gives() {
    let mut here = Installation::start().await;
    let asked = ask::<Value>("adjustments.py", &here.files());
    let definitions = Definitions::of(&here).await;
    let sources = [
        ("orders", definitions.facts(&here, "orders", "user", &["amount"], &[]).await),
        ("visits", definitions.facts(&here, "visits", "user", &[], &[]).await),
    ];
    let variations = json!([{"key": "control", "weight": 1, "is_control": true}, {"key": "blue", "weight": 1}, {"key": "green", "weight": 1}]);
    let fields = json!({
        "key": "study", "variations": variations, "assignments_start_date": "2026-03-01",
        "assignments_end_date": "2026-04-05", "events_end_date": "2026-05-01T00:00:00Z",
        "analysis_plan": {"cuped": true}, "entry_point": {"fact_source_id": sources[1].1["id"]},
    });
    let experiment =
        definitions.experiment_of(&here, "assignments", "user", &["country", "device", "city"], fields).await;
    for metric in asked["metrics"].as_array().unwrap() {
        let mut given = json!({"name": metric["name"], "kind": metric["kind"]});
        for (field, side) in ["numerator", "denominator"].iter().zip(metric["sides"].as_array().unwrap()) {
            given[field] = aggregation(side, &sources);
        }
        definitions.attach(&here, experiment, given.as_object().unwrap().clone()).await;
    }
    let ended = here.run(experiment).await;
    assert_eq!(ended.run["state"], "success", "{}", ended.run);
    let results = here.results(experiment).await;
    assert_eq!(results["traffic"]["without_entry"], asked["without_entry"]);
    for (expected, found) in asked["metrics"].as_array().unwrap().iter().zip(results["metrics"].as_array().unwrap()) {
        let name = expected["name"].as_str().unwrap();
        assert_eq!((found["name"].as_str(), &found["error"]), (Some(name), &Value::Null));
        same(&found["variations"], &expected["variations"], name);
        same(&found["breakdowns"], &expected["breakdowns"], name);
        let adjusted = found["variations"].as_array().unwrap().iter().map(|variation| &variation["cuped"]);
        match expected["cuped"].as_array() {
            None => assert!(adjusted.into_iter().all(Value::is_null), "{name}"),
            Some(expected) => {
                for (expected, found) in expected.iter().zip(adjusted) {
                    let mut expected = expected.clone();
                    expected.as_object_mut().unwrap().remove("key");
                    same(found, &expected, &format!("{name}, adjusted"));
                }
            }
        }
    }
}

/// Whether all that is expected is there, numbers to nine digits.
fn same(found: &Value, expected: &Value, place: &str) {
    match expected {
        Value::Object(fields) => {
            fields.iter().for_each(|(field, expected)| same(&found[field], expected, &format!("{place}: {field}")));
        }
        Value::Array(items) => {
            let found = found.as_array().unwrap_or_else(|| panic!("{place}: {found}"));
            assert_eq!(found.len(), items.len(), "{place}");
            for (i, (found, expected)) in found.iter().zip(items).enumerate() {
                same(found, expected, &format!("{place}[{i}]"));
            }
        }
        Value::Number(number) => near(found, number.as_f64().unwrap(), place),
        other => assert_eq!(found, other, "{place}"),
    }
}
