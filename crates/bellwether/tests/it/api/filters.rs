//! Who is told of what: each clause of a filter, and what the API says of an event that was not sent.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::Receiver;
use serde_json::{Value, json};

use super::{delivery, rename, subscribe, subscribe_with, why};
use crate::server::{Definitions, Server, draft};

async fn with_filter(server: &Server, url: &str, filter: Value) -> String {
    subscribe_with(server, json!({"url": url, "filter": filter})).await.0
}

async fn each_clause_lets_through_what_it_says(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let definitions = Definitions::make(&server, &database).await;
    let url = receiver.url("/");
    let clauses = [
        ("experiment_keys", json!({"experiment_keys": ["nothing", "check?ut-*"]})),
        ("tags", json!({"tags": ["growth", "another"]})),
        ("entity_ids", json!({"entity_ids": [definitions.entity]})),
    ];
    let mut endpoints = Vec::new();
    for (clause, filter) in clauses {
        endpoints.push((clause, with_filter(&server, &url, filter).await));
    }
    let by_type = json!({"url": url, "events": ["experiment.status.updated"]});
    let (by_type, _) = subscribe_with(&server, by_type).await;
    let mut wanted = definitions.experiment("checkout-cta");
    wanted["tags"] = json!(["growth"]);
    let wanted = server.experiment(wanted).await;
    let unwanted = server.experiment(draft("search")).await;
    for (clause, endpoint) in &endpoints {
        delivery(&server, endpoint, 1, "delivered").await;
        assert_eq!(why(&server, wanted, 1, endpoint).await["verdict"]["is"], "delivered", "{clause}");
        let absent = why(&server, unwanted, 1, endpoint).await;
        assert_eq!(absent["verdict"], json!({"is": "filtered", "clause": clause}), "{absent}");
        assert!(absent["detail"].as_str().unwrap().contains(clause) && absent["deliveries"] == json!([]), "{absent}");
    }
    let absent = why(&server, wanted, 1, &by_type).await;
    assert_eq!(absent["verdict"], json!({"is": "filtered", "clause": "events"}));
    server.stop().await;
    assert!(receiver.received().iter().all(|request| request.experiment() == wanted));
}

/// A condition on runs touches the ends of runs, and no other event.
async fn runs_are_picked_by_what_came_of_them(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let definitions = Definitions::make(&server, &database).await;
    let failures = with_filter(&server, &receiver.url("/"), json!({"runs": ["failure", "imbalance"]})).await;
    let updates = with_filter(&server, &receiver.url("/"), json!({"runs": ["data_updated"]})).await;
    let id = server.experiment(definitions.experiment("k")).await;
    server.post(&format!("/experiments/{id}/start"), Value::Null).await.expect(200);
    server.post(&format!("/experiments/{id}/runs"), Value::Null).await.expect(202);
    // It fails, for there is no worker.
    delivery(&server, &failures, 3, "delivered").await;
    assert_eq!(why(&server, id, 3, &updates).await["verdict"], json!({"is": "filtered", "clause": "runs"}));
    for endpoint in [&failures, &updates] {
        delivery(&server, endpoint, 2, "delivered").await;
    }
    server.stop().await;
}

/// The answer is of the filter and the experiment as they were then, whatever was edited since.
async fn why_looks_at_what_was_in_force_then(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let endpoint = with_filter(&server, &receiver.url("/"), json!({"tags": ["growth"]})).await;
    let id = server.experiment(draft("k")).await;
    let edit = json!({"tags": ["growth"]});
    server.patch(&format!("/experiments/{id}"), edit).await.expect(200);
    delivery(&server, &endpoint, 2, "delivered").await;
    server.patch(&format!("/endpoints/{endpoint}"), json!({"filter": {"tags": ["other"]}})).await.expect(200);
    rename(&server, id, "b").await;
    server.patch(&format!("/endpoints/{endpoint}"), json!({"filter": {}, "events": []})).await.expect(200);
    let filtered = json!({"is": "filtered", "clause": "tags"});
    assert_eq!(why(&server, id, 1, &endpoint).await["verdict"], filtered, "it had no tag then");
    assert_eq!(why(&server, id, 2, &endpoint).await["verdict"]["is"], "delivered");
    assert_eq!(why(&server, id, 3, &endpoint).await["verdict"], filtered, "another was wanted then");
    let (late, _) = subscribe(&server, &receiver.url("/")).await;
    let absent = why(&server, id, 1, &late).await;
    assert_eq!(absent["verdict"], json!({"is": "not_subscribed"}));
    assert!(absent["detail"].as_str().unwrap().contains("replay"), "{absent}");
    server.stop().await;
}

/// An endpoint that asks for a tag, a key or an entity hears of the edit that takes it away.
async fn an_edit_is_told_to_those_who_asked_for_what_was(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let definitions = Definitions::make(&server, &database).await;
    let url = receiver.url("/");
    let filters = [
        json!({"tags": ["growth"]}),
        json!({"experiment_keys": ["before-*"]}),
        json!({"entity_ids": [definitions.entity]}),
    ];
    let mut endpoints = Vec::new();
    for filter in filters {
        endpoints.push(with_filter(&server, &url, filter).await);
    }
    let id = server
        .experiment(json!({"key": "before-1", "name": "n", "tags": ["growth"], "entity_id": definitions.entity}))
        .await;
    let edit = json!({"tags": ["other"], "key": "after-1", "entity_id": null});
    server.patch(&format!("/experiments/{id}"), edit).await.expect(200);
    rename(&server, id, "none of them").await;
    for endpoint in &endpoints {
        delivery(&server, endpoint, 2, "delivered").await;
        assert_eq!(why(&server, id, 2, endpoint).await["verdict"]["is"], "delivered");
        assert_eq!(why(&server, id, 3, endpoint).await["verdict"]["is"], "filtered");
    }
    // Who subscribes now, and has it replayed, gets the same.
    let late = with_filter(&server, &url, json!({"tags": ["growth"], "experiment_keys": ["before-*"]})).await;
    server.post(&format!("/endpoints/{late}/replay"), json!({"since": "2020-01-01T00:00:00Z"})).await.expect(202);
    delivery(&server, &late, 2, "delivered").await;
    server.stop().await;
    assert!(receiver.received().iter().all(|request| request.revision() < 3));
}

on_both!(
    an_edit_is_told_to_those_who_asked_for_what_was,
    each_clause_lets_through_what_it_says,
    runs_are_picked_by_what_came_of_them,
    why_looks_at_what_was_in_force_then,
);
