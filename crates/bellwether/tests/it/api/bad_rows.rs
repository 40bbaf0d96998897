//! A row that cannot be read keeps the others from nothing; one that a newer program has written can be read.

use std::sync::Arc;
use std::time::Duration;

use bellwether::store::{StoreError, Tx};
use bellwether_testkit::clocks::JumpingClock;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Receiver, Reply};
use serde_json::{Value, json};

use super::retention::live_two_hours;
use super::{items, rename, subscribe_with};
use crate::server::{Server, draft};

const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// Changes rows behind the server's back.
async fn by_hand(server: &Server, sql: impl Into<String>) -> u64 {
    let sql = sql.into();
    server.running().registry().db().write(move |tx: &mut dyn Tx| tx.execute(&sql, &[])).await.unwrap()
}

/// A recovery whose row is damaged, before one that is not.
async fn one_recovery_does_not_stop_another(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    server.experiment(draft("before")).await;
    let (damaged, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "description": "damaged"})).await;
    let (sound, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    by_hand(
        &server,
        format!(
            "INSERT INTO recoveries (id, endpoint_id, kind, since, state, experiment_id, revision, examined, moved, actor, created_at) \
             VALUES ('rcv_00000000000000000000000001', '{damaged}', 'replay', 0, 'running', 0, 0, 0, 0, '{{nobody', 1)"
        ),
    )
    .await;
    let made = server.post(&format!("/endpoints/{sound}/replay"), json!({"since": LONG_AGO})).await.expect(202);
    let done = format!("/recoveries/{}", made["id"].as_str().unwrap());
    server.eventually(&done, |recovery| recovery["state"] == "done").await;
    receiver.wait_for(1).await;
    server.stop().await;
}

/// An event whose row is damaged, among those that are replayed.
async fn one_event_does_not_stop_a_replay(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let id = server.experiment(draft("k")).await;
    for name in ["b", "c"] {
        rename(&server, id, name).await;
    }
    assert_eq!(by_hand(&server, "UPDATE events SET type = 'from.the.future' WHERE revision = 2").await, 1);
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let made = server.post(&format!("/endpoints/{endpoint}/replay"), json!({"since": LONG_AGO})).await.expect(202);
    let done = format!("/recoveries/{}", made["id"].as_str().unwrap());
    let done = server.eventually(&done, |recovery| recovery["state"] == "done").await;
    assert_eq!((&done["examined"], &done["moved"]), (&json!(3), &json!(2)));
    receiver.wait_for(2).await;
    server.stop().await;
}

/// Tags and entity are those of the time of the event, though neither history nor experiment tells them any more.
async fn what_a_filter_asks_for_is_remembered_with_the_event(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let id = server.experiment(json!({"key": "k", "name": "n", "tags": ["growth"]})).await;
    server.patch(&format!("/experiments/{id}"), json!({"tags": ["other"]})).await.expect(200);
    rename(&server, id, "b").await;
    assert!(by_hand(&server, "DELETE FROM changes").await >= 3);
    let fields = json!({"url": receiver.url("/"), "filter": {"tags": ["growth"]}});
    let (endpoint, _) = subscribe_with(&server, fields).await;
    let made = server.post(&format!("/endpoints/{endpoint}/replay"), json!({"since": LONG_AGO})).await.expect(202);
    let done = format!("/recoveries/{}", made["id"].as_str().unwrap());
    let done = server.eventually(&done, |recovery| recovery["state"] == "done").await;
    // The edit that took the tag away is told to who asks for it, and nothing after that.
    assert_eq!((&done["examined"], &done["moved"]), (&json!(3), &json!(2)));
    assert_eq!(receiver.wait_for(2).await.iter().map(|one| one.revision()).collect::<Vec<_>>(), [1, 2]);
    // Those of an older version are looked up in the history, where there is one.
    by_hand(&server, "UPDATE events SET facts = NULL").await;
    let made = server.post(&format!("/endpoints/{endpoint}/replay"), json!({"since": LONG_AGO})).await.expect(202);
    let done = format!("/recoveries/{}", made["id"].as_str().unwrap());
    let done = server.eventually(&done, |recovery| recovery["state"] == "done").await;
    assert_eq!(&done["moved"], &json!(0));
    server.stop().await;
}

async fn one_delivery_does_not_stop_retention(database: Database) {
    let clock = Arc::new(JumpingClock::start());
    let server = Server::by(crate::server::config(&database), clock.clone()).await;
    let receiver = Receiver::start().await;
    receiver.answer(|_| Reply::Status(500));
    let fields = json!({"url": receiver.url("/"), "retry_schedule": []});
    subscribe_with(&server, fields).await;
    let id = server.experiment(draft("k")).await;
    for name in ["b", "c"] {
        rename(&server, id, name).await;
    }
    server.eventually("/deliveries?state=exhausted", |page| items(page).len() == 3).await;
    assert_eq!(by_hand(&server, "UPDATE undelivered SET attempt_count = 5000000000 WHERE revision = 1").await, 1);
    server.eventually("/events", |page| items(page).len() == 3).await;
    let registry = server.running().registry();
    live_two_hours(registry, &clock).await;
    assert_eq!(
        registry.prune(Duration::from_hours(1)).await.unwrap(),
        2 + 2,
        "those that can be read, and their events"
    );
    server.stop().await;
}

/// An experiment that is due and cannot be read, before one that is due and can.
async fn one_experiment_does_not_stop_the_schedule(database: Database) {
    let server = Server::start(&database).await;
    let definitions = crate::server::Definitions::make(&server, &database).await;
    let mut ids = Vec::new();
    for key in ["damaged", "sound"] {
        let id = server.experiment(definitions.experiment(key)).await;
        server.post(&format!("/experiments/{id}/start"), Value::Null).await.expect(200);
        ids.push(id);
    }
    by_hand(&server, format!("UPDATE experiments SET configuration = '{{', next_run_at = 1 WHERE id = {}", ids[0]))
        .await;
    by_hand(&server, format!("UPDATE experiments SET next_run_at = 2 WHERE id = {}", ids[1])).await;
    server.running().registry().request_scheduled_runs(10).await.unwrap();
    let runs = format!("/experiments/{}/runs", ids[1]);
    server.eventually(&runs, |page| !items(page).is_empty()).await;
    server.stop().await;
}

/// A run that waits and cannot be read, before one that can; and the same of runs that a process has left behind.
async fn one_run_does_not_stop_the_queue(database: Database) {
    let server = Server::start(&database).await;
    let definitions = crate::server::Definitions::make(&server, &database).await;
    let made = |experiment: i64, run: u32, state: &str, actor: &str| {
        let started = if state == "running" { "1" } else { "NULL" };
        format!(
            "INSERT INTO runs (id, experiment_id, mode, is_manual, state, actor, window_start, window_end, created_at, started_at, \
             is_data_updated, is_traffic_imbalance) \
             VALUES ('run_{run:026}', {experiment}, 'full', 1, '{state}', '{actor}', 0, 1, 1, {started}, 0, 0)"
        )
    };
    let mut runs = 0;
    for state in ["running", "queued"] {
        let mut sound = String::new();
        for (kind, actor) in [("damaged", "{nobody"), ("sound", r#"{"type":"system"}"#)] {
            let id = server.experiment(definitions.experiment(&format!("{state}-{kind}"))).await;
            runs += 1;
            assert_eq!(by_hand(&server, made(id, runs, state, actor)).await, 1);
            sound = format!("/experiments/{id}/runs");
        }
        server.eventually(&sound, |page| !items(page)[0]["ended_at"].is_null()).await;
    }
    server.stop().await;
}

/// As after a rollback: rows with fields that this program does not know. It reads them, and writes the fields back.
async fn what_a_newer_program_has_written_is_read_and_kept(database: Database) {
    let server = Server::start(&database).await;
    let id = server.experiment(draft("k")).await;
    let entity = server.make("/entities", json!({"name": "user"})).await;
    let fields = json!({"url": "https://127.0.0.1:9/", "enabled": false});
    let (endpoint, _) = subscribe_with(&server, fields).await;
    for (table, column) in [("experiments", "configuration"), ("entities", "body"), ("endpoints", "settings")] {
        let sql = format!("UPDATE {table} SET {column} = '{{\"from_the_future\":[7],' || SUBSTR({column}, 2)");
        assert_eq!(by_hand(&server, sql).await, 1);
    }
    for (path, edit) in [
        (format!("/experiments/{id}"), json!({"name": "edited"})),
        (format!("/entities/{entity}"), json!({"name": "edited"})),
        (format!("/endpoints/{endpoint}"), json!({"description": "edited"})),
    ] {
        assert!(!server.get(&path).await.to_string().contains("from_the_future"), "nobody is shown what it means");
        let edited = server.patch(&path, edit).await.expect(200);
        assert!(edited.to_string().contains("edited"), "{edited}");
        let refused = server.patch(&path, json!({"from_the_future": [8]})).await;
        assert_eq!(refused.expect(422)["type"], "urn:bellwether:problem:invalid", "the API is strict");
    }
    for (table, column) in [("experiments", "configuration"), ("entities", "body"), ("endpoints", "settings")] {
        let sql = format!("SELECT {column} AS text FROM {table}");
        let db = server.running().registry().db();
        let read =
            move |tx: &mut dyn Tx| bellwether::store::query_one(tx, "t", &sql, &[], |row| row.get::<String>("text"));
        let text = db.read::<_, StoreError, _>(read).await.unwrap().unwrap();
        assert!(text.contains("\"from_the_future\":[7]") && text.contains("edited"), "{text}");
    }
    server.stop().await;
}

on_both!(
    one_recovery_does_not_stop_another,
    one_event_does_not_stop_a_replay,
    what_a_filter_asks_for_is_remembered_with_the_event,
    one_delivery_does_not_stop_retention,
    one_experiment_does_not_stop_the_schedule,
    one_run_does_not_stop_the_queue,
    what_a_newer_program_has_written_is_read_and_kept,
);
