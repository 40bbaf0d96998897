//! The log's numbers on PostgreSQL, where they are given after the commit, and more than one node may want to give them.

use std::sync::Mutex;

use bellwether::id::ExperimentId;
use bellwether::store::{Db, experiments};
use bellwether_webhook::EventType;

use super::*;
use crate::databases::{Database, close};

async fn add_event(db: &Db, id: ExperimentId) {
    let experiment = read(db, move |tx| experiments::get(tx, id)).await.unwrap().unwrap();
    let event = event_of(&experiment, id.unsigned_abs().into(), EventType::StatusUpdated, 1);
    write(db, move |tx| record(tx, &event)).await.unwrap();
}

/// Waits until some transaction waits for another.
async fn until_one_waits(db: &Db) {
    let sql = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while read(db, move |tx| tx.query(sql, &[])).await.unwrap().is_empty() {}
}

/// One node has numbered an event and not committed yet, when another numbers that one and one that stands before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_given_stays() {
    let database = Database::postgres();
    let (first, second) = (database.open().await, database.open().await);
    let (earlier, later) = (new_experiment(&first, "earlier").await, new_experiment(&first, "later").await);
    add_event(&first, later).await;
    let (numbered, mut is_numbered) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (db, released) = (first.clone(), Mutex::new(released));
    let slow = tokio::spawn(async move {
        let number = move |tx: &mut dyn Tx| {
            let count = events::number_committed(tx, 10)?;
            let _ = numbered.send(());
            let _ = released.lock().unwrap().recv();
            Ok::<_, StoreError>(count)
        };
        db.write(number).await
    });
    is_numbered.recv().await.expect("the first node has numbered its event");
    add_event(&second, earlier).await;
    let db = second.clone();
    let quick = tokio::spawn(async move { write(&db, |tx| events::number_committed(tx, 10)).await });
    until_one_waits(&first).await;
    release.send(()).unwrap();
    assert_eq!((slow.await.unwrap().unwrap(), quick.await.unwrap().unwrap()), (1, 1));
    assert_eq!(read(&first, events::log_end).await.unwrap(), 2);
    let all = events::Selection { limit: 10, ..events::Selection::default() };
    let log = read(&first, move |tx| events::list(tx, &all)).await.unwrap();
    let log: Vec<_> = log.into_iter().map(|(number, event)| (number, event.experiment_id)).collect();
    assert_eq!(log, [(1, later), (2, earlier)], "whoever has read 1 goes on with 2");
    assert!(close(first).await && close(second).await);
}
