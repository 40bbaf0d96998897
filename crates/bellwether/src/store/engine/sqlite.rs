//! SQLite: one thread that writes, with many closures under one commit, and a few that read.

pub mod copy;
mod tx;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Handle;

use super::batch::{self, Job, Ran};
use super::{migrate, threads};
use crate::kill_point;
use crate::store::{StoreError, Tx, Work};
use tx::{SqliteTx, sort_error};

/// Of the API, and as many of what runs by itself.
const READERS: usize = 2;
/// Of the API's readers: who loops over lists must not take the processor from changes and deliveries.
const API_NICENESS: i32 = 10;

pub fn open(path: &Path, work: Work) -> Result<Vec<JoinHandle<()>>, StoreError> {
    start(path, work).map_err(|error| error.in_file(&path.display().to_string()))
}

fn start(path: &Path, work: Work) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let writer = connect(path)?;
    add_functions(&writer)?;
    migrate::bring_up_to_date(&mut SqliteTx::on(&writer), |_, sql| writer.execute_batch(sql).map_err(sort_error))?;
    let runtime = Handle::try_current().ok();
    // There is one node, and so no heartbeat.
    let Work { changes, outcomes, heartbeats: _, reads, looks } = work;
    let closing = Arc::new(Mutex::new(()));
    let closing_of_writer = closing.clone();
    let mut all = vec![threads::spawn("store-write", move || {
        let mut tx = SqliteTx::on(&writer);
        while let Some(batch) = batch::gather(&changes, &outcomes) {
            write_batch(&mut tx, batch, runtime.as_ref());
        }
        drop(tx);
        close(writer, &closing_of_writer);
    })?];
    for (name, jobs, niceness) in [("store-read", reads, API_NICENESS), ("store-look", looks, 0)] {
        for _ in 0..READERS {
            let reader = connect(path)?;
            reader.pragma_update(None, "query_only", true).map_err(sort_error)?;
            let (jobs, closing) = (jobs.clone(), closing.clone());
            all.push(threads::spawn(name, move || {
                threads::give_way(niceness);
                let mut tx = SqliteTx::on(&reader);
                jobs.into_iter().for_each(|job| read(&mut tx, job));
                drop(tx);
                close(reader, &closing);
            })?);
        }
    }
    Ok(all)
}

/// Looks at a database that may be in use, and leaves no file behind.
pub fn look_at<T>(path: &Path, look: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let in_file = |error: StoreError| error.in_file(&path.display().to_string());
    let connection = copy::open_to_look(path)?;
    let mut tx = SqliteTx::on(&connection);
    tx.begin("BEGIN").map_err(in_file)?;
    look(&mut tx).map_err(in_file)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sort_error)?;
    // FULL: in WAL mode each commit is synced before it is answered. The log may grow to 48 MB before its pages are copied
    // home: those that every change writes, such as the ends of indexes, are then copied once for thousands of changes. A larger
    // cache costs more than it saves: SQLite goes through all of it at many a commit, and a commit makes readers' old.
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                   PRAGMA busy_timeout = 10000; PRAGMA cache_size = -8000; PRAGMA temp_store = MEMORY; \
                   PRAGMA wal_autocheckpoint = 12000; PRAGMA journal_size_limit = 67108864;";
    connection.execute_batch(pragmas).map_err(sort_error)?;
    // A statement is planned once, and not again for every value that it is given.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(sort_error)?;
    limit_size(&connection)?;
    Ok(connection)
}

/// One after the other: SQLite writes the log home and removes it when the last connection closes, and of two that close at
/// the same time each finds the other one still there.
fn close(connection: Connection, closing: &Mutex<()>) {
    let _alone = closing.lock();
    drop(connection);
}

/// What migrations need beyond SQLite's own: the bytes of an id's text.
fn add_functions(connection: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_UTF8;
    let added = connection.create_scalar_function("id_bytes", 1, flags, |context| {
        let bytes = crate::domain::id::bytes_of_text(&context.get::<String>(0)?);
        bytes.map(|bytes| bytes.to_vec()).map_err(|reason| rusqlite::Error::UserFunctionError(reason.into()))
    });
    added.map_err(sort_error)
}

/// SQLite then fails as it does on a full disk, with a rollback of its own.
fn limit_size(_connection: &Connection) -> Result<(), StoreError> {
    fail::fail_point!("disk.full", |pages| {
        let pages: i64 = pages.and_then(|pages| pages.parse().ok()).unwrap_or(0);
        _connection.pragma_update(None, "max_page_count", pages).map_err(sort_error)
    });
    Ok(())
}

fn write_batch(tx: &mut SqliteTx, mut batch: Vec<Box<dyn Job>>, runtime: Option<&Handle>) {
    let committed = match try_batch(tx, &mut batch, Fallback::AllAgain) {
        Err(BatchError::MustBeSaved) => try_batch(tx, &mut batch, Fallback::Savepoints),
        other => other,
    };
    match committed {
        Ok(()) => {
            kill_point!("commit.after");
            // Hints first: whoever is answered may look at once for what they lead to.
            batch::do_after_commit(tx.take_after_commit());
            batch::answer(batch, runtime, Ok(()));
        }
        // Nothing of the batch stands: a full disk or the like takes all of it. Alone, the small ones may still fit.
        Err(_) if batch.len() > 1 => batch.into_iter().for_each(|job| write_batch(tx, vec![job], runtime)),
        Err(error) => batch.into_iter().for_each(|job| job.answer(Err(error.clone().into()))),
    }
}

/// What is done about a job that fails after it has written something. Few do: most are refused before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fallback {
    /// The whole batch is run again, with savepoints.
    AllAgain,
    /// Each job has a savepoint to roll back to, which costs a copy of every page that it touches.
    Savepoints,
}

#[derive(Clone)]
enum BatchError {
    /// Nothing stands; with savepoints, the others would.
    MustBeSaved,
    Failed(StoreError),
}

impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<BatchError> for StoreError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Failed(error) => error,
            BatchError::MustBeSaved => Self::Failed("the batch was rolled back".to_owned()),
        }
    }
}

/// Runs every job under one commit. An error means that the whole batch is rolled back.
fn try_batch(tx: &mut SqliteTx, batch: &mut [Box<dyn Job>], fallback: Fallback) -> Result<(), BatchError> {
    tx.begin("BEGIN IMMEDIATE")?;
    let ran = batch.iter_mut().try_for_each(|job| match fallback {
        Fallback::AllAgain => run_unsaved(tx, job.as_mut()),
        Fallback::Savepoints => run_saved(tx, job.as_mut()),
    });
    ran.inspect_err(|_| tx.abandon())?;
    kill_point!("commit.before");
    tx.run("COMMIT").map_err(|error| {
        if let StoreError::Failed(reason) | StoreError::Damaged(reason) = &error {
            // After an I/O error in a commit nobody knows what is on disk. A new start reads what is.
            tracing::error!(%reason, "the commit failed; ending the process so that the next start finds out what is on disk");
            std::process::abort();
        }
        tx.abandon();
        error.into()
    })
}

fn run_unsaved(tx: &mut SqliteTx, job: &mut dyn Job) -> Result<(), BatchError> {
    let (before, noted) = (tx.rows_written(), tx.actions_noted());
    let ran = job.run(tx);
    kill_point!("batch.middle");
    tx.check_open()?;
    match ran {
        Ran::Kept => Ok(()),
        Ran::RolledBack if tx.rows_written() == before => {
            tx.forget_since(noted);
            Ok(())
        }
        Ran::RolledBack => Err(BatchError::MustBeSaved),
    }
}

fn run_saved(tx: &mut SqliteTx, job: &mut dyn Job) -> Result<(), BatchError> {
    let noted = tx.actions_noted();
    tx.run("SAVEPOINT job")?;
    let ran = job.run(tx);
    tx.check_open()?;
    if ran == Ran::RolledBack {
        tx.forget_since(noted);
        tx.run("ROLLBACK TO job")?;
    }
    Ok(tx.run("RELEASE job")?)
}

fn read(tx: &mut SqliteTx, mut job: Box<dyn Job>) {
    let outcome = tx.begin("BEGIN").map(|()| {
        job.run(tx);
        tx.abandon();
    });
    job.answer(outcome);
}
