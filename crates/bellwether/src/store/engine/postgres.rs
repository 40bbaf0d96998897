//! PostgreSQL: a few connections, each with a thread of its own, that take closures from the same queues.

mod connection;
mod target;
mod tx;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use postgres::Client;
use tokio::runtime::Handle;

use super::batch::Job;
use super::{migrate, threads};
use crate::store::{PostgresServer, StoreError, Tx, Value, Work};
use connection::Connection;
pub(super) use target::{Session, Target};
use tx::{PostgresTx, sort_error};

/// Few, so that changes that come at the same time share commits.
const WRITERS: usize = 4;
/// Of the API, and as many of what runs by itself.
const READERS: usize = 4;
/// Of a node, with the one that hears hints.
pub const CONNECTIONS: usize = WRITERS + 2 * READERS + 3;
/// The most closures under one commit.
const LARGEST_BATCH: usize = 32;
/// One node's advisory lock while it brings the schema up to date; the number is arbitrary but fixed.
const MIGRATION_LOCK: i64 = 0x6265_6c6c_7765;

pub fn open(server: &PostgresServer, work: &Work) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let target = Arc::new(Target::of(server)?);
    let first = target.connect(Session::Plain).map_err(|error| sort_error(&error))?;
    migrate_alone(first)?;
    let mut threads = Vec::new();
    let mut start = |name: &str, count: usize, session: Session, jobs: &Receiver<Box<dyn Job>>, most: usize| {
        let idle = Arc::new(AtomicUsize::new(0));
        for i in 0..count {
            let queue = Queue { jobs: jobs.clone(), idle: idle.clone(), most };
            threads.push(connection(format!("store-{name}-{i}"), &target, session, queue)?);
        }
        Ok::<_, StoreError>(())
    };
    start("write", WRITERS, Session::Writing, &work.changes, LARGEST_BATCH)?;
    // Outcomes have a connection to themselves: behind changes, which never end, they would not be written at all.
    start("outcome", 1, Session::Writing, &work.outcomes, LARGEST_BATCH)?;
    // So has the heartbeat: without it this node would soon send nothing.
    start("heartbeat", 1, Session::Heartbeat, &work.heartbeats, 1)?;
    // Each read sees a state of its own.
    start("read", READERS, Session::Reading, &work.reads, 1)?;
    start("look", READERS, Session::Looking, &work.looks, 1)?;
    Ok(threads)
}

/// Looks at a database over a connection of its own.
pub fn look_at<T>(
    server: &PostgresServer,
    look: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let session = Session::Reading;
    let client = Target::of(server)?.connect(session).map_err(|error| StoreError::Unavailable(tx::describe(&error)))?;
    let mut tx = PostgresTx::on(client);
    tx.begin(session.begin())?;
    look(&mut tx)
}

/// A queue that several connections take from.
struct Queue {
    jobs: Receiver<Box<dyn Job>>,
    /// How many of them wait for something to do.
    idle: Arc<AtomicUsize>,
    /// Of those taken at once.
    most: usize,
}

impl Queue {
    /// What is to be carried out next: one job, and all that wait behind it if no other connection is free to take them.
    /// `None` when the queue is closed and empty.
    fn take(&self) -> Option<Vec<Box<dyn Job>>> {
        self.idle.fetch_add(1, Ordering::Relaxed);
        let first = self.jobs.recv();
        let others = self.idle.fetch_sub(1, Ordering::Relaxed) - 1;
        let mut batch = vec![first.ok()?];
        if others == 0 {
            batch.extend(self.jobs.try_iter().take(self.most - 1));
        }
        Some(batch)
    }
}

/// A thread with a connection, which carries out what comes until `queue` is closed.
fn connection(
    name: String,
    target: &Arc<Target>,
    session: Session,
    queue: Queue,
) -> Result<JoinHandle<()>, StoreError> {
    let mut connection = Connection::to(target.clone(), session, Handle::try_current().ok());
    threads::spawn(name, move || {
        while let Some(batch) = queue.take() {
            connection.carry_out(batch);
        }
    })
}

fn migrate_alone(client: Client) -> Result<(), StoreError> {
    let mut tx = PostgresTx::on(client);
    tx.execute("SELECT pg_advisory_lock($1)", &[Value::Int(MIGRATION_LOCK)])?;
    migrate::bring_up_to_date(&mut tx, |tx, sql| tx.client.batch_execute(sql).map_err(|error| sort_error(&error)))
}
