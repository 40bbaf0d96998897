//! How many values a statement takes, and how many statements stay prepared.

use bellwether::domain::delivery::Origin;
use bellwether::domain::id::DeliveryId;
use bellwether::params;
use bellwether::store::{deliveries, execute_all, experiments};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;

use super::*;

/// More endpoints want a change than a statement takes values.
async fn an_event_is_owed_to_many(database: Database) {
    const MANY: u32 = 70_000;
    let db = database.open().await;
    let id = new_experiment(&db, "k").await;
    let experiment = read(&db, move |tx| experiments::get(tx, id)).await.unwrap().unwrap();
    let event = event_of(&experiment, 1, EventType::StatusUpdated, 1);
    let owed: Vec<_> = (1..=MANY).map(|lane| (DeliveryId::of_event(event.id, lane), lane)).collect();
    write(&db, move |tx| {
        let mut writes = vec![changes::inserting(event.experiment_id, &change(1))?, events::inserting(&event)];
        writes.extend(deliveries::inserting(tx.dialect(), &event, Origin::Change, event.occurred_at, &owed));
        execute_all(tx, &writes)
    })
    .await
    .unwrap();
    let sql =
        "SELECT u.lane FROM deliveries d JOIN undelivered u ON u.delivery_id = d.id AND u.lane = d.lane ORDER BY d.id";
    let lanes: Vec<u32> = column(&db, sql, "lane").await;
    assert!(lanes.iter().copied().eq(1..=MANY), "{} of {MANY} are there, or others", lanes.len());
    assert!(read(&db, |tx| events::get(tx, EventId::of(1))).await.unwrap().is_some());
}

/// The server lets go of statements that are asked for no more. On SQLite the same is a matter of the process's memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_many_shapes_are_let_go() {
    let database = Database::postgres();
    let db = database.open().await;
    let kept = write(&db, |tx| {
        for shape in 0_i64..1000 {
            let sql = format!("SELECT {shape} + CAST($1 AS BIGINT) AS sum");
            let sums: Vec<i64> = query_as(tx, "t", &sql, params![1_i64], |row| row.get("sum"))?;
            assert_eq!(sums, [shape + 1]);
        }
        let sql = "SELECT COUNT(*) AS count FROM pg_prepared_statements";
        query_as(tx, "pg_prepared_statements", sql, &[], |row| row.get::<i64>("count"))
    })
    .await;
    let kept = kept.unwrap();
    assert!((1..=512).contains(&kept[0]), "{kept:?} statements are prepared");
}

on_both!(an_event_is_owed_to_many);
