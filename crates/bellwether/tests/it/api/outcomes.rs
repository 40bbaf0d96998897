//! What came of an attempt is recorded, whatever the database says to it; and what was learned before an edit holds no more.

use bellwether::domain::health::Health;
use bellwether::registry::Report;
use bellwether::store::{Tx, lanes};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Receiver, Reply};
use serde_json::{Value, json};

use super::locks::{outcome, owned_lane};
use super::{delivery, rename, subscribe_with};
use crate::server::{Server, draft};
use crate::store::at;

/// Has the database refuse attempts, as a damaged index or a full table space may.
async fn refuse(server: &Server, database: &Database, condition: &str) {
    let statements = if database.url().is_some() {
        vec![
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger AS $x$ BEGIN RAISE EXCEPTION 'refused'; END $x$ LANGUAGE plpgsql".to_owned(),
            format!("CREATE TRIGGER refusal BEFORE INSERT ON attempts FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"),
        ]
    } else {
        vec![format!(
            "CREATE TRIGGER refusal BEFORE INSERT ON attempts WHEN {condition} BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )]
    };
    run(server, statements).await;
}

async fn take_again(server: &Server, database: &Database) {
    let on = if database.url().is_some() { " ON attempts" } else { "" };
    run(server, vec![format!("DROP TRIGGER refusal{on}")]).await;
}

async fn run(server: &Server, statements: Vec<String>) {
    let work = move |tx: &mut dyn Tx| statements.iter().try_for_each(|sql| tx.execute(sql, &[]).map(drop));
    server.running().registry().db().write(work).await.unwrap();
}

async fn what_a_receiver_says_keeps_no_outcome_from_being_recorded(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|_| Reply::Status(503));
    refuse(&server, &database, "NEW.error IS NOT NULL").await;
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "retry_schedule": []})).await;
    let id = server.experiment(draft("k")).await;
    let ended = delivery(&server, &endpoint, 1, "exhausted").await;
    let shown = server.get(&format!("/deliveries/{}", ended["id"].as_str().unwrap())).await;
    let attempt = &shown["attempts"][0];
    assert_eq!((&attempt["status_code"], &attempt["error"]), (&json!(503), &Value::Null), "{shown}");
    rename(&server, id, "second").await;
    delivery(&server, &endpoint, 2, "exhausted").await;
    server.stop().await;
    assert_eq!(receiver.received().len(), 2, "each once");
}

/// Refused again and again, it counts as under way: it is not sent again, the others go on, and in the end it is recorded.
async fn what_is_refused_is_tried_until_it_is_recorded(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|request| Reply::Status(if request.experiment() == 1 { 200 } else { 201 }));
    refuse(&server, &database, "NEW.status_code = 200").await;
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let refused = server.experiment(draft("refused")).await;
    assert_eq!(refused, 1);
    receiver.wait_for(1).await;
    let other = server.experiment(draft("other")).await;
    rename(&server, other, "second").await;
    delivery(&server, &endpoint, 2, "delivered").await;
    delivery(&server, &endpoint, 1, "pending").await;
    take_again(&server, &database).await;
    let pending = format!("/deliveries?endpoint={endpoint}&state=pending");
    server.eventually(&pending, |page| super::items(page).is_empty()).await;
    server.stop().await;
    assert_eq!(receiver.received().len(), 3, "nothing was sent twice");
}

/// An outcome is on its way while the endpoint is edited: what it says of the endpoint's health was of another endpoint.
async fn an_edit_is_not_undone_by_an_outcome_on_its_way(database: Database) {
    let server = Server::start(&database).await;
    let fields = json!({"url": "https://127.0.0.1:9/", "enabled": false});
    let (endpoint, _) = subscribe_with(&server, fields).await;
    let id = endpoint.parse().unwrap();
    let registry = server.running().registry();
    let lane = owned_lane(&server, id).await;
    let report = |endpoint_version: i64, number: u32| {
        let failed_with = Some("status".into());
        let health = Health { failure_count: 7, failing_since: Some(at(1)), failed_with, ..Health::default() };
        let mut outcome = outcome(lane.number);
        outcome.attempt.number = number;
        let (health_change, health, is_pressing) = (None, Some(health), true);
        vec![Box::new(Report {
            endpoint_id: id,
            fence: lane.fence,
            endpoint_version,
            outcome,
            health,
            health_change,
            is_pressing,
        })]
    };
    let failures = async || {
        let lane = registry.db().read(move |tx: &mut dyn Tx| lanes::get(tx, id)).await.unwrap().unwrap();
        lane.health.failure_count
    };
    server.patch(&format!("/endpoints/{endpoint}"), json!({"description": "edited"})).await.expect(200);
    registry.record_outcomes(report(1, 1).into()).await.unwrap();
    assert_eq!(failures().await, 0, "it was of version 1");
    registry.record_outcomes(report(2, 2).into()).await.unwrap();
    assert_eq!(failures().await, 7);
    server.stop().await;
}

on_both!(
    what_a_receiver_says_keeps_no_outcome_from_being_recorded,
    what_is_refused_is_tried_until_it_is_recorded,
    an_edit_is_not_undone_by_an_outcome_on_its_way,
);
