//! The store: one door to the database, for SQLite and PostgreSQL alike.
//!
//! Whoever writes hands [`Db::write`] a closure over a [`Tx`]; it runs on a thread of the store's, may be run again, and
//! is answered after its commit is on disk. Every statement stands once, in the files below, one for each kind of record;
//! what differs between the two databases is in `dialect`. What a change means is not decided here: see `registry`.

mod batch;
pub mod changes;
pub mod definitions;
pub mod deliveries;
mod dialect;
pub mod endpoints;
pub mod events;
pub mod experiments;
pub mod keys;
pub mod lanes;
pub mod lived;
mod migrate;
pub mod notices;
pub mod outcomes;
pub mod overview;
pub mod pending;
mod postgres;
pub mod recoveries;
pub mod retention;
mod rows;
pub mod runs;
pub mod settings;
mod sqlite;
pub mod undelivered;
mod value;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Sender;

pub use batch::Job;
use batch::Purpose;
pub use dialect::Dialect;
pub use value::{Cell, FromCell, Row, Value};
pub use write::{Write, together};

/// Statements kept prepared for each connection. There are fewer by far, but for lists of many shapes.
const MOST_PREPARED: usize = 512;

/// What went wrong in the database, sorted by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A UNIQUE constraint: it is taken.
    #[error("a unique value is taken already: {0}")]
    Unique(String),
    /// A foreign key: what it refers to is missing, or something still refers to it.
    #[error("a reference does not hold: {0}")]
    Reference(String),
    #[error(
        "{table}.{column} of the row '{row}' cannot be read: {reason}; the data file is damaged or was changed by hand"
    )]
    Corrupt { table: &'static str, column: &'static str, row: String, reason: String },
    /// Nothing was changed; the same request may succeed later.
    #[error("the database is not available now: {0}")]
    Unavailable(String),
    /// The connection broke while committing: the change may or may not have been made.
    #[error("the connection broke during the commit, so whether the change was made is unknown: {0}")]
    OutcomeUnknown(String),
    #[error("the database cannot take more: {0}")]
    Full(String),
    #[error("{0}")]
    Failed(String),
}

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

    /// Does `wake` once this transaction is on disk, and never if it is rolled back.
    fn after_commit(&mut self, wake: Box<dyn FnOnce() + Send>);
}

/// What holds for a whole transaction, and for all closures that share it: each was submitted before it began.
#[derive(Debug, Default)]
pub struct Known {
    /// Forgotten when it is written, and when a write is rolled back.
    pub endpoints_generation: Option<String>,
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

impl StoreError {
    fn in_table(self, name: &'static str) -> Self {
        match self {
            Self::Corrupt { column, row, reason, .. } => Self::Corrupt { table: name, column, row, reason },
            other => other,
        }
    }
}

/// Where the state lies.
#[derive(Debug, Clone)]
pub enum Location {
    Sqlite(PathBuf),
    /// A `postgres://` URL.
    Postgres(String),
}

/// The one door. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    queues: Arc<Queues>,
}

/// The threads behind the door end when these are dropped.
struct Queues {
    changes: Sender<Box<dyn Job>>,
    outcomes: Sender<Box<dyn Job>>,
    reads: Sender<Box<dyn Job>>,
    location: Location,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Db {
    /// Opens the database, makes its schema or brings it up to date, and starts the threads.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        let (changes, changes_in) = crossbeam_channel::unbounded();
        let (outcomes, outcomes_in) = crossbeam_channel::unbounded();
        let (reads, reads_in) = crossbeam_channel::unbounded();
        let threads = match location {
            Location::Sqlite(path) => sqlite::open(path, changes_in, outcomes_in, reads_in)?,
            Location::Postgres(url) => postgres::open(url, changes_in, outcomes_in, reads_in)?,
        };
        Ok(Self { queues: Arc::new(Queues { changes, outcomes, reads, location: location.clone(), threads }) })
    }

    pub fn dialect(&self) -> Dialect {
        match self.queues.location {
            Location::Sqlite(_) => Dialect::Sqlite,
            Location::Postgres(_) => Dialect::Postgres,
        }
    }

    /// What other nodes tell this one; on SQLite there are none.
    pub fn listen(&self) -> Result<Option<tokio::sync::mpsc::UnboundedReceiver<String>>, StoreError> {
        match &self.queues.location {
            Location::Sqlite(_) => Ok(None),
            Location::Postgres(url) => notices::listen(url).map(Some),
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
        batch::submit(&self.queues.changes, Purpose::Change, work).await
    }

    /// The same at low priority, for outcomes of deliveries: on SQLite they ride on the next change's commit, or wait a little.
    pub async fn write_outcomes<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        batch::submit(&self.queues.outcomes, Purpose::Outcomes, work).await
    }

    /// The same for so many that they are worth a commit of their own: they wait for no change.
    pub async fn write_many_outcomes<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        batch::submit(&self.queues.outcomes, Purpose::Change, work).await
    }

    /// Whether a commit is about to come anyway that outcomes could go along with. PostgreSQL's have a connection of their
    /// own.
    pub fn has_commit_coming(&self) -> bool {
        self.dialect() == Dialect::Sqlite && !self.queues.changes.is_empty()
    }

    /// Runs `work` over one consistent state of the database. It cannot write.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        batch::submit(&self.queues.reads, Purpose::Read, work).await
    }

    /// Waits until all that was submitted has been carried out and the threads have ended.
    /// `false` if someone still holds the door open.
    pub fn close(self) -> bool {
        let Some(queues) = Arc::into_inner(self.queues) else { return false };
        let Queues { changes, outcomes, reads, threads, .. } = queues;
        drop((changes, outcomes, reads));
        threads.into_iter().all(|thread| thread.join().is_ok())
    }
}
