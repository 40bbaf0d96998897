//! The log's numbers on PostgreSQL, where they are given after the commit, and more than one node may want to give them.

use bellwether::domain::id::ExperimentId;
use bellwether::store::{Db, event_log, experiments};
use bellwether_testkit::databases::{Database, close};
use bellwether_webhook::EventType;

use super::*;

async fn add_event(db: &Db, id: ExperimentId) {
    let experiment = read(db, move |tx| experiments::get(tx, id)).await.unwrap().unwrap();
    let event = event_of(&experiment, id.unsigned_abs().into(), EventType::StatusUpdated, 1);
    write(db, move |tx| record(tx, &event)).await.unwrap();
}

/// One node has numbered an event and not committed yet, when another numbers that one and one that stands before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_given_stays() {
    let database = Database::postgres();
    let (first, second) = (database.open().await, database.open().await);
    let (earlier, later) = (new_experiment(&first, "earlier").await, new_experiment(&first, "later").await);
    add_event(&first, later).await;
    let slow = Held::open(&first, |tx| event_log::number_committed(tx, 10)).await;
    add_event(&second, earlier).await;
    let db = second.clone();
    let quick = tokio::spawn(async move { write(&db, |tx| event_log::number_committed(tx, 10)).await });
    let slow = slow.commit_when_waited_for(&first).await;
    assert_eq!((slow.unwrap(), quick.await.unwrap().unwrap()), (1, 1));
    assert_eq!(read(&first, event_log::end).await.unwrap(), 2);
    let all = event_log::Selection { limit: 10, ..event_log::Selection::default() };
    let log = read(&first, move |tx| event_log::list(tx, &all)).await.unwrap();
    let log: Vec<_> = log.into_iter().map(|(number, event)| (number, event.experiment_id)).collect();
    assert_eq!(log, [(1, later), (2, earlier)], "whoever has read 1 goes on with 2");
    close(first).await;
    close(second).await;
}
