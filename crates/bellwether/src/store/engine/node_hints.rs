//! Hints from node to node, by PostgreSQL's LISTEN and NOTIFY. One may be lost, and after a broken connection all may have
//! been: whoever listens is told so, and looks into the database. Nothing is decided by a hint.

use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use tokio::sync::mpsc;

use super::postgres::{Session, Target};
use super::threads;
use crate::params;
use crate::store::{PostgresServer, StoreError, Tx};

const CHANNEL: &str = "bellwether";
/// Stands for anything: look everywhere.
pub const EVERYTHING: &str = "*";
/// How soon a broken connection is made anew, and how soon it is noticed that nobody listens any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends `text`, which has less than 8000 bytes, to all nodes, this one included.
pub fn send(tx: &mut dyn Tx, text: &str) -> Result<(), StoreError> {
    tx.query("SELECT pg_notify($1, $2)", params![CHANNEL, text], &mut |_| Ok(()))
}

/// Listens on a thread of its own until the receiver is dropped.
pub fn listen(server: &PostgresServer) -> Result<mpsc::UnboundedReceiver<String>, StoreError> {
    let target = Target::of(server)?;
    let (hints, receiver) = mpsc::unbounded_channel();
    let listening = move || {
        while !hints.is_closed() {
            if let Err(error) = listen_once(&target, &hints) {
                tracing::debug!(%error, "the connection for hints broke; making another");
                std::thread::park_timeout(PATIENCE);
            }
        }
    };
    threads::spawn("store-hints", listening)?;
    Ok(receiver)
}

fn listen_once(target: &Target, hints: &mpsc::UnboundedSender<String>) -> Result<(), ::postgres::Error> {
    let mut client = target.connect(Session::Plain)?;
    client.batch_execute(&format!("LISTEN {CHANNEL}"))?;
    // What was sent before this connection was made is lost.
    let _ = hints.send(EVERYTHING.to_owned());
    while !hints.is_closed() {
        {
            let mut waiting = client.notifications();
            let mut waiting = waiting.timeout_iter(PATIENCE);
            while let Some(hint) = waiting.next()? {
                let _ = hints.send(hint.payload().to_owned());
            }
        }
        if client.is_closed() {
            return Ok(());
        }
    }
    Ok(())
}
