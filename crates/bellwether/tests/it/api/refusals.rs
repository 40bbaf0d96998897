//! What every refusal promises: a problem answer of one form, and nothing changed.

use bellwether::store::{Tx, query_as};
use serde_json::Value;

use crate::server::{Answer, Server};

/// Holds an answer to what every problem answer promises, and gives it.
#[track_caller]
pub fn problem(answer: Answer, status: u16, kind: &str) -> Value {
    let what = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!((answer.status, answer.header("content-type")), (status, "application/problem+json"), "{what}");
    let body = answer.json();
    assert_eq!(body["type"], format!("urn:bellwether:problem:{kind}"), "{what}");
    assert_eq!(body["status"], status, "{what}");
    assert!(!body["title"].as_str().unwrap().is_empty() && !body["detail"].as_str().unwrap().is_empty(), "{what}");
    body
}

/// The same for a field that cannot be accepted.
#[track_caller]
pub fn invalid(answer: Answer, field: &str) {
    let body = problem(answer, 422, "invalid");
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("{field}: no field is named: {body}"));
    let named: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert!(named.contains(&field), "'{field}' was expected among {named:?}: {body}");
    assert!(errors.iter().all(|error| !error["message"].as_str().unwrap().is_empty()), "{body}");
}

/// Everything that a request could have changed.
#[derive(Debug, PartialEq)]
pub struct State {
    resources: Vec<(String, Value)>,
    /// Experiment and revision of every event, numbered in the log already or not.
    pub events: Vec<(i64, i64)>,
}

impl State {
    pub async fn of(server: &Server) -> Self {
        let mut resources = Vec::new();
        for resource in [
            "experiments",
            "endpoints",
            "deliveries",
            "entities",
            "warehouses",
            "assignment_sources",
            "fact_sources",
            "metrics",
            "collections",
            "schedules",
        ] {
            resources.push((resource.to_owned(), server.get(&format!("/{resource}?limit=250")).await));
        }
        let events = |tx: &mut dyn Tx| {
            let sql = "SELECT experiment_id, revision FROM events ORDER BY experiment_id, revision";
            query_as(tx, "events", sql, &[], |row| Ok((row.get("experiment_id")?, row.get("revision")?)))
        };
        let events = server.running().registry().db().read(events).await.unwrap();
        Self { resources, events }
    }

    /// Fails if anything is not as it was.
    pub async fn assert_kept(&self, server: &Server) {
        let now = Self::of(server).await;
        assert_eq!(now.events, self.events, "the log has changed");
        self.assert_resources_kept(&now);
    }

    pub fn assert_resources_kept(&self, now: &Self) {
        for ((resource, before), (_, after)) in self.resources.iter().zip(&now.resources) {
            assert!(before == after, "{resource} were changed: from {before} to {after}");
        }
    }
}
