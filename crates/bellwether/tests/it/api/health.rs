//! How an endpoint fares: pauses that its receiver asks for, the breaker, 410, its rate limit; and who is told of it.

use std::time::Duration;

use bellwether::domain::clock::Clock;
use bellwether::platform::clock::SystemClock;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Received, Receiver, Reply};
use serde_json::{Value, json};

use super::{delivery, items, rename, subscribe_with, why};
use crate::server::{Server, draft};

const TURNS: [&str; 3] = ["webhook.endpoint.failing", "webhook.endpoint.recovered", "webhook.endpoint.disabled"];

/// An endpoint that is told how others fare.
async fn watch(server: &Server, watcher: &Receiver) -> (String, String) {
    subscribe_with(server, json!({"url": watcher.url("/"), "events": TURNS})).await
}

async fn actions(server: &Server, endpoint: &str) -> Vec<String> {
    let history = server.get(&format!("/endpoints/{endpoint}/history")).await;
    items(&history).iter().map(|change| change["action"].as_str().unwrap().to_owned()).collect()
}

/// What the watcher was told, in order, each verified and about `endpoint`.
fn told(received: &[Received], endpoint: &str, secret: &str) -> Vec<String> {
    let check = |request: &Received| {
        request.verify(secret);
        let data = request.json()["data"].clone();
        assert_eq!(data["endpoint_id"], endpoint);
        assert!(!data["reason"].as_str().unwrap().is_empty() && !request.headers.contains_key("bellwether-revision"));
        request.event_type()
    };
    received.iter().map(check).collect()
}

async fn gone_disables_the_endpoint(database: Database) {
    let (server, receiver, watcher) =
        (Server::start(&database).await, Receiver::start().await, Receiver::start().await);
    receiver.answer(|_| Reply::Status(410));
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let (_, secret) = watch(&server, &watcher).await;
    let id = server.experiment(draft("k")).await;
    let received = watcher.wait_for(1).await;
    assert_eq!(told(&received, &endpoint, &secret), ["webhook.endpoint.disabled"]);
    let shown = server.get(&format!("/endpoints/{endpoint}")).await;
    assert_eq!(
        (&shown["enabled"], &shown["lane"]["is"], &shown["pending"]),
        (&json!(false), &json!("disabled"), &json!(1))
    );
    assert!(shown["disabled_reason"].as_str().unwrap().contains("410"), "{shown}");
    assert_eq!(actions(&server, &endpoint).await, ["created", "disabled"]);
    let waiting = why(&server, id, 1, &endpoint).await["verdict"].clone();
    assert_eq!(waiting["for"], "endpoint_disabled");
    assert!(waiting["reason"].as_str().unwrap().contains("410"), "{waiting}");
    receiver.answer(|_| Reply::Status(204));
    server.post(&format!("/endpoints/{endpoint}/enable"), json!({"from": "stopped"})).await.expect(200);
    delivery(&server, &endpoint, 1, "delivered").await;
    server.stop().await;
}

async fn retry_after_pauses_the_lane(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|_| Reply::Later(429, 3600));
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let path = format!("/endpoints/{endpoint}");
    let id = server.experiment(draft("k")).await;
    let shown = server.eventually(&path, |shown| shown["lane"]["is"] == "paused").await;
    assert!(shown["lane"]["until"].is_string() && shown["lane"]["reason"].as_str().unwrap().contains("Retry-After"));
    assert_eq!(shown["lane"]["failures_in_a_row"], 0, "who says when to come back does not fail");
    let other = server.experiment(draft("other")).await;
    for experiment in [id, other] {
        let waiting = why(&server, experiment, 1, &endpoint).await["verdict"].clone();
        assert_eq!((&waiting["for"], &waiting["until"]), (&json!("pause"), &shown["lane"]["until"]), "{waiting}");
    }
    // Whoever edits the endpoint wants to know at once.
    receiver.answer(|_| Reply::Status(204));
    server.patch(&path, json!({"description": "mended"})).await.expect(200);
    server.eventually(&path, |shown| shown["pending"] == 0).await;
    server.stop().await;
    assert_eq!(receiver.received().len(), 3, "what was not sent meanwhile was not tried");
}

/// Five failures open the breaker; a probe some seconds later closes it, and what waited goes.
async fn the_breaker_opens_and_closes(database: Database) {
    let (server, receiver, watcher) =
        (Server::start(&database).await, Receiver::start().await, Receiver::start().await);
    receiver.answer(|_| Reply::Status(500));
    let fields = json!({"url": receiver.url("/"), "retry_schedule": [3600], "ordering": "none"});
    let (endpoint, _) = subscribe_with(&server, fields).await;
    let (_, secret) = watch(&server, &watcher).await;
    let path = format!("/endpoints/{endpoint}");
    let id = server.experiment(draft("k")).await;
    for edit in 0..4 {
        rename(&server, id, &format!("edit {edit}")).await;
    }
    let shown = server.eventually(&path, |shown| shown["lane"]["is"] == "failing").await;
    assert_eq!((&shown["lane"]["failures_in_a_row"], &shown["lane"]["failed_with"]), (&json!(5), &json!("status")));
    assert!(shown["lane"]["until"].is_string() && shown["lane"]["failing_since"].is_string(), "{shown}");
    rename(&server, id, "the sixth").await;
    let waiting = why(&server, id, 6, &endpoint).await["verdict"].clone();
    assert_eq!((&waiting["for"], waiting["next_probe_at"].is_string()), (&json!("breaker"), true), "{waiting}");
    watcher.wait_for(1).await;
    receiver.answer(|_| Reply::Status(204));
    server.eventually(&path, |shown| shown["lane"]["is"] == "sending" && shown["pending"] == 0).await;
    let received = watcher.wait_for(2).await;
    assert_eq!(told(&received, &endpoint, &secret), TURNS[..2]);
    assert_eq!(actions(&server, &endpoint).await, ["created", "failing", "recovered"]);
    server.post(&format!("{path}/disable"), Value::Null).await.expect(200);
    let received = watcher.wait_for(3).await;
    assert_eq!(told(&received, &endpoint, &secret), TURNS);
    assert!(server.get("/events?limit=250").await["items"].as_array().unwrap().len() == 6, "none of it is in the log");
    server.stop().await;
}

async fn no_more_than_the_rate_is_sent(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let clock = SystemClock::start();
    subscribe_with(&server, json!({"url": receiver.url("/"), "rate_limit": 4, "ordering": "none"})).await;
    let begin = clock.monotonic();
    let id = server.experiment(draft("k")).await;
    for edit in 0..6 {
        rename(&server, id, &format!("edit {edit}")).await;
    }
    receiver.wait_for(7).await;
    let took = clock.monotonic() - begin;
    assert!(took >= Duration::from_millis(700), "a second's worth at once, then four a second: {took:?}");
    server.stop().await;
}

/// A test that is answered closes the breaker at once: whoever mended the receiver need not wait for a probe.
async fn a_test_that_succeeds_closes_the_breaker(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|_| Reply::Status(503));
    let fields = json!({"url": receiver.url("/"), "retry_schedule": [3600], "ordering": "none"});
    let (endpoint, _) = subscribe_with(&server, fields).await;
    let path = format!("/endpoints/{endpoint}");
    let id = server.experiment(draft("k")).await;
    for edit in 0..4 {
        rename(&server, id, &format!("edit {edit}")).await;
    }
    let shown = server.eventually(&path, |shown| shown["lane"]["is"] == "failing").await;
    let failed = server.post(&format!("{path}/test"), Value::Null).await.expect(200);
    assert_eq!(failed["is_success"], false);
    assert_eq!(server.get(&path).await["lane"]["is"], shown["lane"]["is"], "a test that fails changes nothing");
    let waiting = why(&server, id, 1, &endpoint).await["verdict"].clone();
    assert!(waiting["last_tried"].as_str().unwrap().starts_with("dlv_"), "{waiting}");
    receiver.answer(|_| Reply::Status(204));
    server.post(&format!("{path}/test"), Value::Null).await.expect(200);
    server.eventually(&path, |shown| shown["lane"]["is"] == "sending" && shown["pending"] == 0).await;
    assert_eq!(actions(&server, &endpoint).await, ["created", "failing", "recovered"]);
    server.stop().await;
}

/// One event that is always refused, and good ones of another experiment: none of these waits for it.
async fn a_refused_event_keeps_no_other_waiting(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|request| Reply::Status(if request.experiment() == 1 { 500 } else { 204 }));
    let fields = json!({"url": receiver.url("/"), "retry_schedule": vec![1; 30]});
    let (endpoint, _) = subscribe_with(&server, fields).await;
    let path = format!("/endpoints/{endpoint}");
    assert_eq!(server.experiment(draft("refused")).await, 1);
    server.eventually(&path, |shown| shown["lane"]["is"] == "failing").await;
    let good = server.experiment(draft("good")).await;
    delivery(&server, &endpoint, 1, "delivered").await;
    server.eventually(&path, |shown| shown["pending"] == 1).await;
    assert!(receiver.received().iter().any(|request| request.experiment() == good));
    server.stop().await;
}

on_both!(
    a_test_that_succeeds_closes_the_breaker,
    a_refused_event_keeps_no_other_waiting,
    gone_disables_the_endpoint,
    retry_after_pauses_the_lane,
    the_breaker_opens_and_closes,
    no_more_than_the_rate_is_sent,
);
