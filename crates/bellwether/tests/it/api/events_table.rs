//! docs/events.md, row by row: a request to an experiment in the status named, what it answers, and the events that it causes.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_testkit::clocks::JumpingClock;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::{Value, json};

use super::items;
use crate::server::{ADMIN_KEY, Definitions, Server, config, draft};

const DOCS: &str = include_str!("../../../../../docs/events.md");
/// A little more than an experiment that was changed is left alone.
const REST: i64 = 11_000_000;

struct Row {
    status: &'static str,
    request: &'static str,
    answer: &'static str,
    events: Vec<&'static str>,
}

fn rows() -> Vec<Row> {
    let mut tables = DOCS.split("| status | request | answer | events |").skip(1);
    let lines = tables.by_ref().flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|')));
    lines
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [status, request, answer, events] = cells[..] else { panic!("another number of cells: {line}") };
            let events = events.split(", ").filter(|event| *event != "none").map(event_type).collect();
            Row { status, request: request.trim_matches('`'), answer, events }
        })
        .collect()
}

fn event_type(word: &str) -> &'static str {
    match word {
        "configuration" => "experiment.configuration.updated",
        "metric" => "experiment.metric.updated",
        "status" => "experiment.status.updated",
        "run" => "experiment.calculated_metrics.updated",
        other => panic!("there is no event '{other}'"),
    }
}

struct Stage {
    server: Server,
    clock: Arc<JumpingClock>,
    definitions: Definitions,
    names: HashMap<&'static str, String>,
    made: u32,
}

impl Stage {
    async fn set(database: &Database) -> Self {
        let clock = Arc::new(JumpingClock::start());
        let server = Server::by(config(database), clock.clone()).await;
        let definitions = Definitions::make(&server, database).await;
        let schedule = server.make("/schedules", json!({"name": "yearly", "cron": "0 6 1 1 *"})).await;
        let guarded = server.make("/entities", json!({"name": "guarded"})).await;
        let sources = server.get("/fact_sources").await;
        let facts = items(&sources)[0].clone();
        let mut edited = facts["entities"].as_array().unwrap().clone();
        edited.push(json!({"entity_id": guarded, "column": "user_id"}));
        let facts_id = facts["id"].as_str().unwrap().to_owned();
        server.patch(&format!("/fact_sources/{facts_id}"), json!({"entities": edited})).await.expect(200);
        let numerator = json!({"fact_id": facts["facts"][1]["id"], "operation": "count"});
        let guardrail = json!({"name": "refunds", "entity_id": guarded, "kind": "simple", "numerator": numerator, "is_guardrail": true});
        server.make("/metrics", guardrail).await;
        let names = HashMap::from([
            ("entity", definitions.entity.clone()),
            ("guarded_entity", guarded),
            ("metric", definitions.metric.clone()),
            ("other_metric", definitions.other_metric.clone()),
            ("collection", definitions.collection.clone()),
            ("schedule", schedule),
            ("facts", facts_id),
            ("team", server.make("/teams", json!({"name": "growth"})).await),
        ]);
        Self { server, clock, definitions, names, made: 0 }
    }

    /// An experiment in this status, of its own; `None` for no experiment.
    async fn experiment(&mut self, status: &str) -> Option<i64> {
        self.made += 1;
        let key = format!("experiment-{}", self.made);
        let mut fields = match status {
            "none" => return None,
            "bare draft" => return Some(self.server.experiment(draft(&key)).await),
            _ => self.definitions.experiment(&key),
        };
        if matches!(status, "ended" | "held") {
            fields["assignments_end_date"] = json!("2026-03-20");
        }
        let id = self.server.experiment(fields).await;
        let path = format!("/experiments/{id}");
        let post = async |rest: &str, body: Value| self.server.post(&format!("{path}{rest}"), body).await;
        match status {
            "draft" => return Some(id),
            "self-started" => self.pass_until(&path, "running").await,
            _ => drop(post("/start", Value::Null).await.expect(200)),
        }
        post("/metrics", json!({"metric_id": self.definitions.metric})).await.expect(201);
        match status {
            "with collection" => {
                let collection = json!({"collection_id": self.definitions.collection});
                let group = post("/collections", collection).await.expect(201)["group_id"].as_str().unwrap().to_owned();
                self.names.insert("group", group);
            }
            "held" => {
                post("/runs", json!({})).await.expect(202);
                self.server.eventually(&path, |shown| shown["status"] == "wrap_up").await;
            }
            "concluded" | "reopened" => drop(post("/decide", json!({"outcome": "rollback"})).await.expect(200)),
            "running" | "self-started" | "ended" => {}
            other => panic!("there is no status '{other}'"),
        }
        if status == "reopened" {
            post("/reopen", Value::Null).await.expect(200);
        }
        Some(id)
    }

    async fn pass_until(&self, path: &str, status: &str) {
        self.clock.jump(REST);
        self.server.eventually(path, |shown| shown["status"] == status).await;
    }

    async fn play(&mut self, row: &Row) {
        let what = format!("{} on '{}'", row.request, row.status);
        let mut id = self.experiment(row.status).await;
        let before = match id {
            Some(id) => self.events_of(id, 1).await.len(),
            None => 0,
        };
        if row.request == "time" {
            self.clock.jump(REST);
            self.server.running().registry().carry_out_due(100).await.unwrap();
        } else {
            let (status, answer) = self.send(row.request, id).await;
            assert_eq!(status.to_string(), row.answer, "{what}: {answer}");
            id = id.or_else(|| answer["id"].as_i64());
        }
        let Some(id) = id else { return assert!(row.events.is_empty(), "{what}") };
        let all = self.events_of(id, before + row.events.len()).await;
        let (types, revisions): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        assert_eq!(types[before..], row.events, "{what}");
        assert_eq!(revisions, (1..=revisions.len() as i64).collect::<Vec<_>>(), "{what}");
    }

    /// The events of an experiment with their revisions, once there are `count`, and all that was made by then.
    async fn events_of(&self, id: i64, count: usize) -> Vec<(String, i64)> {
        let path = format!("/events?limit=250&experiment={id}");
        self.server.eventually(&path, |page| items(page).len() >= count).await;
        // What is made after all that was made comes after it in the log.
        let last =
            self.server.experiment(draft(&format!("last-{}", self.server.running().registry().ids().next()))).await;
        let last_path = format!("/events?experiment={last}");
        self.server.eventually(&last_path, |page| !items(page).is_empty()).await;
        let page = self.server.get(&path).await;
        let of = |item: &Value| (item["event"].as_str().unwrap().to_owned(), item["revision"].as_i64().unwrap());
        items(&page).iter().map(of).collect()
    }

    async fn send(&self, request: &str, id: Option<i64>) -> (u16, Value) {
        let mut parts = request.splitn(3, ' ');
        let method: Method = parts.next().unwrap().parse().unwrap();
        let fill = |text: &str| {
            let mut text = text.replace("{id}", &id.unwrap_or_default().to_string());
            for (name, value) in &self.names {
                text = text.replace(&format!("{{{name}}}"), value);
            }
            text.replace("\"new\"", &format!("\"new-{}\"", self.made))
                .replace("\"other\"", &format!("\"other-{}\"", self.made))
        };
        let path = format!("/{}", fill(parts.next().unwrap()));
        let body = parts.next().map_or(Value::Null, |body| serde_json::from_str(&fill(body)).unwrap());
        let answer = self.server.call_as(ADMIN_KEY, method, &path, body).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }
}

async fn every_row_of_the_documents_holds(database: Database) {
    let mut stage = Stage::set(&database).await;
    for row in rows() {
        stage.play(&row).await;
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn every_writable_field_and_every_action_has_a_row() {
    let server = Server::start(&Database::sqlite()).await;
    let rows = rows();
    let edited = |prefix: &str| {
        let bodies = rows.iter().filter_map(|row| row.request.strip_prefix(prefix).map(|body| (row, body)));
        let changed = bodies.filter(|(row, _)| !row.events.is_empty());
        let fields = changed.flat_map(|(_, body)| {
            let read: Value = serde_json::from_str(body).unwrap();
            read.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        });
        fields.collect::<std::collections::BTreeSet<_>>()
    };
    let id = server.experiment(draft("k")).await;
    let shown = server.patch(&format!("/experiments/{id}"), json!({"no_such_field": 1})).await.expect(422);
    let detail = shown["errors"][0]["message"].as_str().unwrap().to_owned();
    let known: Vec<_> = detail.split("there are: ").nth(1).unwrap().split(", ").collect();
    let told = edited("PATCH experiments/{id} ");
    assert_eq!(known.iter().filter(|field| !told.contains(**field)).collect::<Vec<_>>(), [&""; 0]);
    let of_metrics = edited("PATCH experiments/{id}/metrics/{metric} ");
    for field in
        ["is_primary", "is_guardrail", "guardrail_cutoff", "timeframe", "winsorization", "minimum_detectable_effect"]
    {
        assert!(of_metrics.contains(field), "{field}");
    }
    let statuses = ["draft", "running", "held", "reopened", "concluded"];
    for (action, status) in
        ["start", "decide", "reopen"].iter().flat_map(|action| statuses.map(|status| (action, status)))
    {
        let is_it = |row: &Row| row.status == status && row.request.contains(&format!("{{id}}/{action}"));
        assert!(rows.iter().any(is_it), "{action} on {status}");
    }
    server.stop().await;
}

on_both! {
    every_row_of_the_documents_holds,
}
