//! What is older than the retention leaves; the log's cursors know, and its numbers go on.

use std::time::Duration;

use bellwether::registry::Registry;
use serde_json::{Value, json};

use super::{items, rename, subscribe_with};
use crate::databases::{Database, on_both};
use crate::receiver::Receiver;
use crate::server::{Server, draft};

/// The numbers of the log after a cursor.
async fn cursors(server: &Server, after: i64) -> Vec<i64> {
    let page = server.get(&format!("/events?after={after}")).await;
    items(&page).iter().map(|item| item["cursor"].as_str().unwrap().parse().unwrap()).collect()
}

async fn old_deliveries_and_events_leave_and_the_log_goes_on(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let (stuck, _) = subscribe_with(&server, json!({"url": receiver.url("/stuck"), "enabled": false})).await;
    let id = server.experiment(draft("k")).await;
    for name in ["b", "c"] {
        rename(&server, id, name).await;
    }
    receiver.wait_for(3).await;
    server.eventually("/deliveries?state=delivered", |page| items(page).len() == 3).await;
    server.eventually("/events", |page| items(page).len() == 3).await;
    let before = cursors(&server, 0).await;

    let registry = server.running().registry();
    assert_eq!(registry.prune(Duration::from_secs(3600)).await.unwrap(), 0, "nothing is that old");
    assert_eq!(cursors(&server, 0).await, before);
    pass_a_millisecond(registry);
    assert_eq!(registry.prune(Duration::ZERO).await.unwrap(), 3, "the three that were delivered");
    assert_eq!(server.get(&format!("/endpoints/{stuck}")).await["pending"], 0, "what was pending has expired");
    let expired = server.get("/deliveries").await;
    assert_eq!(items(&expired).len(), 3, "and is shown for as long again");
    assert!(items(&expired).iter().all(|one| one["state"] == "cancelled" && one["reason"] == "expired"), "{expired}");
    assert_eq!(cursors(&server, 0).await, before, "their events stay with them");
    pass_a_millisecond(registry);
    assert_eq!(registry.prune(Duration::ZERO).await.unwrap(), 3 + 3, "three deliveries and three events");
    assert!(items(&server.get("/deliveries").await).is_empty());
    let gone = server.call_as(crate::server::ADMIN_KEY, http::Method::GET, "/events?after=1", Value::Null).await;
    assert_eq!(gone.expect(410)["type"], "urn:bellwether:problem:cursor-gone");
    let history = server.get(&format!("/experiments/{id}/history")).await;
    assert_eq!(items(&history).len(), 3, "the history stays");

    rename(&server, id, "d").await;
    server.eventually("/events", |page| !items(page).is_empty()).await;
    let last = *before.last().unwrap();
    assert_eq!(cursors(&server, last).await, [last + 1], "numbers are not given twice");
    server.stop().await;
}

/// The grain of ids: what was made or ended until now is older afterwards.
fn pass_a_millisecond(registry: &Registry) {
    let begun = registry.clock().now().as_micros() / 1000;
    while registry.clock().now().as_micros() / 1000 == begun {}
}

on_both!(old_deliveries_and_events_leave_and_the_log_goes_on);
