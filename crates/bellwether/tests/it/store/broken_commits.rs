//! Several changes share one commit on PostgreSQL, and the connection breaks in it: all of them are in doubt alike, and
//! either all are there or none is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether::store::{Db, Location, PostgresServer, StoreError, Tx, settings};
use bellwether_testkit::cluster;
use bellwether_testkit::cutter::{Cut, Cutter};
use bellwether_testkit::databases::{Database, close};
use futures_util::future::join_all;

use super::{Held, column, write};

/// The connections for changes.
const WRITERS: usize = 4;
const TOGETHER: usize = 6;

async fn a_shared_commit_breaks(cut: Cut) {
    let database = Database::postgres();
    let cutter = Cutter::before(cluster::socket_folder().to_owned()).await;
    let server = PostgresServer { url: cutter.url(database.name()), ca_file: None };
    let opening = tokio::task::spawn_blocking(move || Db::open(&Location::Postgres(server)));
    let db = opening.await.unwrap().expect("the database opens");
    let mut holding = Vec::new();
    for _ in 0..WRITERS {
        holding.push(Held::open(&db, |_: &mut dyn Tx| Ok(())).await);
    }
    cutter.cut_once("together-3", cut);
    let woken = Arc::new(AtomicUsize::new(0));
    let writes = (0..TOGETHER).map(|i| {
        let (db, woken) = (&db, woken.clone());
        let work = move |tx: &mut dyn Tx| {
            let woken = woken.clone();
            tx.after_commit(Box::new(move || {
                woken.fetch_add(1, Ordering::SeqCst);
            }));
            settings::set(tx, &format!("together-{i}"), "here")
        };
        write(db, work)
    });
    // All are submitted before the one writer is let go that then takes them all.
    let freed = holding.pop().expect("a writer is held");
    let (answers, ()) = tokio::join!(join_all(writes), async { freed.release().await.unwrap() });
    assert!(cutter.has_cut());
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::OutcomeUnknown(_)))), "{answers:?}");
    assert_eq!(woken.load(Ordering::SeqCst), 0, "nobody is told of what may not be");
    for held in holding {
        held.release().await.unwrap();
    }
    let sql = "SELECT name FROM settings WHERE name LIKE 'together-%'";
    let there: Vec<String> = column(&db, sql, "name").await;
    assert_eq!(there.len(), if cut == Cut::Unheard { 0 } else { TOGETHER }, "{there:?}");
    for i in 0..2 * WRITERS {
        write(&db, move |tx| settings::set(tx, &format!("afterwards-{i}"), "here")).await.unwrap();
    }
    close(db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_share_a_commit_that_is_not_heard_are_all_not_there() {
    a_shared_commit_breaks(Cut::Unheard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_share_a_commit_that_is_not_answered_are_all_there() {
    a_shared_commit_breaks(Cut::Unanswered).await;
}
