//! Receivers that fail: retries, order, exhaustion, redirects, dropped connections, slowness.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Received, Receiver, Reply};
use serde_json::{Value, json};

use super::{items, rename, subscribe, subscribe_with};
use crate::server::{Server, draft};

/// The endpoint's only delivery, with its attempts, once it is in `state`.
async fn ended(server: &Server, endpoint: &str, state: &str) -> Value {
    let path = format!("/deliveries?endpoint={endpoint}&state={state}");
    let page = server.eventually(&path, |page| !items(page).is_empty()).await;
    server.get(&format!("/deliveries/{}", items(&page)[0]["id"].as_str().unwrap())).await
}

fn of(received: &[Received], experiment: i64) -> Vec<(i64, u32)> {
    let own = received.iter().filter(|request| request.experiment() == experiment);
    own.map(|request| (request.revision(), request.attempt())).collect()
}

/// Two failures hold back the experiment's later events, and nobody else's.
async fn a_failed_delivery_is_tried_again_in_order(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|request| {
        let fails = request.experiment() == 1 && request.revision() == 1 && request.attempt() < 3;
        Reply::Status(if fails { 503 } else { 204 })
    });
    let (endpoint, secret) = subscribe(&server, &receiver.url("/")).await;
    let failing = server.experiment(draft("failing")).await;
    assert_eq!(failing, 1);
    rename(&server, failing, "second").await;
    receiver.wait_for(1).await;
    let other = server.experiment(draft("other")).await;
    rename(&server, other, "second").await;
    let received = receiver.wait_until(|received| of(received, failing).len() >= 4).await;
    assert_eq!(of(&received, failing), [(1, 1), (1, 2), (1, 3), (2, 1)]);
    assert_eq!(of(&received, other), [(1, 1), (2, 1)]);
    let last_of_other = received.iter().rposition(|request| request.experiment() == other).unwrap();
    let third = received.iter().position(|request| request.attempt() == 3).unwrap();
    assert!(last_of_other < third, "the other experiment did not wait");
    received.iter().for_each(|request| drop(request.verify(&secret)));
    let ids: Vec<_> = received.iter().filter(|r| r.experiment() == failing).map(|r| r.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "the id stays on every attempt: {ids:?}");

    let path = format!("/deliveries?endpoint={endpoint}&state=delivered");
    let page = server.eventually(&path, |page| items(page).len() == 4).await;
    let retried = items(&page).iter().find(|delivery| delivery["attempt_count"] == 3).expect("one took three attempts");
    let delivery = server.get(&format!("/deliveries/{}", retried["id"].as_str().unwrap())).await;
    let attempts = delivery["attempts"].as_array().unwrap();
    let codes: Vec<_> = attempts.iter().map(|attempt| attempt["status_code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [503, 503, 204]);
    assert_eq!((&attempts[0]["error_class"], &attempts[2]["error_class"]), (&json!("status"), &Value::Null));
    server.stop().await;
}

async fn after_the_schedule_it_is_exhausted(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|request| Reply::Status(if request.revision() == 1 { 500 } else { 200 }));
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "retry_schedule": [1]})).await;
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "b").await;
    let delivery = ended(&server, &endpoint, "exhausted").await;
    assert_eq!((&delivery["revision"], &delivery["attempt_count"]), (&json!(1), &json!(2)));
    assert!(delivery["ended_at"].is_string());
    let received = receiver.wait_for(3).await;
    assert_eq!(of(&received, id), [(1, 1), (1, 2), (2, 1)], "the next goes when it is given up");
    server.stop().await;
}

async fn a_redirect_is_a_failure_and_not_followed(database: Database) {
    let (server, receiver, elsewhere) =
        (Server::start(&database).await, Receiver::start().await, Receiver::start().await);
    let location = elsewhere.url("/");
    receiver.answer(move |_| Reply::Redirect(location.clone()));
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "retry_schedule": []})).await;
    server.experiment(draft("k")).await;
    let delivery = ended(&server, &endpoint, "exhausted").await;
    assert_eq!((&delivery["attempts"][0]["status_code"], &delivery["attempt_count"]), (&json!(307), &json!(1)));
    server.stop().await;
    assert_eq!((receiver.received().len(), elsewhere.received().len()), (1, 0));
}

async fn dropped_and_refused_connections_are_failures_with_their_reason(database: Database) {
    let (server, receiver, mut dead) =
        (Server::start(&database).await, Receiver::start().await, Receiver::start().await);
    receiver.answer(|_| Reply::Drop);
    dead.refuse().await;
    let (dropping, _) =
        subscribe_with(&server, json!({"url": receiver.url("/?token=t0psecr3t"), "retry_schedule": []})).await;
    let (refusing, _) =
        subscribe_with(&server, json!({"url": dead.url("/?token=t0psecr3t"), "retry_schedule": []})).await;
    server.experiment(draft("k")).await;
    for endpoint in [&dropping, &refusing] {
        let attempt = ended(&server, endpoint, "exhausted").await["attempts"][0].clone();
        assert_eq!(attempt["status_code"], Value::Null, "{attempt}");
        assert!(attempt["error_class"].is_string() && attempt["error"].is_string(), "{attempt}");
        assert!(!attempt.to_string().contains("t0psecr3t"), "{attempt}");
    }
    let refused = ended(&server, &refusing, "exhausted").await;
    assert_eq!(refused["attempts"][0]["error_class"], "connect");
    server.stop().await;
}

/// While one endpoint does not answer, another gets everything; and of one experiment one request is under way.
async fn a_slow_endpoint_holds_up_nobody_else(database: Database) {
    let (server, slow, quick) = (Server::start(&database).await, Receiver::start().await, Receiver::start().await);
    slow.answer(|_| Reply::Held(200));
    let (endpoint, _) = subscribe(&server, &slow.url("/")).await;
    subscribe(&server, &quick.url("/")).await;
    let id = server.experiment(draft("k")).await;
    for name in ["b", "c", "d"] {
        rename(&server, id, name).await;
    }
    let received = quick.wait_for(4).await;
    assert_eq!(of(&received, id), [(1, 1), (2, 1), (3, 1), (4, 1)]);
    assert_eq!(of(&slow.wait_for(1).await, id), [(1, 1)], "the next waits for the answer");
    slow.release();
    assert_eq!(of(&slow.wait_for(4).await, id), [(1, 1), (2, 1), (3, 1), (4, 1)]);
    server.eventually(&format!("/deliveries?endpoint={endpoint}&state=delivered"), |page| items(page).len() == 4).await;
    server.stop().await;
}

/// Many experiments changed at once: each one's events come in its order, every one once.
async fn many_experiments_keep_their_orders(database: Database) {
    const EXPERIMENTS: usize = 20;
    const EDITS: usize = 10;
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    subscribe(&server, &receiver.url("/")).await;
    let server = std::sync::Arc::new(server);
    let mut editors = tokio::task::JoinSet::new();
    for i in 0..EXPERIMENTS {
        let server = server.clone();
        editors.spawn(async move {
            let id = server.experiment(draft(&format!("k{i}"))).await;
            for edit in 0..EDITS {
                rename(&server, id, &format!("edit {edit}")).await;
            }
            id
        });
    }
    let ids = editors.join_all().await;
    let received = receiver.wait_for(EXPERIMENTS * (EDITS + 1)).await;
    for id in ids {
        let expected: Vec<_> = (1..=EDITS as i64 + 1).map(|revision| (revision, 1)).collect();
        assert_eq!(of(&received, id), expected);
    }
    std::sync::Arc::into_inner(server).expect("nobody else holds it").stop().await;
    assert_eq!(receiver.received().len(), EXPERIMENTS * (EDITS + 1));
}

on_both!(
    a_failed_delivery_is_tried_again_in_order,
    after_the_schedule_it_is_exhausted,
    a_redirect_is_a_failure_and_not_followed,
    dropped_and_refused_connections_are_failures_with_their_reason,
    a_slow_endpoint_holds_up_nobody_else,
    many_experiments_keep_their_orders,
);
