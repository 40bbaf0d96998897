//! The store: one door to the database, for SQLite and PostgreSQL alike.
//!
//! Whoever writes hands [`Db::write`] a closure over a [`Tx`]; it runs on a thread of the store's, may be run again, and
//! is answered after its commit is on disk. Every statement stands once, in the files below, one for each kind of record;
//! what differs between the two databases is in `dialect`. What a change means is not decided here: see `registry`.

pub mod audit;
pub mod changes;
pub mod condition;
pub mod definition_list;
pub mod definitions;
pub mod deliveries;
pub mod endpoints;
mod engine;
pub mod event_log;
pub mod events;
pub mod experiment_list;
pub mod experiments;
pub mod idempotency_keys;
pub mod keys;
pub mod lanes;
pub mod listing;
pub mod lived;
pub mod metric_syncs;
pub mod outcomes;
pub mod overview;
pub mod pending;
pub mod points;
pub mod recoveries;
pub mod retention;
pub mod runs;
pub mod scans;
pub mod sessions;
pub mod settings;
pub mod undelivered;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use tracing::{Instrument, Span, debug_span};

use crate::platform::traces;
pub use engine::batch::Job;
use engine::batch::Purpose;
pub use engine::dialect::Dialect;
pub use engine::error::{StoreError, readable};
pub use engine::migrate::newest as newest_schema;
pub use engine::node_hints;
pub use engine::postgres::CONNECTIONS as CONNECTIONS_OF_A_NODE;
pub use engine::sqlite::copy;
use engine::tolerant::Kept;
pub use engine::value::{Cell, FromCell, Row, Value};
pub use engine::write::{Write, execute_all};

/// Statements kept prepared for each connection. There are fewer by far, but for lists of many shapes.
const MOST_PREPARED: usize = 512;

/// A transaction. Placeholders are `$1`, `$2`, …
pub trait Tx {
    /// Runs a statement and tells how many rows it touched.
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError>;

    /// Hands each row to `each`, whose first error ends it.
    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;

    fn dialect(&self) -> Dialect;

    /// What was read once for all that goes on in this transaction.
    fn known(&mut self) -> &mut Known;

    /// Does `then` once this transaction is on disk, and never if it is rolled back.
    fn after_commit(&mut self, then: Box<dyn FnOnce() + Send>);
}

/// What holds for a whole transaction, and for all closures that share it: each was submitted before it began.
#[derive(Debug, Default)]
pub struct Known {
    /// Forgotten when it is written, and when a write is rolled back.
    pub endpoints_generation: Option<String>,
    kept: HashMap<(&'static str, String), Kept>,
}

impl Known {
    /// Notes what is unknown in a JSON column of a row that was locked to be changed.
    fn keep(&mut self, column: &'static str, id: impl ToString, kept: Option<Kept>) {
        match kept {
            Some(kept) => drop(self.kept.insert((column, id.to_string()), kept)),
            // Most have nothing, and then there is nothing to look for.
            None if self.kept.is_empty() => {}
            None => drop(self.kept.remove(&(column, id.to_string()))),
        }
    }

    fn kept(&self, column: &'static str, id: impl ToString) -> Option<&Kept> {
        if self.kept.is_empty() { None } else { self.kept.get(&(column, id.to_string())) }
    }
}

/// Params for [`Tx`]: `params![id, name, now]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::Value::from($value)),*] };
}

/// Reads every row by `decode`, naming `table` where one is corrupt.
pub fn query_as<T>(
    tx: &mut dyn Tx,
    table: &'static str,
    sql: &str,
    params: &[Value],
    decode: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    tx.query(sql, params, &mut |row| {
        found.push(decode(row).map_err(|error| error.in_table(table))?);
        Ok(())
    })?;
    Ok(found)
}

/// The same for at most one row.
pub fn query_one<T>(
    tx: &mut dyn Tx,
    table: &'static str,
    sql: &str,
    params: &[Value],
    decode: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    Ok(query_as(tx, table, sql, params, decode)?.pop())
}

/// Where the state lies.
#[derive(Debug, Clone)]
pub enum Location {
    Sqlite(PathBuf),
    Postgres(PostgresServer),
}

/// A PostgreSQL database, and by what its server is known.
#[derive(Debug, Clone)]
pub struct PostgresServer {
    /// `postgres://…`
    pub url: String,
    /// Certificate authorities in PEM, in place of the web's.
    pub ca_file: Option<PathBuf>,
}

/// Changes, or reads of the API, that wait at once; more are turned away. What the engine itself asks for is bounded by what
/// asks: a recorder, a heartbeat, two reads for each lane.
const MOST_WAITING: usize = 4096;

/// The one door. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

struct Shared {
    location: Location,
    /// `None` once the store is closed: its threads end when they have carried out what lies there.
    queues: RwLock<Option<Queues>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What waits for the threads, by the side of those who ask.
struct Queues {
    changes: Sender<Box<dyn Job>>,
    outcomes: Sender<Box<dyn Job>>,
    heartbeats: Sender<Box<dyn Job>>,
    reads: Sender<Box<dyn Job>>,
    looks: Sender<Box<dyn Job>>,
}

/// The same by the side of the threads.
struct Work {
    changes: Receiver<Box<dyn Job>>,
    outcomes: Receiver<Box<dyn Job>>,
    heartbeats: Receiver<Box<dyn Job>>,
    /// Of the API: no bound is set to what they cost.
    reads: Receiver<Box<dyn Job>>,
    /// Of what runs by itself: short ones, which must not wait behind those.
    looks: Receiver<Box<dyn Job>>,
}

impl Queues {
    fn channels() -> (Self, Work) {
        let (changes, changes_in) = crossbeam_channel::bounded(MOST_WAITING);
        let (outcomes, outcomes_in) = crossbeam_channel::unbounded();
        let (heartbeats, heartbeats_in) = crossbeam_channel::unbounded();
        let (reads, reads_in) = crossbeam_channel::bounded(MOST_WAITING);
        let (looks, looks_in) = crossbeam_channel::unbounded();
        let work = Work {
            changes: changes_in,
            outcomes: outcomes_in,
            heartbeats: heartbeats_in,
            reads: reads_in,
            looks: looks_in,
        };
        (Self { changes, outcomes, heartbeats, reads, looks }, work)
    }
}

/// Looks at a database from outside of any server, once. Nothing is made, brought up to date or written.
pub fn look_at<T>(
    location: &Location,
    look: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    match location {
        Location::Sqlite(path) => engine::sqlite::look_at(path, look),
        Location::Postgres(server) => engine::postgres::look_at(server, look),
    }
}

impl Db {
    /// Opens the database, makes its schema or brings it up to date, and starts the threads.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        let (queues, work) = Queues::channels();
        let threads = match location {
            Location::Sqlite(path) => engine::sqlite::open(path, work)?,
            Location::Postgres(server) => engine::postgres::open(server, &work)?,
        };
        let (location, queues, threads) = (location.clone(), RwLock::new(Some(queues)), Mutex::new(threads));
        Ok(Self { shared: Arc::new(Shared { location, queues, threads }) })
    }

    pub fn dialect(&self) -> Dialect {
        match self.shared.location {
            Location::Sqlite(_) => Dialect::Sqlite,
            Location::Postgres(_) => Dialect::Postgres,
        }
    }

    /// What other nodes tell this one; on SQLite there are none.
    pub fn listen(&self) -> Result<Option<tokio::sync::mpsc::UnboundedReceiver<String>>, StoreError> {
        match &self.shared.location {
            Location::Sqlite(_) => Ok(None),
            Location::Postgres(server) => engine::node_hints::listen(server).map(Some),
        }
    }

    /// Runs `work` in a transaction and answers once it is durable. `work` may run more than once; an error from it
    /// rolls back all it did, and nobody else's.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.submit(|queues| &queues.changes, Purpose::Change, work).await
    }

    /// The same at low priority, for outcomes of deliveries: on SQLite they ride on the next change's commit, or wait a little.
    pub async fn write_outcomes<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.submit(|queues| &queues.outcomes, Purpose::Outcomes, work).await
    }

    /// The same for so many that they are worth a commit of their own: they wait for no change.
    pub async fn write_many_outcomes<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.submit(|queues| &queues.outcomes, Purpose::Change, work).await
    }

    /// The same for what keeps this node alive, and must wait for nothing else.
    pub async fn write_heartbeat<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.submit(|queues| &queues.heartbeats, Purpose::Change, work).await
    }

    /// Whether a commit is about to come anyway that outcomes could go along with. PostgreSQL's have a connection of their
    /// own.
    pub fn has_commit_coming(&self) -> bool {
        self.dialect() == Dialect::Sqlite && self.queues().as_ref().is_some_and(|queues| !queues.changes.is_empty())
    }

    /// Runs `work` over one consistent state of the database. It cannot write.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.submit(|queues| &queues.reads, Purpose::Read, work).await
    }

    /// The same for what runs by itself, and reads a bounded number of rows by an index: it does not wait for the API's.
    pub async fn look<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.submit(|queues| &queues.looks, Purpose::Read, work).await
    }

    async fn submit<T, E, F>(
        &self,
        queue: impl Fn(&Queues) -> &Sender<Box<dyn Job>>,
        purpose: Purpose,
        work: F,
    ) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (job, answer) = engine::batch::call(purpose, work);
        let sent = self.queues().as_ref().ok_or(StoreError::Closed).and_then(|queues| {
            queue(queues).try_send(job).map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Disconnected(_) => StoreError::Closed,
            })
        });
        sent?;
        let span = if traces::is_traced() { self.span(purpose) } else { Span::none() };
        answer.instrument(span).await.map_err(|_| StoreError::Closed)?
    }

    /// From when it waits until it is answered.
    fn span(&self, purpose: Purpose) -> Span {
        let system = match self.dialect() {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgresql",
        };
        let name = if purpose == Purpose::Read { "read" } else { "transaction" };
        debug_span!("transaction", otel.name = name, otel.kind = "client", db.system.name = system)
    }

    fn queues(&self) -> RwLockReadGuard<'_, Option<Queues>> {
        self.shared.queues.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes nothing more, whoever holds the door, and waits until all that was submitted has been carried out and the
    /// threads have ended.
    pub fn close(&self) {
        drop(self.shared.queues.write().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // One that panicked has ended the process.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}
