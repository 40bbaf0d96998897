//! What people find when they come: definitions, experiments at every stage, endpoints that fare well and badly.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::installation::{Installation, days_ago, id};

/// Subjects of the experiment that runs.
const SUBJECTS: usize = 600;
const DAYS: i64 = 5;

pub const HOSTILE_NAME: &str =
    "<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=1> שלום \u{202e}txt.exe 🧪🇩🇪 {{7*7}}";
/// Key of a variation, which also stands in charts.
const HOSTILE_KEY: &str = "\"><svg onload=window.pwned=1>";

/// As long as the API allows, of all that is hard to show.
pub fn hostile_text() -> String {
    let piece = "</textarea></pre><script>window.pwned=1</script>🧪 ابجد &amp; ";
    piece.chars().cycle().take(10_000).collect()
}

pub struct Scene {
    definitions: Definitions,
    /// Of the endpoint at `/rollout`, which is told of everything.
    pub secret: String,
    /// The experiment that most is done with.
    pub running: i64,
    pub draft: i64,
    uneven: Option<i64>,
    hostile: Option<i64>,
    run: Option<String>,
    endpoints: Vec<String>,
}

struct Definitions {
    entity: String,
    warehouse: String,
    assignments: String,
    orders: String,
    metrics: Vec<String>,
    collection: String,
}

/// Assignments of two experiments, and what their subjects ordered.
pub fn write_tables(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut assignments = "user_id,at,experiment,variation,country\n".to_owned();
    let mut orders = "user_id,at,amount,refund,device\n".to_owned();
    for user in 0..SUBJECTS {
        let day = days_ago(DAYS - user as i64 % DAYS);
        let (arm, country) = (user % 3, ["de", "fr", "it"][user / 3 % 3]);
        let variation = ["control", "red", "blue"][arm];
        writeln!(assignments, "u{user},{day}T08:00:00Z,checkout-cta,{variation},{country}").unwrap();
        let uneven = if user % 9 == 0 { "treatment" } else { "control" };
        writeln!(assignments, "u{user},{day}T09:00:00Z,search-ranking,{uneven},{country}").unwrap();
        // Red sells more, and is not sent back more often.
        let amount = 20 + user * 7 % 23 + [0, 9, 1][arm];
        let refund = if user % 11 == 0 { amount / 2 } else { 0 };
        if user % 4 != 3 {
            let device = ["phone", "desktop"][user % 2];
            writeln!(orders, "u{user},{day}T12:00:00Z,{amount},{refund},{device}").unwrap();
        }
    }
    std::fs::write(folder.join("assignments.csv"), assignments).unwrap();
    std::fs::write(folder.join("orders.csv"), orders).unwrap();
}

impl Definitions {
    async fn make(here: &Installation) -> Self {
        let files = here.folder().join("files");
        write_tables(&files);
        let make = async |kind: &str, body: Value| here.post(&format!("/{kind}"), body).await;
        let entity = id(&make("entities", json!({"name": "User"})).await);
        let warehouse = id(&make("warehouses", json!({"name": "Files", "kind": "files", "path": files})).await);
        let assignments = json!({
            "name": "Assignments", "warehouse_id": warehouse, "entity_id": entity, "sql": "SELECT * FROM assignments",
            "columns": {"subject": "user_id", "timestamp": "at", "experiment_key": "experiment", "variation": "variation", "properties": ["country"]},
        });
        let assignments = id(&make("assignment_sources", assignments).await);
        let orders = json!({
            "name": "Orders", "warehouse_id": warehouse, "sql": "SELECT * FROM orders", "timestamp_column": "at",
            "entities": [{"entity_id": entity, "column": "user_id"}], "properties": [{"name": "device", "column": "device"}],
            "facts": [{"name": "Revenue", "column": "amount"}, {"name": "Order"}, {"name": "Refund", "column": "refund", "desired_change": "decrease"}],
        });
        let orders = make("fact_sources", orders).await;
        let mut metrics = Vec::new();
        for (name, fact, operation) in
            [("Revenue per user", 0, "sum"), ("Orders per user", 1, "count"), ("Refunds per user", 2, "sum")]
        {
            let numerator = json!({"fact_id": orders["facts"][fact]["id"], "operation": operation});
            let metric = json!({"name": name, "entity_id": entity, "kind": "simple", "numerator": numerator});
            metrics.push(id(&make("metrics", metric).await));
        }
        let collection =
            json!({"name": "Guardrails", "description": "What must not get worse.", "metric_ids": metrics[1..]});
        let collection = id(&make("collections", collection).await);
        Self { entity, warehouse, assignments, orders: id(&orders), metrics, collection }
    }

    /// A draft that has all it needs.
    fn experiment(&self, key: &str, name: &str, variations: Value) -> Value {
        json!({
            "key": key, "name": name, "entity_id": self.entity, "assignment_source_id": self.assignments, "variations": variations,
            "assignments_start_date": days_ago(DAYS), "owner": "Ada", "tags": [key.split('-').next()], "hypothesis": "What is clearer is chosen more often.",
        })
    }
}

/// Weights are equal.
fn variations(keys: &[(&str, &str)]) -> Value {
    keys.iter()
        .enumerate()
        .map(|(i, (key, name))| json!({"key": key, "name": name, "weight": 1, "is_control": i == 0}))
        .collect()
}

impl Scene {
    /// An experiment that runs, a draft, and an endpoint that is told of them.
    pub async fn without_results(here: &Installation) -> Self {
        let definitions = Definitions::make(here).await;
        let rollout =
            json!({"url": here.receiver.url("/rollout"), "description": "Rollout service", "format": "detailed"});
        let rollout = here.post("/endpoints", rollout).await;
        let keys = [("control", "Grey button"), ("red", "Red button"), ("blue", "Blue button")];
        let running = definitions.experiment("checkout-cta", "Checkout button", variations(&keys));
        let running = here.experiment(running).await;
        here.post(&format!("/experiments/{running}/start"), json!({})).await;
        for (metric, is_primary) in definitions.metrics.iter().zip([true, false, false]) {
            let body = json!({"metric_id": metric, "is_primary": is_primary, "is_guardrail": !is_primary});
            here.post(&format!("/experiments/{running}/metrics"), body).await;
        }
        let mut draft = definitions.experiment(
            "pricing-page",
            "Pricing page",
            variations(&[("control", ""), ("yearly", "Yearly first")]),
        );
        // A start that has passed would start it.
        draft["assignments_start_date"] = Value::Null;
        let draft = here.experiment(draft).await;
        let secret = rollout["secret"].as_str().unwrap().to_owned();
        let endpoints = vec![id(&rollout)];
        Self { definitions, secret, running, draft, uneven: None, hostile: None, run: None, endpoints }
    }

    /// The same after a run.
    pub async fn with_results(here: &Installation) -> Self {
        let scene = Self::without_results(here).await;
        let run = Some(here.run(scene.running).await);
        Self { run, ..scene }
    }

    /// With results of so many metrics.
    pub async fn with_metrics(here: &Installation, count: usize) -> Self {
        let scene = Self::without_results(here).await;
        let of = &scene.definitions;
        let like = here.get(&format!("/metrics/{}", of.metrics[0])).await;
        for i in of.metrics.len()..count {
            let body = json!({"name": format!("Revenue, looked at in way {i}"), "entity_id": of.entity, "kind": "simple", "numerator": like["numerator"]});
            let metric = id(&here.post("/metrics", body).await);
            here.post(&format!("/experiments/{}/metrics", scene.running), json!({"metric_id": metric})).await;
        }
        let run = Some(here.run(scene.running).await);
        Self { run, ..scene }
    }

    /// At least one of whatever there is.
    pub async fn with_everything(here: &Installation) -> Self {
        let scene = Self::with_results(here).await;
        let two = variations(&[("control", ""), ("treatment", "")]);
        let uneven = here.experiment(scene.definitions.experiment("search-ranking", "Search ranking", two)).await;
        here.post(&format!("/experiments/{uneven}/start"), json!({})).await;
        here.post(
            &format!("/experiments/{uneven}/metrics"),
            json!({"metric_id": scene.definitions.metrics[0], "is_primary": true}),
        )
        .await;
        here.run(uneven).await;
        let hostile = scene.hostile_experiment(here).await;
        let mut endpoints = scene.endpoints.clone();
        endpoints.push(failing_endpoint(here).await);
        let decision = json!({"outcome": "inconclusive", "reason": hostile_text()});
        here.post(&format!("/experiments/{hostile}/decide"), decision).await;
        here.post(&format!("/assignment_sources/{}/scan", scene.definitions.assignments), json!({})).await;
        here.post("/schedules", json!({"name": "Nightly", "cron": "0 3 * * *", "time_zone": "Europe/Berlin"})).await;
        here.post("/teams", json!({"name": "Checkout team", "description": "Owns the way to the till."})).await;
        here.post("/keys", json!({"name": HOSTILE_NAME, "role": "read"})).await;
        here.person(HOSTILE_NAME, "read").await;
        Self { uneven: Some(uneven), hostile: Some(hostile), endpoints, ..scene }
    }

    /// With names that are dangerous wherever they are not escaped, down to those of definitions.
    async fn hostile_experiment(&self, here: &Installation) -> i64 {
        let mut draft = self.definitions.experiment(
            "checkout-cta",
            HOSTILE_NAME,
            variations(&[(HOSTILE_KEY, HOSTILE_NAME), ("red", HOSTILE_NAME)]),
        );
        draft["key"] = json!(HOSTILE_NAME);
        draft["hypothesis"] = json!(hostile_text());
        draft["owner"] = json!(HOSTILE_NAME);
        draft["tags"] = json!([HOSTILE_NAME]);
        let hostile = here.experiment(draft).await;
        let of = &self.definitions;
        let metric = here.get(&format!("/metrics/{}", of.metrics[0])).await;
        let metric = json!({"name": HOSTILE_NAME, "description": hostile_text(), "entity_id": of.entity, "kind": "simple", "numerator": {"fact_id": metric["numerator"]["fact_id"], "operation": "sum"}});
        let metric = id(&here.post("/metrics", metric).await);
        here.post(&format!("/experiments/{hostile}/metrics"), json!({"metric_id": metric, "is_primary": true})).await;
        here.post(&format!("/experiments/{hostile}/start"), json!({})).await;
        here.run(hostile).await;
        hostile
    }

    /// The ids of all that has a page.
    pub async fn ids(&self, here: &Installation) -> Value {
        let of = &self.definitions;
        let latest = async |list: &str| id(&here.get(list).await["items"][0]);
        let has_failed = |delivery: &&Value| delivery["failure_count"] != 0;
        let owed = format!("/deliveries?state=pending&endpoint={}", self.endpoints[1]);
        let owed = here
            .eventually(&owed, |shown| shown["items"].as_array().unwrap().iter().any(|delivery| has_failed(&delivery)));
        let failed = owed.await["items"].as_array().unwrap().iter().find(has_failed).map(id);
        json!({
            "running": self.running, "draft": self.draft, "uneven": self.uneven, "hostile": self.hostile, "run": self.run,
            "metric": of.metrics[0], "collection": of.collection, "fact_source": of.orders, "assignment_source": of.assignments,
            "warehouse": of.warehouse, "entity": of.entity, "endpoint": self.endpoints[0], "failing_endpoint": self.endpoints[1],
            "event": latest("/events").await, "delivery": latest("/deliveries?state=delivered").await, "failed_delivery": failed,
        })
    }
}

/// It answers 500 with what would harm a careless page.
async fn failing_endpoint(here: &Installation) -> String {
    let failing = json!({"url": here.receiver.url("/failing"), "description": HOSTILE_NAME, "retry_schedule": [3600]});
    id(&here.post("/endpoints", failing).await)
}
