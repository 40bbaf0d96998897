//! A run that does not end by itself, on every node.

use std::fmt::Write;

use bellwether_bench::api::Api;
use serde_json::{Value, json};

use crate::nodes::Nodes;

/// More rows than can be counted: at least 445 to the sixth.
const ENDLESS: &str = "SELECT a.subject, a.variation, a.at, a.experiment FROM assignments a, assignments b, assignments c, \
                       assignments d, assignments e, assignments f";

impl Nodes {
    /// Every node has one under way, as each carries out one at a time.
    pub async fn start_endless_runs(&self) {
        let mut table = "subject,variation,at,experiment\n".to_owned();
        for (subject, number) in
            (0..445).flat_map(|subject| (0..self.apis().len()).map(move |number| (subject, number)))
        {
            writeln!(table, "{subject},a,2026-01-01T12:00:00Z,endless-{number}").unwrap();
        }
        std::fs::write(self.files().join("assignments.csv"), table).unwrap();
        let apis = self.apis();
        let source = endless_source(&apis[0], &json!(self.files())).await;
        let mut runs = Vec::new();
        for (number, api) in apis.iter().enumerate() {
            let mut draft = json!({
                "key": format!("endless-{number}"), "name": "endless", "assignments_start_date": "2026-01-01",
                "variations": [{"key": "a", "weight": 1, "is_control": true}, {"key": "b", "weight": 1}],
            });
            draft.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            let experiment = create(api, "/experiments", draft).await["id"].clone();
            api.post(&format!("/experiments/{experiment}/start"), &json!({})).await.unwrap();
            let run = api.post(&format!("/experiments/{experiment}/runs"), &json!({"mode": "full"})).await.unwrap();
            runs.push(format!("/runs/{}", run["id"].as_str().unwrap()));
        }
        for run in runs {
            let is_counting = |shown: &Value| {
                let steps = shown["steps"].as_array().unwrap();
                steps.iter().any(|step| step["duration_us"].is_null())
            };
            while !is_counting(&apis[0].get(&run).await.unwrap()) {}
        }
    }
}

/// What makes an experiment's runs endless.
async fn endless_source(api: &Api, files: &Value) -> Value {
    let warehouse = create(api, "/warehouses", json!({"name": "Tables", "kind": "files", "path": files})).await;
    let entity = create(api, "/entities", json!({"name": "Person"})).await["id"].clone();
    let columns =
        json!({"subject": "subject", "timestamp": "at", "experiment_key": "experiment", "variation": "variation"});
    let source = json!({
        "name": "Assignments", "warehouse_id": warehouse["id"], "entity_id": entity, "sql": ENDLESS, "columns": columns,
    });
    let source = create(api, "/assignment_sources", source).await;
    json!({"entity_id": entity, "assignment_source_id": source["id"]})
}

async fn create(api: &Api, what: &str, body: Value) -> Value {
    api.post(what, &body).await.unwrap()
}
