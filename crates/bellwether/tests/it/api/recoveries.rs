//! Recovering what was exhausted, and replaying what was never owed: what is moved, how far it is, and stopping it.

use std::sync::{Mutex, mpsc};

use bellwether::store::{StoreError, Tx};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Receiver, Reply};
use serde_json::{Value, json};

use super::refusals::{invalid, problem};
use super::{delivery, items, rename, subscribe_with};
use crate::server::{Server, draft};

const LONG_AGO: &str = "2020-01-01T00:00:00Z";

async fn what_was_exhausted_is_recovered(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|_| Reply::Status(500));
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "retry_schedule": []})).await;
    let path = format!("/endpoints/{endpoint}");
    let id = server.experiment(draft("k")).await;
    for name in ["b", "c"] {
        rename(&server, id, name).await;
    }
    let exhausted = format!("/deliveries?endpoint={endpoint}&state=exhausted");
    server.eventually(&exhausted, |page| items(page).len() == 3).await;
    receiver.answer(|_| Reply::Status(204));

    let late = json!({"since": server.running().registry().clock().now()});
    let nothing = server.post(&format!("{path}/recover"), late).await.expect(202)["id"].clone();
    let nothing = format!("/recoveries/{}", nothing.as_str().unwrap());
    let nothing = server.eventually(&nothing, |recovery| recovery["state"] == "done").await;
    assert_eq!((&nothing["kind"], &nothing["moved"]), (&json!("recover"), &json!(0)), "all are older");

    let made = server.post(&format!("{path}/recover"), json!({"since": LONG_AGO})).await.expect(202);
    let recovery = format!("/recoveries/{}", made["id"].as_str().unwrap());
    let done = server.eventually(&recovery, |recovery| recovery["state"] == "done").await;
    assert_eq!((&done["examined"], &done["moved"]), (&json!(3), &json!(3)));
    assert!(done["ended_at"].is_string() && done["endpoint_id"] == json!(endpoint), "{done}");
    let received = receiver.wait_for(6).await;
    let again: Vec<_> = received[3..].iter().map(|request| (request.revision(), request.attempt())).collect();
    assert_eq!(again, [(1, 2), (2, 2), (3, 2)], "in order, and the attempts go on");
    let recovered = delivery(&server, &endpoint, 3, "delivered").await;
    assert_eq!((&recovered["attempt_count"], &recovered["due_at"]), (&json!(2), &Value::Null));
    assert_eq!(items(&server.get(&format!("{path}/recoveries")).await).len(), 2);
    problem(server.post(&format!("{recovery}/stop"), Value::Null).await, 409, "state");
    let history = server.get(&format!("{path}/history")).await;
    let actions: Vec<_> = items(&history).iter().map(|change| change["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["created", "recovery_requested", "recovery_requested"]);
    server.stop().await;
}

/// What the filter wants now and was never owed; what was owed is not sent again.
async fn what_was_never_owed_is_replayed(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let id = server.experiment(draft("before")).await;
    let fields = json!({"url": receiver.url("/"), "filter": {"experiment_keys": ["wanted"]}});
    let (endpoint, _) = subscribe_with(&server, fields).await;
    let wanted = server.experiment(draft("wanted")).await;
    let unwanted = server.experiment(draft("unwanted")).await;
    receiver.wait_for(1).await;
    let path = format!("/endpoints/{endpoint}");
    let filter = json!({"filter": {"experiment_keys": ["wanted", "before"]}});
    server.patch(&path, filter).await.expect(200);
    let made = server.post(&format!("{path}/replay"), json!({"since": LONG_AGO})).await.expect(202);
    let done = format!("/recoveries/{}", made["id"].as_str().unwrap());
    let done = server.eventually(&done, |recovery| recovery["state"] == "done").await;
    assert_eq!((&done["kind"], &done["examined"], &done["moved"]), (&json!("replay"), &json!(3), &json!(1)));
    receiver.wait_for(2).await;
    let page = format!("/deliveries?endpoint={endpoint}&state=delivered");
    let page = server.eventually(&page, |page| items(page).len() == 2).await;
    let replayed = items(&page).iter().find(|delivery| delivery["experiment_id"] == id).unwrap();
    assert_eq!(replayed["origin"], "replay");
    server.stop().await;
    let received: Vec<_> = receiver.received().iter().map(|request| request.experiment()).collect();
    assert_eq!(received, [wanted, id], "and nothing of {unwanted}");
}

async fn what_cannot_be_recovered_is_refused(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "enabled": false})).await;
    for kind in ["recover", "replay"] {
        let path = format!("/endpoints/{endpoint}/{kind}");
        invalid(server.post(&path, json!({"since": "2999-01-01T00:00:00Z"})).await, "since");
        invalid(server.post(&path, json!({"since": "yesterday"})).await, "since");
        problem(server.post(&path, json!({})).await, 422, "invalid");
        problem(server.post(&path, json!({"since": LONG_AGO, "until": LONG_AGO})).await, 422, "invalid");
        problem(server.post(&path, json!({"since": LONG_AGO})).await, 409, "state");
        let nobody = format!("/endpoints/ep_00000000000000000000000000/{kind}");
        problem(server.post(&nobody, json!({"since": LONG_AGO})).await, 404, "not-found");
    }
    problem(server.post("/recoveries/rcv_00000000000000000000000000/stop", Value::Null).await, 404, "not-found");
    assert!(items(&server.get(&format!("/endpoints/{endpoint}/recoveries")).await).is_empty());
    server.stop().await;
}

/// PostgreSQL has a connection for outcomes alone. While it is kept busy no recovery goes on, and all else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_and_it_can_be_stopped() {
    let database = Database::postgres();
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    server.experiment(draft("k")).await;
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let path = format!("/endpoints/{endpoint}");
    let (begun, begins) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = mpsc::channel::<()>();
    let (db, released, mut begins) = (server.running().registry().db().clone(), Mutex::new(released), begins);
    let busy = tokio::spawn(async move {
        db.write_outcomes(move |_: &mut dyn Tx| {
            let _ = begun.send(());
            let _ = released.lock().unwrap().recv();
            Ok::<_, StoreError>(())
        })
        .await
    });
    begins.recv().await.expect("the connection is busy");
    let first = server.post(&format!("{path}/replay"), json!({"since": LONG_AGO})).await.expect(202);
    let recovery = format!("/recoveries/{}", first["id"].as_str().unwrap());
    let second = server.post(&format!("{path}/recover"), json!({"since": LONG_AGO})).await;
    assert!(problem(second, 409, "state")["detail"].as_str().unwrap().contains("stop it first"));
    assert_eq!(server.get(&recovery).await["state"], "running");
    assert_eq!(server.post(&format!("{recovery}/stop"), Value::Null).await.expect(200)["state"], "stopped");
    release.send(()).unwrap();
    busy.await.unwrap().unwrap();
    // The next one shows that the first has moved nothing.
    let next = server.post(&format!("{path}/replay"), json!({"since": LONG_AGO})).await.expect(202);
    let next = format!("/recoveries/{}", next["id"].as_str().unwrap());
    assert_eq!(server.eventually(&next, |recovery| recovery["state"] == "done").await["moved"], 1);
    assert_eq!(server.get(&recovery).await["moved"], 0);
    server.stop().await;
}

on_both!(what_was_exhausted_is_recovered, what_was_never_owed_is_replayed, what_cannot_be_recovered_is_refused);
