//! What retention removes leaves nothing behind, whatever is written meanwhile: no foreign key sees to it.

use std::sync::Arc;

use bellwether::domain::delivery::{DeliveryState, Origin};
use bellwether::domain::id::DeliveryId;
use bellwether::platform::secret::Vault;
use bellwether::store::{deliveries, event_log, experiments, outcomes, retention};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use tokio::task::JoinHandle;

use super::delivery::{endpoint, event_id, outcome, save};
use super::*;

const EVENT: EventId = event_id(110);
const DELIVERY: DeliveryId = DeliveryId::of_event(EVENT, 1);

/// An event in the log with a delivery that an attempt has ended; all of it is old.
async fn with_an_ended_delivery(db: &Db) -> Event {
    let id = new_experiment(db, "k").await;
    let experiment = read(db, move |tx| experiments::get(tx, id)).await.unwrap().unwrap();
    let event = event_of(&experiment, u128::from_be_bytes(EVENT.to_bytes()), EventType::StatusUpdated, 1);
    let writing = event.clone();
    let vault = Arc::new(Vault::with_key([7; 32]));
    save(db, &vault, &endpoint(1, "https://example.com")).await;
    write(db, move |tx| {
        record(tx, &writing)?;
        deliveries::insert(tx, &writing, Origin::Change, at(1), &[(DELIVERY, 1)])?;
        outcomes::record(tx, &[&outcome(111, 1, DeliveryState::Exhausted)])
    })
    .await
    .unwrap();
    if !db.dialect().numbers_events_in_transaction() {
        write(db, |tx| event_log::number_committed(tx, 9)).await.unwrap();
    }
    event
}

fn prune_deliveries(tx: &mut dyn Tx) -> Answered<u64> {
    Ok(retention::prune_deliveries(tx, None, at(1_000_000), at(2_000_000), 9)?.removed)
}

fn prune_events(tx: &mut dyn Tx) -> Answered<u64> {
    Ok(retention::prune_events(tx, 0, at(1_000_000), 9)?.0)
}

fn record_late(tx: &mut dyn Tx) -> Answered<()> {
    outcomes::record(tx, &[&outcome(111, 2, DeliveryState::Delivered)])
}

async fn attempts(db: &Db) -> Vec<u32> {
    let attempts = read(db, |tx| outcomes::attempts(tx, DELIVERY, 9)).await.unwrap();
    attempts.iter().map(|attempt| attempt.number).collect()
}

fn begin<T: Send + 'static>(db: &Db, work: fn(&mut dyn Tx) -> Answered<T>) -> JoinHandle<Answered<T>> {
    let db = db.clone();
    tokio::spawn(async move { write(&db, work).await })
}

async fn deliveries_leave_with_their_attempts_and_events_after_them(database: Database) {
    let db = database.open().await;
    with_an_ended_delivery(&db).await;
    write(&db, record_late).await.unwrap();
    assert_eq!(attempts(&db).await, [1, 2]);
    assert_eq!(write(&db, prune_events).await.unwrap(), 0, "it has a delivery");
    assert_eq!(write(&db, prune_deliveries).await.unwrap(), 1);
    assert!(attempts(&db).await.is_empty());
    write(&db, record_late).await.unwrap();
    assert!(attempts(&db).await.is_empty(), "the delivery is gone");
    assert_eq!(write(&db, prune_events).await.unwrap(), 1);
    assert_eq!(read(&db, event_log::pruned_to).await.unwrap(), 1);
}

/// Two nodes: while one removes a delivery, the other records what came of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_crosses_with_the_removal_leaves_no_attempt() {
    let database = Database::postgres();
    let db = database.open().await;
    with_an_ended_delivery(&db).await;
    let removing = Held::open(&db, prune_deliveries).await;
    let late = begin(&db, record_late);
    assert_eq!(removing.commit_when_waited_for(&db).await.unwrap(), 1);
    late.await.unwrap().unwrap();
    assert!(attempts(&db).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_crosses_with_an_outcome_leaves_no_attempt() {
    let database = Database::postgres();
    let db = database.open().await;
    with_an_ended_delivery(&db).await;
    let late = Held::open(&db, record_late).await;
    let removing = begin(&db, prune_deliveries);
    late.commit_when_waited_for(&db).await.unwrap();
    assert_eq!(removing.await.unwrap().unwrap(), 1);
    assert!(attempts(&db).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recovered_meanwhile_is_not_removed() {
    let database = Database::postgres();
    let db = database.open().await;
    with_an_ended_delivery(&db).await;
    let recover = |tx: &mut dyn Tx| tx.execute("UPDATE undelivered SET queue = 'behind', ended_at = NULL", &[]);
    let recovering = Held::open(&db, recover).await;
    let removing = begin(&db, prune_deliveries);
    recovering.commit_when_waited_for(&db).await.unwrap();
    assert_eq!(removing.await.unwrap().unwrap(), 0);
    assert_eq!(attempts(&db).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_owed_once_more_is_not_removed() {
    let database = Database::postgres();
    let db = database.open().await;
    let event = with_an_ended_delivery(&db).await;
    write(&db, prune_deliveries).await.unwrap();
    let owing = Held::open(&db, move |tx| {
        events::hold(tx, EVENT)?.expect("it is there");
        deliveries::insert(tx, &event, Origin::Resend, at(2), &[(DeliveryId::of(2), 1)])
    })
    .await;
    let removing = begin(&db, prune_events);
    owing.commit_when_waited_for(&db).await.unwrap();
    assert_eq!(removing.await.unwrap().unwrap(), 0);
    assert!(read(&db, |tx| events::get(tx, EVENT)).await.unwrap().is_some());
    assert_eq!(read(&db, event_log::pruned_to).await.unwrap(), 0, "no cursor has lost anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_being_removed_is_not_owed_again() {
    let database = Database::postgres();
    let db = database.open().await;
    with_an_ended_delivery(&db).await;
    write(&db, prune_deliveries).await.unwrap();
    let removing = Held::open(&db, prune_events).await;
    let holding = begin(&db, |tx| events::hold(tx, EVENT));
    assert_eq!(removing.commit_when_waited_for(&db).await.unwrap(), 1);
    assert!(holding.await.unwrap().unwrap().is_none());
}

on_both!(deliveries_leave_with_their_attempts_and_events_after_them);
