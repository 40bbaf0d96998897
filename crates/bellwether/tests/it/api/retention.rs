//! What is older than the retention leaves; the log's cursors know, and its numbers go on.

use std::sync::Arc;
use std::time::Duration;

use bellwether::registry::Registry;
use bellwether_testkit::clocks::JumpingClock;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Receiver, Reply};
use serde_json::{Value, json};

use super::{items, rename, subscribe_with};
use crate::server::{Server, draft};

const HOUR: Duration = Duration::from_hours(1);
const HOUR_US: i64 = 3_600_000_000;

/// The numbers of the log after a cursor.
async fn cursors(server: &Server, after: i64) -> Vec<i64> {
    let page = server.get(&format!("/events?after={after}")).await;
    items(&page).iter().map(|item| item["cursor"].as_str().unwrap().parse().unwrap()).collect()
}

async fn old_deliveries_and_events_leave_and_the_log_goes_on(database: Database) {
    let clock = Arc::new(JumpingClock::start());
    let server = Server::by(crate::server::config(&database), clock.clone()).await;
    let receiver = Receiver::start().await;
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
    assert_eq!(registry.prune(HOUR).await.unwrap(), 0, "nothing is that old");
    assert_eq!(cursors(&server, 0).await, before);
    live_two_hours(registry, &clock).await;
    assert_eq!(registry.prune(HOUR).await.unwrap(), 3, "the three that were delivered");
    assert_eq!(server.get(&format!("/endpoints/{stuck}")).await["pending"], 0, "what was pending has expired");
    let expired = server.get("/deliveries").await;
    assert_eq!(items(&expired).len(), 3, "and is shown for as long again");
    assert!(items(&expired).iter().all(|one| one["state"] == "cancelled" && one["reason"] == "expired"), "{expired}");
    assert_eq!(cursors(&server, 0).await, before, "their events stay with them");
    live_two_hours(registry, &clock).await;
    assert_eq!(registry.prune(HOUR).await.unwrap(), 3 + 3, "three deliveries and three events");
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

/// Two hours pass, by both clocks.
pub async fn live_two_hours(registry: &Registry, clock: &JumpingClock) {
    clock.jump(2 * HOUR_US);
    for _ in 0..120 {
        registry.live(Duration::from_secs(60)).await.unwrap();
    }
}

/// A wall clock that is wrong by months, at a start or while running, makes nothing older than it is.
async fn a_wall_clock_that_jumps_removes_nothing(database: Database) {
    let clock = Arc::new(JumpingClock::start());
    let server = Server::by(crate::server::config(&database), clock.clone()).await;
    let receiver = Receiver::start().await;
    subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let (stuck, _) = subscribe_with(&server, json!({"url": receiver.url("/stuck"), "enabled": false})).await;
    server.experiment(draft("k")).await;
    receiver.wait_for(1).await;
    server.eventually("/deliveries?state=delivered", |page| items(page).len() == 1).await;
    live_two_hours(server.running().registry(), &clock).await;
    clock.jump(60 * 24 * HOUR_US);
    server.stop().await;
    let server = Server::by(crate::server::config(&database), clock.clone()).await;
    let registry = server.running().registry();
    // A month is kept, and two hours have been lived through.
    assert_eq!(registry.prune(Duration::from_hours(24 * 30)).await.unwrap(), 0);
    server.experiment(draft("ahead")).await;
    live_two_hours(registry, &clock).await;
    clock.jump(-60 * 24 * HOUR_US);
    server.experiment(draft("back")).await;
    receiver.wait_for(3).await;
    server.eventually("/deliveries?state=delivered", |page| items(page).len() == 3).await;
    registry.live(Duration::ZERO).await.unwrap();
    assert_eq!(registry.prune(HOUR).await.unwrap(), 1, "the first is four hours old, as they were lived through");
    assert_eq!(items(&server.get("/deliveries?state=delivered").await).len(), 2);
    assert_eq!(server.get(&format!("/endpoints/{stuck}")).await["pending"], 2);
    server.stop().await;
}

/// What expired can be had all the same.
async fn what_expired_is_recovered(database: Database) {
    let clock = Arc::new(JumpingClock::start());
    let server = Server::by(crate::server::config(&database), clock.clone()).await;
    let receiver = Receiver::start().await;
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "enabled": false})).await;
    server.experiment(draft("k")).await;
    let registry = server.running().registry();
    live_two_hours(registry, &clock).await;
    registry.prune(HOUR).await.unwrap();
    let path = format!("/endpoints/{endpoint}");
    assert_eq!(server.get(&path).await["pending"], 0);
    server.post(&format!("{path}/enable"), json!({"from": "stopped"})).await.expect(200);
    assert!(receiver.received().is_empty());
    // The receiver is still down: what was recovered does not expire again for that.
    receiver.answer(|_| Reply::Status(503));
    server.post(&format!("{path}/recover"), json!({"since": "2020-01-01T00:00:00Z"})).await.expect(202);
    receiver.wait_for(1).await;
    registry.prune(HOUR).await.unwrap();
    assert_eq!(server.get(&path).await["pending"], 1);
    receiver.answer(|_| Reply::Status(204));
    assert_eq!(receiver.wait_for(2).await.len(), 2);
    server.eventually("/deliveries?state=delivered", |page| items(page).len() == 1).await;
    server.stop().await;
}

on_both!(
    old_deliveries_and_events_leave_and_the_log_goes_on,
    a_wall_clock_that_jumps_removes_nothing,
    what_expired_is_recovered,
);
