//! SQLite: one thread that writes, with many closures under one commit, and a few that read.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};

use super::batch::{self, Job, Ran};
use super::{Dialect, Row, StoreError, Tx, Value, migrate};

const READERS: usize = 2;
/// Statements kept prepared for each connection.
const PREPARED: usize = 256;

pub fn open(
    path: &Path,
    changes: Receiver<Box<dyn Job>>,
    outcomes: Receiver<Box<dyn Job>>,
    reads: Receiver<Box<dyn Job>>,
) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let writer = connect(path)?;
    migrate::bring_up_to_date(&mut SqliteTx::on(&writer), |sql| writer.execute_batch(sql).map_err(sort_error))?;
    let mut threads = vec![spawn("store-write", move || {
        while let Some(batch) = batch::gather(&changes, &outcomes) {
            write_batch(&writer, batch);
        }
    })?];
    for _ in 0..READERS {
        let reader = connect(path)?;
        reader.pragma_update(None, "query_only", true).map_err(sort_error)?;
        let reads = reads.clone();
        threads.push(spawn("store-read", move || {
            for job in reads {
                read(&reader, job);
            }
        })?);
    }
    Ok(threads)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|error| StoreError::Failed(format!("cannot start a thread: {error}")))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sort_error)?;
    // FULL: in WAL mode each commit is synced before it is answered.
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                   PRAGMA busy_timeout = 10000; PRAGMA cache_size = -32000; PRAGMA temp_store = MEMORY; \
                   PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;";
    connection.execute_batch(pragmas).map_err(sort_error)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

fn write_batch(connection: &Connection, mut batch: Vec<Box<dyn Job>>) {
    match try_batch(connection, &mut batch) {
        Ok(wakes) => {
            // Wakes first: whoever is answered may look at once for what was woken.
            wakes.into_iter().for_each(|wake| wake());
            batch.into_iter().for_each(|job| job.answer(Ok(())));
        }
        // Nothing of the batch stands: a full disk or the like takes all of it. Alone, the small ones may still fit.
        Err(_) if batch.len() > 1 => batch.into_iter().for_each(|job| write_batch(connection, vec![job])),
        Err(error) => batch.into_iter().for_each(|job| job.answer(Err(error.clone()))),
    }
}

/// Runs every job in its savepoint under one commit. An error means that the whole batch is rolled back.
fn try_batch(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Result<Vec<Box<dyn FnOnce() + Send>>, StoreError> {
    run(connection, "BEGIN IMMEDIATE")?;
    let mut tx = SqliteTx::on(connection);
    for job in batch.iter_mut() {
        let wakes = tx.wakes.len();
        run(connection, "SAVEPOINT job").inspect_err(|_| abandon(connection))?;
        let ran = job.run(&mut tx);
        if connection.is_autocommit() {
            return Err(tx
                .last_error
                .unwrap_or_else(|| StoreError::Failed("the transaction was rolled back".to_owned())));
        }
        if ran == Ran::RolledBack {
            tx.wakes.truncate(wakes);
            run(connection, "ROLLBACK TO job").inspect_err(|_| abandon(connection))?;
        }
        run(connection, "RELEASE job").inspect_err(|_| abandon(connection))?;
    }
    if let Err(error) = run(connection, "COMMIT") {
        if let StoreError::Failed(reason) = &error {
            // After an I/O error in a commit nobody knows what is on disk. A new start reads what is.
            tracing::error!(%reason, "the commit failed; ending the process so that the next start finds out what is on disk");
            std::process::abort();
        }
        abandon(connection);
        return Err(error);
    }
    Ok(tx.wakes)
}

fn abandon(connection: &Connection) {
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
}

fn read(connection: &Connection, mut job: Box<dyn Job>) {
    let outcome = run(connection, "BEGIN").map(|()| {
        job.run(&mut SqliteTx::on(connection));
        abandon(connection);
    });
    job.answer(outcome);
}

fn run(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop).map_err(sort_error)
}

struct SqliteTx<'a> {
    connection: &'a Connection,
    wakes: Vec<Box<dyn FnOnce() + Send>>,
    last_error: Option<StoreError>,
}

impl<'a> SqliteTx<'a> {
    fn on(connection: &'a Connection) -> Self {
        Self { connection, wakes: Vec::new(), last_error: None }
    }

    fn noting<T>(&mut self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let error = sort_error(error);
            self.last_error = Some(error.clone());
            error
        })
    }
}

impl Tx for SqliteTx<'_> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        let result =
            self.connection.prepare_cached(&numbered(sql)).and_then(|mut s| s.execute(params_from_iter(params)));
        self.noting(result).map(|count| count as u64)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let connection = self.connection;
        let result = connection.prepare_cached(&numbered(sql)).and_then(|mut statement| {
            let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
            let rows = statement.query_map(params_from_iter(params), |row| {
                let values = (0..columns.len()).map(|i| Ok(owned(row.get_ref(i)?))).collect::<rusqlite::Result<_>>()?;
                Ok(Row { columns: columns.clone(), values })
            })?;
            rows.collect()
        });
        self.noting(result)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn after_commit(&mut self, wake: Box<dyn FnOnce() + Send>) {
        self.wakes.push(wake);
    }
}

/// `$1` is a name to SQLite, numbered by first appearance; `?1` is what is meant. No statement has a `$` elsewhere.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(int) => Value::Int(int),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqlValue::Null),
            Self::Int(int) => ToSqlOutput::Owned(SqlValue::Integer(*int)),
            Self::Real(real) => ToSqlOutput::Owned(SqlValue::Real(*real)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// Sorted by SQLite's codes, never by its words.
fn sort_error(error: rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(code, message) = &error else { return StoreError::Failed(error.to_string()) };
    let text = message.clone().unwrap_or_else(|| code.to_string());
    match (code.code, code.extended_code) {
        (_, rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
            StoreError::Unique(text)
        }
        (_, rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => StoreError::Reference(text),
        (ErrorCode::DiskFull, _) => StoreError::Full(text),
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory, _) => {
            StoreError::Unavailable(text)
        }
        _ => StoreError::Failed(text),
    }
}
