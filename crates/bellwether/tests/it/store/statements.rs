//! How many values a statement takes, and how many statements stay prepared.

use bellwether::id::{DeliveryId, EndpointId};
use bellwether::params;
use bellwether::store::deliveries::{self, Origin};
use bellwether::store::{experiments, together};

use super::*;
use crate::databases::{Database, on_both};

/// More endpoints want a change than a statement takes values.
async fn an_event_is_owed_to_many(database: Database) {
    const MANY: u128 = 33_000;
    let db = database.open().await;
    let id = new_experiment(&db, "k").await;
    let experiment = read(&db, move |tx| experiments::get(tx, id)).await.unwrap().unwrap();
    let event = event_of(&experiment, 1, EventType::StatusUpdated, 1);
    let owed: Vec<_> = (1..=MANY).map(|id| (DeliveryId::of(id), EndpointId::of(id))).collect();
    let expected = owed.clone();
    write(&db, move |tx| {
        let mut writes = vec![changes::inserting(event.experiment_id, &change(1))?, events::inserting(&event)];
        writes.extend(deliveries::inserting(tx.dialect(), &event, Origin::Change, event.occurred_at, &owed));
        together(tx, &writes)
    })
    .await
    .unwrap();
    let found = read(&db, |tx| deliveries::list_of_event(tx, EventId::of(1))).await.unwrap();
    let found: Vec<_> = found.iter().map(|delivery| (delivery.id, delivery.endpoint_id)).collect();
    assert!(found == expected, "{} of {MANY} are there, or others", found.len());
    assert!(read(&db, |tx| events::get(tx, EventId::of(1))).await.unwrap().is_some());
}

/// The server lets go of statements that are asked for no more. On SQLite the same is a matter of the process's memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_many_shapes_are_let_go() {
    let database = Database::postgres();
    let db = database.open().await;
    let kept = write(&db, |tx| {
        for shape in 0_i64..1000 {
            let rows = tx.query(&format!("SELECT {shape} + CAST($1 AS BIGINT) AS sum"), params![1_i64])?;
            assert_eq!(rows[0].get::<i64>("sum")?, shape + 1);
        }
        tx.query("SELECT COUNT(*) AS count FROM pg_prepared_statements", &[])
    })
    .await;
    let kept: i64 = kept.unwrap()[0].get("count").unwrap();
    assert!((1..=512).contains(&kept), "{kept} statements are prepared");
}

on_both!(an_event_is_owed_to_many);
