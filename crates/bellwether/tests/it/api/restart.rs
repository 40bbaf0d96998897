//! A stop keeps what is owed, and the next start sends it.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use bellwether::app::{self, StartError};
use bellwether::maintenance::{recovery, retention};
use bellwether::store::{StoreError, Tx};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{PATIENCE, Receiver, Reply};
use tokio::sync::watch;

use super::{items, rename, subscribe};
use crate::server::{ADMIN_KEY, Server, config, draft};

async fn what_was_pending_arrives_after_a_restart_in_order(database: Database) {
    let (server, mut receiver) = (Server::start(&database).await, Receiver::start().await);
    assert_eq!(server.running().admin_key(), Some(ADMIN_KEY));
    let (_, secret) = subscribe(&server, &receiver.url("/")).await;
    receiver.refuse().await;
    let mut ids = Vec::new();
    for key in ["a", "b", "c"] {
        let id = server.experiment(draft(key)).await;
        rename(&server, id, "second").await;
        rename(&server, id, "third").await;
        ids.push(id);
    }
    assert_eq!(items(&server.get("/deliveries?state=delivered").await).len(), 0);
    server.stop().await;
    receiver.accept_again().await;
    let server = Server::start(&database).await;
    assert_eq!(server.running().admin_key(), None, "the key of the first start is in force");
    let received = receiver.wait_for(9).await;
    for id in ids {
        let own: Vec<_> = received.iter().filter(|request| request.experiment() == id).map(|r| r.revision()).collect();
        assert_eq!(own, [1, 2, 3]);
    }
    received.iter().for_each(|request| drop(request.verify(&secret)));
    server.eventually("/deliveries?state=delivered", |page| items(page).len() == 9).await;
    server.stop().await;
    assert_eq!(receiver.received().len(), 9, "each once");
}

/// What is in flight when the stop comes is finished and recorded, so nothing is sent twice.
async fn a_stop_finishes_what_is_in_flight(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|_| Reply::Held(204));
    subscribe(&server, &receiver.url("/")).await;
    let id = server.experiment(draft("k")).await;
    receiver.wait_for(1).await;
    rename(&server, id, "second").await;
    let stopping = tokio::spawn(server.stop());
    receiver.release();
    stopping.await.unwrap();
    let sent = receiver.received().len();
    let server = Server::start(&database).await;
    let received = receiver.wait_for(2).await;
    assert!((1..=2).contains(&sent), "{sent}");
    assert_eq!(received.iter().map(|r| (r.revision(), r.attempt())).collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    server.stop().await;
    assert_eq!(receiver.received().len(), 2);
}

async fn a_data_folder_in_use_is_refused(database: Database) {
    let server = Server::start(&database).await;
    let refused = app::start(config(&database)).await.err().expect("one process a folder");
    assert!(matches!(refused, StartError::InUse(_)), "{refused}");
    server.stop().await;
    Server::start(&database).await.stop().await;
}

/// A database that does not answer holds up none of the loops that are to end.
#[tokio::test(flavor = "multi_thread")]
async fn no_loop_waits_for_a_busy_database_to_end() {
    let server = Server::start(&Database::sqlite()).await;
    let registry = server.running().registry().clone();
    let (begin, begun) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel();
    let (begin, released) = (Mutex::new(begin), Mutex::new(released));
    let db = registry.db().clone();
    let busy = tokio::spawn(async move {
        let hold = move |_: &mut dyn Tx| {
            begin.lock().unwrap().send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            Ok::<_, StoreError>(())
        };
        db.write(hold).await
    });
    tokio::task::spawn_blocking(move || begun.recv()).await.unwrap().unwrap();

    let (stop, stopping) = watch::channel(false);
    let mut removing = pin!(retention::run(registry.clone(), Duration::ZERO, stopping.clone()));
    let mut recovering = pin!(recovery::run(registry.clone(), Arc::default(), stopping));
    let mut context = Context::from_waker(Waker::noop());
    assert!(removing.as_mut().poll(&mut context).is_pending() && recovering.as_mut().poll(&mut context).is_pending());
    stop.send(true).unwrap();
    let ended = tokio::time::timeout(PATIENCE, async { tokio::join!(removing, recovering) }).await;
    ended.expect("both end while the database is busy");
    release.send(()).unwrap();
    busy.await.unwrap().unwrap();
    server.stop().await;
}

on_both!(
    what_was_pending_arrives_after_a_restart_in_order,
    a_stop_finishes_what_is_in_flight,
    a_data_folder_in_use_is_refused,
);
