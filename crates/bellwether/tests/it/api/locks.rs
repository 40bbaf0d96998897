//! What locks on PostgreSQL must not do: silence a node, make two transactions wait for each other, let two nodes each
//! believe that the other keeps a last thing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether::config::Config;
use bellwether::domain::delivery::{Attempt, DeliveryState, Outcome, Position};
use bellwether::domain::health::HealthChange;
use bellwether::domain::id::{DeliveryId, EndpointId};
use bellwether::registry::Report;
use bellwether::store::{Db, StoreError, Tx, endpoints, lanes};
use bellwether_testkit::databases::Database;
use bellwether_testkit::receiver::PATIENCE;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::subscribe_with;
use crate::server::{ADMIN_KEY, Server, config, draft};
use crate::store::{Held, at, column};

const WAITING: &str = "SELECT CAST(COUNT(*) AS BIGINT) AS count FROM pg_stat_activity \
                       WHERE wait_event_type = 'Lock' AND datname = current_database()";

async fn wait_until(db: &Db, sql: &'static str, name: &'static str, holds: impl Fn(i64) -> bool) {
    let waiting = async { while !column::<i64>(db, sql, name).await.first().is_some_and(|count| holds(*count)) {} };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{sql} does not come to what it should"));
}

/// Edits that wait for a row take all the connections for changes. The heartbeat has one of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_that_wait_for_a_lock_do_not_silence_the_node() {
    let database = Database::postgres();
    let server = Arc::new(Server::start(&database).await);
    let id = server.experiment(draft("k")).await;
    let other = database.open().await;
    let held = Held::open(&other, move |tx: &mut dyn Tx| {
        tx.query(&format!("SELECT id FROM experiments WHERE id = {id} FOR UPDATE"), &[], &mut |_| Ok(()))
    })
    .await;
    let mut edits = JoinSet::new();
    for edit in 0..16 {
        let server = server.clone();
        edits.spawn(
            async move { server.patch(&format!("/experiments/{id}"), json!({"name": format!("{edit}")})).await },
        );
    }
    wait_until(&other, WAITING, "count", |count| count >= 4).await;
    let beats = "SELECT MAX(heartbeat) AS beats FROM nodes";
    let before = column::<i64>(&other, beats, "beats").await[0];
    wait_until(&other, beats, "beats", |now| now >= before + 2).await;
    held.commit_when_waited_for(&other).await.unwrap();
    for answer in edits.join_all().await {
        assert!([200, 503].contains(&answer.status), "{answer:?}");
    }
    Arc::into_inner(server).expect("nobody else holds it").stop().await;
}

/// Who waits too long for a row is told so, and has changed nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_does_not_wait_for_ever() {
    let database = Database::postgres();
    let server = Server::start(&database).await;
    let id = server.experiment(draft("k")).await;
    let other = database.open().await;
    let held = Held::open(&other, move |tx: &mut dyn Tx| {
        // What PostgreSQL waits for meanwhile, it may wait for longer than it lets a transaction be silent.
        tx.query("SET LOCAL idle_in_transaction_session_timeout = 0", &[], &mut |_| Ok(()))?;
        tx.query(&format!("SELECT id FROM experiments WHERE id = {id} FOR UPDATE"), &[], &mut |_| Ok(()))
    })
    .await;
    let answer = server.patch(&format!("/experiments/{id}"), json!({"name": "late"})).await;
    assert_eq!(answer.expect(503)["type"], "urn:bellwether:problem:unavailable");
    held.release().await.unwrap();
    assert_eq!(server.get(&format!("/experiments/{id}")).await["name"], "Draft");
    server.stop().await;
}

/// What a run's end needs is held for longer than anybody waits for a lock: what the run has found is not lost.
#[cfg(feature = "embedded")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_run_is_recorded_once_it_can_be() {
    let database = Database::postgres();
    let server = Server::start(&database).await;
    let definitions = crate::server::Definitions::make(&server, &database).await;
    let assignments =
        "user_id,at,experiment,variation\n1,2026-03-02T00:00:00Z,k,control\n2,2026-03-02T00:00:00Z,k,red\n";
    std::fs::write(database.folder().join("files/assignments.csv"), assignments).unwrap();
    let id = server.experiment(definitions.experiment("k")).await;
    server.post(&format!("/experiments/{id}/start"), Value::Null).await.expect(200);
    let other = database.open().await;
    let held = Held::open(&other, move |tx: &mut dyn Tx| {
        tx.query("SET LOCAL idle_in_transaction_session_timeout = 0", &[], &mut |_| Ok(()))?;
        tx.execute("LOCK TABLE results IN EXCLUSIVE MODE", &[]).map(drop)
    })
    .await;
    let run = server.post(&format!("/experiments/{id}/runs"), json!({})).await;
    let run = run.json()["id"].as_str().unwrap_or_else(|| panic!("{run:?}")).to_owned();
    wait_until(&other, WAITING, "count", |count| count >= 1).await;
    wait_until(&other, WAITING, "count", |count| count == 0).await;
    held.release().await.unwrap();
    let shown = server.eventually(&format!("/runs/{run}"), |run| run["ended_at"].is_string()).await;
    assert_eq!(shown["state"], "success", "{shown}");
    server.stop().await;
}

/// An edit holds the endpoint and is about to change its lane, while an outcome has something to say of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_and_edits_of_an_endpoint_lock_in_one_order() {
    let database = Database::postgres();
    let server = Server::start(&database).await;
    let fields = json!({"url": "https://127.0.0.1:9/", "enabled": false});
    let (endpoint, _) = subscribe_with(&server, fields).await;
    let id: EndpointId = endpoint.parse().unwrap();
    let registry = server.running().registry().clone();
    let lane = owned_lane(&server, id).await;
    let other = database.open().await;
    let (runs, vault) = (Arc::new(AtomicUsize::new(0)), registry.vault().clone());
    let counted = runs.clone();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let gone = std::sync::Mutex::new(gone);
    let edit = {
        let other = other.clone();
        tokio::spawn(async move {
            let work = move |tx: &mut dyn Tx| {
                counted.fetch_add(1, Ordering::SeqCst);
                endpoints::lock(tx, &vault, id)?.expect("it is there");
                let _ = begun.send(());
                let _ = gone.lock().unwrap().recv();
                lanes::revise(tx, id)
            };
            other.write::<_, StoreError, _>(work).await
        })
    };
    begins.recv().await.unwrap();
    let (endpoint_id, fence) = (id, lane.fence);
    let health_change = Some(HealthChange::GivenUp { reason: "the test says so".into() });
    let report = Report {
        endpoint_id,
        fence,
        endpoint_version: 1,
        outcome: outcome(lane.number),
        health: None,
        health_change,
        is_pressing: true,
    };
    let recording = tokio::spawn(async move { registry.record_outcomes(vec![Box::new(report)].into()).await });
    wait_until(&other, WAITING, "count", |count| count >= 1).await;
    drop(go);
    edit.await.unwrap().unwrap();
    recording.await.unwrap().unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1, "neither had to give way");
    server.stop().await;
}

/// The lane of an endpoint, once its node has it.
pub async fn owned_lane(server: &Server, id: EndpointId) -> lanes::LaneRow {
    let db = server.running().registry().db();
    let has_one_node = db.dialect().has_one_node();
    let looking = async {
        loop {
            let lane = db.read(move |tx: &mut dyn Tx| lanes::get(tx, id)).await.unwrap().expect("it is there");
            if has_one_node || lane.node_id.is_some() {
                return lane;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("its node takes it")
}

pub fn outcome(lane: u32) -> Outcome {
    let attempt = Attempt {
        number: 1,
        started_at: at(1),
        duration_us: 1,
        status_code: Some(500),
        error_class: Some("status".into()),
        error: None,
        request_headers: None,
        response_headers: None,
        response_body: None,
    };
    let key = Position { lane, delivery: DeliveryId::of(77), experiment: 7, revision: 1, ..Position::START };
    Outcome { position: key, attempt, state: DeliveryState::Pending, failure_count: 1, due_at: at(1), ended_at: None }
}

/// Has a transaction that has revoked a key wait in its commit for whoever holds this lock.
const MEETING: [&str; 2] = [
    "CREATE FUNCTION meet() RETURNS trigger AS $x$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $x$ \
     LANGUAGE plpgsql",
    "CREATE CONSTRAINT TRIGGER meeting AFTER UPDATE ON keys DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
     WHEN (NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION meet()",
];

/// Two nodes each revoke one of the last two admin keys at once. Neither commits before both have come as far as they come:
/// without a lock of their own each would have seen that the other key is still in force.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_cannot_revoke_the_last_two_admin_keys() {
    let database = Database::postgres();
    let secret_key = Some("07".repeat(32));
    let first = Server::with(Config { secret_key: secret_key.clone(), ..config(&database) }).await;
    let folder = database.folder().join("second");
    let second = Server::with(Config { secret_key, data: folder, ..config(&database) }).await;
    let made = first.post("/keys", json!({"name": "second", "role": "admin"})).await.expect(201);
    let (mine, other) = (ADMIN_KEY.split('_').nth(1).unwrap(), made["id"].as_str().unwrap().to_owned());
    let (mine, other_text) = (format!("key_{mine}"), made["key"].as_str().unwrap().to_owned());
    // Their uses are noted now, and not again while the test goes on.
    second.call_as(&other_text, Method::GET, "/keys", Value::Null).await.expect(200);
    let is_noted = |key: &Value| key["last_used_at"].is_string();
    first.eventually("/keys", |page| super::items(page).iter().all(is_noted)).await;
    let third = database.open().await;
    crate::store::write(&third, |tx| MEETING.iter().try_for_each(|sql| tx.execute(sql, &[]).map(drop))).await.unwrap();
    let held =
        Held::open(&third, |tx: &mut dyn Tx| tx.query("SELECT pg_advisory_xact_lock(4711)", &[], &mut |_| Ok(())))
            .await;
    let meeting = async {
        wait_until(&third, WAITING, "count", |count| count == 2).await;
        held.release().await.unwrap();
    };
    let (others, own) = (format!("/keys/{other}"), format!("/keys/{mine}"));
    let (one, another, ()) = tokio::join!(
        first.call_as(ADMIN_KEY, Method::DELETE, &others, Value::Null),
        second.call_as(&other_text, Method::DELETE, &own, Value::Null),
        meeting,
    );
    let mut statuses = [one.status, another.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409], "{one:?} {another:?}");
    let refused = if one.status == 409 { one } else { another };
    assert_eq!(refused.json()["type"], "urn:bellwether:problem:state");
    let left = "SELECT CAST(COUNT(*) AS BIGINT) AS count FROM keys WHERE role = 'admin' AND revoked_at IS NULL";
    assert_eq!(column::<i64>(&third, left, "count").await, [1]);
    second.stop().await;
    first.stop().await;
}
