//! What an analyst sets up before a run: tables, sources, metrics, an experiment that runs.

use std::fmt::Write;
use std::path::Path;

use bellwether_bench::api::Api;
use serde_json::{Value, json};

use crate::installation::write;

pub const ASSIGNMENTS: &str = "SELECT subject, variation, at, experiment FROM assignments";
pub const FACTS: &str = "SELECT subject, at, amount FROM facts";
/// More rows than can be counted: 445 to the sixth.
pub const ENDLESS: &str = "SELECT a.subject, a.variation, a.at, a.experiment FROM assignments a, assignments b, assignments c, \
                           assignments d, assignments e, assignments f";
pub const KEY: &str = "study";

const TRIAL: &str = include_str!("../../data/nsw_trial.csv");

/// Definitions over one folder of tables.
pub struct Study {
    api: Api,
    entity: Value,
    pub warehouse: Value,
    pub assignment_source: String,
}

impl Study {
    pub async fn define(api: &Api, files: &Path) -> Self {
        let entity = create(api, "entities", json!({"name": "Person"})).await["id"].clone();
        let warehouse = json!({"name": "Tables", "kind": "files", "path": files});
        let warehouse = create(api, "warehouses", warehouse).await["id"].clone();
        let columns =
            json!({"subject": "subject", "timestamp": "at", "experiment_key": "experiment", "variation": "variation"});
        let source = json!({"name": "Assignments", "warehouse_id": warehouse, "entity_id": entity, "sql": ASSIGNMENTS, "columns": columns});
        let source = create(api, "assignment_sources", source).await;
        Self { api: api.clone(), entity, warehouse, assignment_source: id(&source) }
    }

    pub fn entity(&self) -> &Value {
        &self.entity
    }

    pub fn warehouse(&self) -> &Value {
        &self.warehouse
    }

    /// A metric on a fact source of its own; the ids of metric and source.
    pub async fn metric(&self, name: &str, sql: &str, column: Option<&str>, operation: &str) -> (String, String) {
        let source = json!({
            "name": name, "warehouse_id": self.warehouse, "sql": sql, "timestamp_column": "at",
            "entities": [{"entity_id": self.entity, "column": "subject"}], "facts": [{"name": name, "column": column}],
        });
        let source = create(&self.api, "fact_sources", source).await;
        let numerator = json!({"fact_id": source["facts"][0]["id"], "operation": operation});
        let metric = json!({"name": name, "entity_id": self.entity, "kind": "simple", "numerator": numerator});
        (id(&create(&self.api, "metrics", metric).await), id(&source))
    }

    /// A draft with these fields over the usual ones.
    pub async fn draft(&self, key: &str, fields: Value) -> i64 {
        let mut draft = json!({
            "key": key, "name": key, "entity_id": self.entity, "assignment_source_id": self.assignment_source,
            "assignments_start_date": "2024-01-01", "variations": variations(1, 1),
        });
        draft.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        create(&self.api, "experiments", draft).await["id"].as_i64().unwrap()
    }

    pub async fn started(&self, key: &str, fields: Value) -> i64 {
        let experiment = self.draft(key, fields).await;
        self.api.post(&format!("/experiments/{experiment}/start"), &json!({})).await.unwrap();
        experiment
    }

    pub async fn attach(&self, experiment: i64, metric: &str, is_primary: bool) {
        let body = json!({"metric_id": metric, "is_primary": is_primary});
        self.api.post(&format!("/experiments/{experiment}/metrics"), &body).await.unwrap();
    }

    pub async fn set_assignments(&self, sql: &str) {
        let path = format!("/assignment_sources/{}", self.assignment_source);
        self.api.patch(&path, &json!({"sql": sql})).await.unwrap();
    }
}

async fn create(api: &Api, what: &str, body: Value) -> Value {
    api.post(&format!("/{what}"), &body).await.unwrap()
}

fn id(created: &Value) -> String {
    created["id"].as_str().unwrap().to_owned()
}

pub fn variations(control: u32, treatment: u32) -> Value {
    json!([
        {"key": "control", "weight": control, "is_control": true},
        {"key": "treatment", "weight": treatment},
    ])
}

/// The published trial, its subjects spread over 28 days, their earnings up to 30 days later.
pub fn write_trial(files: &Path) {
    let mut lines = TRIAL.lines();
    let names: Vec<_> = lines.next().unwrap().split(',').collect();
    let column = |name| names.iter().position(|there| *there == name).unwrap();
    let (number, treated, earned) = (column("subject_id"), column("treat"), column("re78"));
    let first: jiff::civil::Date = "2024-01-05".parse().unwrap();
    let day = |days: i64| first.checked_add(jiff::Span::new().days(days)).unwrap();
    let mut assignments = "subject,variation,at,experiment\n".to_owned();
    let mut facts = "subject,at,amount\n".to_owned();
    for line in lines {
        let fields: Vec<_> = line.split(',').collect();
        let n: i64 = fields[number].parse().unwrap();
        let variation = if fields[treated] == "1" { "treatment" } else { "control" };
        let assigned = (n - 1) % 28;
        writeln!(assignments, "{n},{variation},{}T12:00:00Z,{KEY}", day(assigned)).unwrap();
        writeln!(facts, "{n},{}T12:00:00Z,{}", day(assigned + 1 + (n - 1) % 30), fields[earned]).unwrap();
    }
    write(files, "assignments.csv", &assignments);
    write(files, "facts.csv", &facts);
}
