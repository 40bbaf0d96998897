//! What somebody does by hand: have a delivery sent again, cancel one, test an endpoint.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Receiver, Reply};
use serde_json::{Value, json};

use super::refusals::problem;
use super::{delivery, items, rename, subscribe, subscribe_with};
use crate::server::{Server, draft};

/// It comes at once, though a later revision of the same experiment fails and holds back others.
async fn a_resent_delivery_stands_outside_the_order(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|request| Reply::Status(if request.revision() == 2 { 500 } else { 204 }));
    let (endpoint, secret) = subscribe_with(&server, json!({"url": receiver.url("/"), "retry_schedule": [3600]})).await;
    let id = server.experiment(draft("k")).await;
    let first = delivery(&server, &endpoint, 1, "delivered").await["id"].as_str().unwrap().to_owned();
    for name in ["b", "c"] {
        rename(&server, id, name).await;
    }
    receiver.wait_for(2).await;
    let again = server.post(&format!("/deliveries/{first}/resend"), Value::Null).await.expect(201);
    assert_eq!((&again["origin"], &again["state"]), (&json!("resend"), &json!("pending")));
    assert_ne!(again["id"].as_str().unwrap(), first);
    let received = receiver.wait_for(3).await;
    let (sent, resent) = (&received[0], &received[2]);
    assert_eq!((resent.revision(), resent.attempt()), (1, 1));
    assert_eq!((resent.header("webhook-id"), &resent.body), (sent.header("webhook-id"), &sent.body));
    resent.verify(&secret);
    let path = format!("/deliveries/{}", again["id"].as_str().unwrap());
    server.eventually(&path, |delivery| delivery["state"] == "delivered").await;
    delivery(&server, &endpoint, 3, "pending").await;
    server.delete(&format!("/endpoints/{endpoint}")).await.expect(204);
    problem(server.post(&format!("/deliveries/{first}/resend"), Value::Null).await, 409, "state");
    server.stop().await;
}

/// What was sent and what was answered, for whoever asks why a webhook did not come: without any token.
async fn an_attempt_shows_both_sides(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|_| Reply::Status(500));
    let fields = json!({
        "url": receiver.url("/?key=query-token"), "retry_schedule": [], "headers": {"Authorization": "Bearer t0ken-value"},
    });
    let (endpoint, _) = subscribe_with(&server, fields).await;
    server.experiment(draft("k")).await;
    let failed = delivery(&server, &endpoint, 1, "exhausted").await["id"].as_str().unwrap().to_owned();
    let shown = server.get(&format!("/deliveries/{failed}")).await;
    let received = receiver.wait_for(1).await;
    assert_eq!(shown["body"].as_str().unwrap().as_bytes(), received[0].body, "the exact body");
    let attempt = &shown["attempts"][0];
    let sent = attempt["request_headers"].as_str().unwrap();
    for expected in
        ["webhook-id: evt_", "webhook-signature: v1,", "authorization: [hidden]\n", "bellwether-attempt: 1\n"]
    {
        assert!(sent.contains(expected), "{sent}");
    }
    assert!(attempt["response_headers"].as_str().unwrap().contains("content-length"), "{attempt}");
    let all = shown.to_string();
    assert!(!all.contains("t0ken-value") && !all.contains("query-token"), "{all}");
    let test = server.post(&format!("/endpoints/{endpoint}/test"), Value::Null).await.expect(200);
    assert!(test["attempt"]["request_headers"].as_str().unwrap().contains("webhook-id"), "{test}");
    server.stop().await;
}

async fn a_cancelled_delivery_is_never_sent(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "enabled": false})).await;
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "b").await;
    let first = delivery(&server, &endpoint, 1, "pending").await["id"].as_str().unwrap().to_owned();
    let path = format!("/deliveries/{first}/cancel");
    let cancelled = server.post(&path, Value::Null).await.expect(200);
    assert_eq!((&cancelled["state"], &cancelled["reason"]), (&json!("cancelled"), &json!("cancelled by hand")));
    assert!(cancelled["ended_at"].is_string());
    problem(server.post(&path, Value::Null).await, 409, "state");
    server.post(&format!("/endpoints/{endpoint}/enable"), json!({"from": "stopped"})).await.expect(200);
    delivery(&server, &endpoint, 2, "delivered").await;
    server.stop().await;
    assert_eq!(receiver.received().iter().map(|request| request.revision()).collect::<Vec<_>>(), [2]);
}

/// Also one that a lane holds in memory, to try it again.
async fn a_failing_delivery_can_be_cancelled(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|request| Reply::Status(if request.revision() == 1 { 500 } else { 204 }));
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "retry_schedule": [3600]})).await;
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "b").await;
    let tried = format!("/deliveries?endpoint={endpoint}");
    server.eventually(&tried, |page| items(page).iter().any(|delivery| delivery["attempt_count"] == 1)).await;
    let first = delivery(&server, &endpoint, 1, "pending").await["id"].as_str().unwrap().to_owned();
    server.post(&format!("/deliveries/{first}/cancel"), Value::Null).await.expect(200);
    delivery(&server, &endpoint, 2, "delivered").await;
    server.stop().await;
    assert_eq!(receiver.received().iter().map(|request| request.revision()).collect::<Vec<_>>(), [1, 2]);
}

async fn a_test_tells_what_came_of_a_ping(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let (endpoint, secret) = subscribe(&server, &receiver.url("/")).await;
    let path = format!("/endpoints/{endpoint}/test");
    let told = server.post(&path, Value::Null).await.expect(200);
    assert_eq!((&told["is_success"], &told["attempt"]["status_code"]), (&json!(true), &json!(204)), "{told}");
    let request = receiver.received().remove(0);
    request.verify(&secret);
    assert_eq!(
        (request.event_type().as_str(), request.header("webhook-id")),
        ("webhook.ping", told["webhook_id"].as_str().unwrap())
    );
    assert_eq!(request.json()["data"], json!({"endpoint_id": endpoint}));
    assert!(!request.headers.contains_key("bellwether-revision"));

    receiver.answer(|_| Reply::Status(503));
    server.post(&format!("/endpoints/{endpoint}/disable"), Value::Null).await.expect(200);
    let told = server.post(&path, Value::Null).await.expect(200);
    assert_eq!((&told["is_success"], &told["attempt"]["error_class"]), (&json!(false), &json!("status")), "{told}");
    receiver.answer(|_| Reply::Status(200));
    assert_eq!(server.post(&path, Value::Null).await.expect(200)["is_success"], true, "though it is disabled");
    assert!(items(&server.get("/events").await).is_empty(), "a ping is in no log");
    assert!(items(&server.get("/deliveries").await).is_empty());
    server.stop().await;
}

on_both!(
    an_attempt_shows_both_sides,
    a_resent_delivery_stands_outside_the_order,
    a_cancelled_delivery_is_never_sent,
    a_failing_delivery_can_be_cancelled,
    a_test_tells_what_came_of_a_ping,
);
