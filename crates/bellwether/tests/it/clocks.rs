//! The wall clock jumps an hour ahead and back, while deliveries flow, fail and are tried again: nothing is lost, sent twice,
//! or left waiting, for whatever waits goes by the clock that never jumps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether::domain::clock::{Clock, Timestamp};
use bellwether_testkit::clocks::{JumpingClock, ManualClock};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Receiver, Reply};
use serde_json::{Value, json};

use crate::api::{items, rename, subscribe_with};
use crate::server::{Server, draft};

const HOUR: i64 = 3_600_000_000;

/// Moves the clock on, a little at a time, until this holds of what `path` shows.
async fn advance_until(clock: &ManualClock, server: &Server, path: &str, holds: impl Fn(&Value) -> bool) {
    while !holds(&server.get(path).await) {
        clock.advance(Duration::from_secs(60));
    }
}

/// Nothing here takes hours, but that a retry comes after ten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_comes_when_its_time_has_come() {
    let clock = Arc::new(ManualClock::start());
    let database = Database::sqlite();
    let server = Server::by(crate::server::config(&database), clock.clone()).await;
    let receiver = Receiver::start().await;
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let (noted, at) = (arrivals.clone(), clock.clone());
    receiver.answer(move |request| {
        noted.lock().unwrap().push(at.now());
        Reply::Status(if request.attempt() == 1 { 500 } else { 204 })
    });
    let fields = json!({"url": receiver.url("/"), "retry_schedule": [36_000]});
    subscribe_with(&server, fields).await;
    server.experiment(draft("k")).await;
    let tried = |page: &Value| items(page).iter().any(|delivery| delivery["attempt_count"] == 1);
    advance_until(&clock, &server, "/deliveries", tried).await;
    let first = arrivals.lock().unwrap()[0];
    let due: Timestamp = items(&server.get("/deliveries").await)[0]["due_at"].as_str().unwrap().parse().unwrap();
    // Retries are spread a fifth around their time.
    let hours = |hours: u64| Duration::from_hours(hours);
    assert!(first.plus(hours(8)) <= due && due <= clock.now().plus(hours(12)), "failed at {first}, due at {due}");

    // What is due so much later is found by the lane's next look, within half a minute.
    let latest = due.plus(Duration::from_mins(2));
    advance_until(&clock, &server, "/deliveries", |_| clock.now() >= latest).await;
    assert_eq!(receiver.wait_for(2).await.len(), 2, "the clock stands still, so that it came by then");
    let second = arrivals.lock().unwrap()[1];
    assert!(due <= second, "due at {due}, sent at {second}");
    let delivered = |page: &Value| items(page).iter().any(|delivery| delivery["state"] == "delivered");
    advance_until(&clock, &server, "/deliveries", delivered).await;
    server.stop().await;
}

async fn an_hour_ahead_and_an_hour_back_change_nothing(database: Database) {
    let clock = Arc::new(JumpingClock::start());
    let server = Server::by(crate::server::config(&database), clock.clone()).await;
    let receiver = Receiver::start().await;
    // Every third event is refused the first time.
    receiver.answer(|request| {
        let is_refused = request.revision() % 3 == 0 && request.attempt() == 1;
        Reply::Status(if is_refused { 500 } else { 204 })
    });
    subscribe_with(&server, json!({"url": receiver.url("/"), "retry_schedule": [1, 1, 1]})).await;
    let mut ids = Vec::new();
    for key in ["a", "b"] {
        ids.push(server.experiment(draft(key)).await);
    }
    for (round, jump) in [HOUR, -2 * HOUR, HOUR].into_iter().enumerate() {
        for id in &ids {
            for turn in 0..3 {
                rename(&server, *id, &format!("{round}-{turn}")).await;
            }
        }
        // Some of it is on its way, refused or waiting just now.
        clock.jump(jump);
    }
    let received = receiver.wait_until(|received| received.iter().filter(|one| accepted(one)).count() == 20).await;
    for id in &ids {
        let own: Vec<_> =
            received.iter().filter(|one| accepted(one) && one.experiment() == *id).map(|one| one.revision()).collect();
        assert_eq!(own, (1..=10).collect::<Vec<_>>(), "in order, each once");
    }
    server.eventually("/deliveries?limit=250&state=delivered", |page| items(page).len() == 20).await;
    server.stop().await;
}

fn accepted(request: &bellwether_testkit::receiver::Received) -> bool {
    request.revision() % 3 != 0 || request.attempt() > 1
}

on_both!(an_hour_ahead_and_an_hour_back_change_nothing);
