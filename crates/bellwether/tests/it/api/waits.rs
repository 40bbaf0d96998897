//! What a pending delivery waits for, as the API says it, and how those that ended did.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Receiver, Reply};
use serde_json::{Value, json};

use super::{delivery, items, rename, subscribe_with, why};
use crate::server::{Server, draft};

async fn for_its_endpoint_its_retry_its_order_its_turn(database: Database) {
    let (server, failing, slow) = (Server::start(&database).await, Receiver::start().await, Receiver::start().await);
    failing.answer(|_| Reply::Status(500));
    slow.answer(|_| Reply::Held(204));
    let off = json!({"url": failing.url("/"), "enabled": false});
    let (off, _) = subscribe_with(&server, off).await;
    let (retrying, _) = subscribe_with(&server, json!({"url": failing.url("/"), "retry_schedule": [3600]})).await;
    let (busy, _) = subscribe_with(&server, json!({"url": slow.url("/"), "max_in_flight": 1})).await;
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "b").await;

    let waiting = why(&server, id, 1, &off).await;
    assert_eq!(
        (&waiting["verdict"]["is"], &waiting["verdict"]["for"]),
        (&json!("waiting"), &json!("endpoint_disabled"))
    );
    assert!(waiting["detail"].as_str().unwrap().contains("enable it"), "{waiting}");

    let tried = format!("/deliveries?endpoint={retrying}");
    server.eventually(&tried, |page| items(page).iter().any(|delivery| delivery["attempt_count"] == 1)).await;
    let waiting = why(&server, id, 1, &retrying).await["verdict"].clone();
    assert_eq!((&waiting["for"], waiting["until"].is_string()), (&json!("retry"), true), "{waiting}");
    let first = delivery(&server, &retrying, 1, "pending").await;
    let waiting = why(&server, id, 2, &retrying).await["verdict"].clone();
    let expected = json!({"is": "waiting", "for": "order", "behind": first["id"], "revision": 1});
    assert_eq!(waiting, expected);

    slow.wait_for(1).await;
    let other = server.experiment(draft("other")).await;
    let waiting = why(&server, other, 1, &busy).await["verdict"].clone();
    let expected = json!({"is": "waiting", "for": "turn", "max_in_flight": 1, "rate_limit": null, "pending": 3});
    assert_eq!(waiting, expected);
    slow.release();
    delivery(&server, &busy, 2, "delivered").await;
    let ended = why(&server, id, 1, &busy).await;
    assert_eq!((&ended["verdict"]["is"], ended["verdict"]["at"].is_string()), (&json!("delivered"), true));
    server.stop().await;
}

async fn those_that_ended_say_how(database: Database) {
    let (server, failing) = (Server::start(&database).await, Receiver::start().await);
    failing.answer(|_| Reply::Status(500));
    let (once, _) = subscribe_with(&server, json!({"url": failing.url("/"), "retry_schedule": []})).await;
    let (off, _) = subscribe_with(&server, json!({"url": failing.url("/"), "enabled": false})).await;
    let id = server.experiment(draft("k")).await;
    delivery(&server, &once, 1, "exhausted").await;
    assert_eq!(why(&server, id, 1, &once).await["verdict"], json!({"is": "exhausted", "attempts": 1}));
    let pending = delivery(&server, &off, 1, "pending").await["id"].as_str().unwrap().to_owned();
    server.post(&format!("/deliveries/{pending}/cancel"), Value::Null).await.expect(200);
    let cancelled = why(&server, id, 1, &off).await["verdict"].clone();
    assert_eq!(cancelled, json!({"is": "cancelled", "reason": "cancelled by hand"}));
    server.stop().await;
}

on_both!(for_its_endpoint_its_retry_its_order_its_turn, those_that_ended_say_how);
