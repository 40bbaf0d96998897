//! An experiment's whole life through the API, and every event of it at the receiver.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::Receiver;
use bellwether_webhook::Event;
use http::Method;
use serde_json::{Value, json};

use super::{items, log, rename, subscribe, subscribe_with};
use crate::server::{ADMIN_KEY, Definitions, Server, draft};

const CONFIGURATION: &str = "experiment.configuration.updated";
const METRIC: &str = "experiment.metric.updated";
const STATUS: &str = "experiment.status.updated";
const CALCULATED: &str = "experiment.calculated_metrics.updated";

/// What the whole life makes, in order; the run fails, for there is no worker.
const LIFE: [&str; 12] = [
    CONFIGURATION,
    CONFIGURATION,
    METRIC,
    METRIC,
    CONFIGURATION,
    STATUS,
    CALCULATED,
    STATUS,
    STATUS,
    METRIC,
    METRIC,
    STATUS,
];

/// Creates, edits, attaches, starts, runs, decides, reopens, detaches and deletes.
async fn live(server: &Server, definitions: &Definitions) -> i64 {
    let id = server.experiment(definitions.experiment("checkout-cta")).await;
    let path = format!("/experiments/{id}");
    let post = async |rest: &str, body: Value| server.post(&format!("{path}{rest}"), body).await;
    rename(server, id, "Checkout button").await;
    post("/metrics", json!({"metric_id": definitions.metric})).await.expect(201);
    let group = post("/collections", json!({"collection_id": definitions.collection})).await.expect(201);
    let group = group["group_id"].as_str().unwrap().to_owned();
    let metric = format!("{path}/metrics/{}", definitions.metric);
    server.patch(&metric, json!({"is_primary": true})).await.expect(200);
    assert_eq!(post("/start", Value::Null).await.expect(200)["status"], "running");
    let run = post("/runs", json!({"mode": "full"})).await.expect(202);
    let run = format!("/runs/{}", run["id"].as_str().unwrap());
    let ended = server.eventually(&run, |run| run["state"] == "failure").await;
    assert!(ended["error"].is_string(), "{ended}");
    let decision = json!({"outcome": "ship", "winning_variation": "red", "reason": "it sold more"});
    assert_eq!(post("/decide", decision).await.expect(200)["status"], "concluded");
    assert_eq!(post("/reopen", Value::Null).await.expect(200)["status"], "ready_for_review");
    server.delete(&metric).await.expect(200);
    server.delete(&format!("{path}/collections/{group}")).await.expect(200);
    server.delete(&path).await.expect(204);
    id
}

async fn every_change_arrives_in_order_and_verified(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let definitions = Definitions::make(&server, &database).await;
    let (_, secret) = subscribe(&server, &receiver.url("/hooks?tenant=7")).await;
    let id = live(&server, &definitions).await;
    let received = receiver.wait_for(LIFE.len()).await;
    for (index, (request, expected)) in received.iter().zip(LIFE).enumerate() {
        let revision = index + 1;
        let webhook = request.verify(&secret);
        assert_eq!((webhook.revision, webhook.attempt), (Some(revision as u64), Some(1)));
        assert!(webhook.id.starts_with("evt_"), "{}", webhook.id);
        let Event::Experiment(event) = webhook.event else { panic!("another event: {:?}", webhook.event) };
        assert_eq!((event.event_type.as_str(), event.experiment_id), (expected, id as u64));
        assert_eq!(event.meta_data.is_some(), expected == CALCULATED);
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hooks?tenant=7"));
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.header("user-agent").starts_with("Bellwether/"));
    }
    let ids: std::collections::HashSet<_> = received.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(ids.len(), LIFE.len());

    let signature = received[5].json()["signature"].as_str().unwrap().to_owned();
    let expected = format!(
        r#"{{"event":"experiment.status.updated","data":{{"experiment_id":{id},"experiment_key":"checkout-cta"}},"signature":"{signature}"}}"#
    );
    assert_eq!(std::str::from_utf8(&received[5].body).unwrap(), expected);
    let run = received[6].json()["data"]["meta_data"].clone();
    let keys: Vec<_> = run.as_object().unwrap().keys().map(String::as_str).collect();
    let order = [
        "status",
        "is_manual_refresh",
        "is_data_updated",
        "time_taken_seconds",
        "is_traffic_imbalance",
        "assignments_scan_start_date",
        "assignments_scan_end_date",
    ];
    assert_eq!(keys, order);
    assert_eq!((&run["status"], &run["is_manual_refresh"]), (&json!("failure"), &json!(true)));
    assert_eq!(run["assignments_scan_start_date"], "2026-03-01");

    let logged: Vec<_> = LIFE.iter().enumerate().map(|(i, name)| ((*name).to_owned(), i as i64 + 1)).collect();
    assert_eq!(log(&server, LIFE.len()).await, logged);
    server.stop().await;
    assert_eq!(receiver.received().len(), LIFE.len(), "each once");
}

async fn the_history_says_who_what_from_and_to(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let id = live(&server, &definitions).await;
    let page = server.get(&format!("/experiments/{id}/history?limit=250")).await;
    let history = items(&page);
    let actions: Vec<_> = history.iter().map(|change| change["action"].as_str().unwrap()).collect();
    let expected = [
        "created",
        "edited",
        "metric_added",
        "collection_added",
        "attached_metric_edited",
        "started",
        "run_ended",
        "decided",
        "reopened",
        "metric_removed",
        "collection_removed",
        "deleted",
    ];
    assert_eq!(actions, expected);
    for change in history {
        assert_eq!((&change["actor"]["type"], &change["actor"]["name"]), (&json!("key"), &json!("first admin")));
        assert!(change["occurred_at"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(history[1]["changes"], json!([{"field": "name", "from": "Checkout", "to": "Checkout button"}]));
    assert_eq!(history[5]["changes"], json!([{"field": "status", "from": "draft", "to": "running"}]));
    assert_eq!(history[7]["reason"], "it sold more");
    let fields: Vec<_> = history[7]["changes"].as_array().unwrap().iter().map(|change| &change["field"]).collect();
    assert_eq!(fields, ["status", "decision", "assignments_end_date", "events_end_date"]);
    assert_eq!(history[11]["changes"][0]["to"], "deleted");
    let second = server.get(&format!("/experiments/{id}/history?limit=1&after=1")).await;
    assert_eq!((items(&second)[0]["revision"].as_i64(), &second["next"]), (Some(2), &json!("2")));
    server.call_as(ADMIN_KEY, Method::GET, &format!("/experiments/{id}"), Value::Null).await.expect(404);
    server.stop().await;
}

async fn an_edit_that_changes_nothing_tells_nobody(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let id = server.experiment(definitions.experiment("k")).await;
    let path = format!("/experiments/{id}");
    let metrics = format!("{path}/metrics");
    server.post(&metrics, json!({"metric_id": definitions.metric})).await.expect(201);
    server.post(&format!("{path}/collections"), json!({"collection_id": definitions.collection})).await.expect(201);
    let before = server.get(&path).await;
    for edit in [json!({}), json!({"name": "Checkout"}), json!({"variations": before["variations"], "tags": []})] {
        assert_eq!(server.patch(&path, edit).await.expect(200), before);
    }
    server.post(&metrics, json!({"metric_id": definitions.metric})).await.expect(200);
    server.post(&format!("{path}/collections"), json!({"collection_id": definitions.collection})).await.expect(200);
    server.patch(&format!("{metrics}/{}", definitions.metric), json!({"is_primary": false})).await.expect(200);
    assert_eq!(server.get(&path).await, before);
    // The next real change has the next number, so there was nothing in between.
    rename(&server, id, "another").await;
    let expected = [(CONFIGURATION, 1), (METRIC, 2), (METRIC, 3), (CONFIGURATION, 4)];
    assert_eq!(log(&server, 4).await, expected.map(|(name, revision)| (name.to_owned(), revision)));
    server.stop().await;
}

async fn a_stale_version_is_refused(database: Database) {
    let server = Server::start(&database).await;
    let id = server.experiment(draft("k")).await;
    let path = format!("/experiments/{id}");
    let bearer = format!("Bearer {ADMIN_KEY}");
    let edit = async |tag: &str, name: &str| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("if-match", tag)];
        server.raw(Method::PATCH, &path, &headers, json!({"name": name}).to_string()).await
    };
    let edited = edit("\"1\"", "first").await;
    assert_eq!((edited.status, edited.header("etag")), (200, "\"2\""));
    let stale = edit("\"1\"", "second");
    let problem = stale.await.expect(412);
    assert_eq!(problem["type"], "urn:bellwether:problem:stale-version");
    assert!(problem["detail"].as_str().unwrap().contains('2'), "{problem}");
    assert_eq!(server.get(&path).await["name"], "first");
    assert_eq!(edit("W/\"2\"", "third").await.status, 200);
    server.stop().await;
}

async fn endpoints_hear_what_they_asked_for(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let definitions = Definitions::make(&server, &database).await;
    let filtered = json!({"url": receiver.url("/filtered"), "events": [STATUS, CALCULATED]});
    subscribe_with(&server, filtered).await;
    let (_, secret) = subscribe_with(&server, json!({"url": receiver.url("/all"), "format": "detailed"})).await;
    live(&server, &definitions).await;
    let wanted = LIFE.iter().filter(|name| [STATUS, CALCULATED].contains(name)).count();
    receiver.wait_for(LIFE.len() + wanted).await;
    server.stop().await;
    let (all, filtered): (Vec<_>, Vec<_>) = receiver.received().into_iter().partition(|request| request.path == "/all");
    assert_eq!(all.len(), LIFE.len());
    let heard: Vec<_> = filtered.iter().map(|request| (request.event_type(), request.revision())).collect();
    let expected = [(STATUS, 6), (CALCULATED, 7), (STATUS, 8), (STATUS, 9), (STATUS, 12)];
    assert_eq!(heard, expected.map(|(name, revision)| (name.to_owned(), revision)));
    all.iter().for_each(|request| drop(request.verify(&secret)));
    let detailed = all[1].json()["data"].clone();
    let keys: Vec<_> = detailed.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["experiment_id", "experiment_key", "revision", "occurred_at", "actor", "changes"]);
    assert_eq!(detailed["changes"], json!([{"field": "name", "from": "Checkout", "to": "Checkout button"}]));
}

/// The log gives the same events to whoever asks for them, in pages and by filter.
async fn the_log_is_read_in_pages(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let (_, secret) = subscribe(&server, &receiver.url("/")).await;
    let hard = "quote\" back\\slash \u{2028} \u{1} 💡";
    let id = server.experiment(draft(hard)).await;
    let other = server.experiment(draft("other")).await;
    rename(&server, id, "b").await;
    let received = receiver.wait_for(3).await;
    assert_eq!(log(&server, 3).await.len(), 3);
    let page = server.get("/events?limit=2").await;
    let next = page["next"].as_str().unwrap();
    let rest = server.get(&format!("/events?limit=2&after={next}")).await;
    assert_eq!((items(&page).len(), items(&rest).len()), (2, 1));
    let last = rest["next"].as_str().unwrap();
    assert_eq!(items(&server.get(&format!("/events?after={last}")).await).len(), 0);
    let of_other = server.get(&format!("/events?experiment={other}&types={CONFIGURATION},{STATUS}")).await;
    assert_eq!(items(&of_other).len(), 1);
    assert_eq!(items(&server.get(&format!("/events?experiment=key:other&types={STATUS}")).await).len(), 0);
    for request in &received {
        request.verify(&secret);
        let event = server.get(&format!("/events/{}", request.header("webhook-id"))).await;
        assert_eq!(event["data"], request.json()["data"]);
    }
    let spelled = r#""experiment_key":"quote\" back\\slash "#.to_owned() + "\u{2028} \\u0001 💡\"";
    // Which experiment's events come first is nobody's promise.
    let body_of = |request: &bellwether_testkit::receiver::Received| String::from_utf8(request.body.to_vec()).unwrap();
    assert_eq!(
        received.iter().filter(|request| body_of(request).contains(&spelled)).count(),
        2,
        "as ECMAScript spells it"
    );
    server.stop().await;
}

on_both!(
    every_change_arrives_in_order_and_verified,
    the_history_says_who_what_from_and_to,
    an_edit_that_changes_nothing_tells_nobody,
    a_stale_version_is_refused,
    endpoints_hear_what_they_asked_for,
    the_log_is_read_in_pages,
);
