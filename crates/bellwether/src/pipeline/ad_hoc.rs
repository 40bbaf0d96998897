//! Questions about SQL outside of runs: whether a source's SQL is one, which columns it has, what its first rows are.
//! Answered by a worker as well, a few at a time and not for long, so that nobody's SQL holds up the API.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_warehouse::{Column, ErrorKind, Session, Table, TableInfo, WarehouseError};
use tokio::sync::Semaphore;

use super::columns::Columns;
use super::reading::Reading;
use super::steps::Assignments;
use super::{Limits, discovery, session};
use crate::domain::definition::AssignmentSource;
use crate::domain::discovery::Scan;
use crate::domain::id::AssignmentSourceId;
use crate::domain::warehouse::Engine;
use crate::registry::warehouse_config;

const TIMEOUT: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 2;
/// Those that wait for their turn; each may wait long, and holds up no other request of the API.
const MOST_WAITING: usize = 8;
/// For a scan, which reads all of a source.
const SCAN_TIMEOUT: Duration = Duration::from_mins(10);
const SCANS_AT_ONCE: usize = 1;
const MOST_SCANS_WAITING: usize = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The SQL's author can mend it.
    #[error("{0}")]
    Sql(String),
    /// What it reads is not there, now.
    #[error("{0}")]
    Missing(String),
    /// As many questions wait as may.
    #[error("as many queries wait already as may; try again in a moment")]
    Busy,
    /// Files have to be read whole before their columns have types, and are many.
    #[error(
        "files are being read for the first time, whole, for the types of their columns, which takes longer than {} s; \
         it goes on, and what is found is remembered: ask again in a few minutes",
        TIMEOUT.as_secs()
    )]
    Reading,
    #[error("{0}")]
    Failed(String),
}

impl From<WarehouseError> for QueryError {
    fn from(error: WarehouseError) -> Self {
        let text = error.to_string();
        match error.kind() {
            Some(ErrorKind::Sql | ErrorKind::Forbidden | ErrorKind::RowLimit | ErrorKind::Resources) => Self::Sql(text),
            Some(ErrorKind::MissingTable | ErrorKind::File) => Self::Missing(text),
            // A query that the worker does not survive is the query's fault: tried again, it would end the same.
            None if matches!(error, WarehouseError::WorkerDied { .. } | WarehouseError::BadAnswer(_)) => {
                tracing::warn!(?error, "a query ended its worker");
                Self::Sql(text)
            }
            Some(ErrorKind::Internal) | None => Self::failed(&error),
        }
    }
}

impl QueryError {
    fn failed(error: &WarehouseError) -> Self {
        tracing::error!(?error, "the query engine does not work");
        Self::Failed("the query engine does not work; the server's log says why".to_owned())
    }
}

/// How many questions of a kind there may be, and for how long.
struct Turns {
    permits: Semaphore,
    /// For those that wait, and those under way.
    places: Semaphore,
    timeout: Duration,
}

impl Turns {
    fn of(at_once: usize, waiting: usize, timeout: Duration) -> Self {
        Self { permits: Semaphore::new(at_once), places: Semaphore::new(at_once + waiting), timeout }
    }
}

pub struct AdHocQueries {
    limits: Limits,
    questions: Turns,
    /// A scan may take long, and keeps no short question waiting.
    scans: Turns,
    scanned: Mutex<HashSet<AssignmentSourceId>>,
    reading: Reading,
}

/// The only scan of its source in this process, until it is dropped.
pub struct ScanClaim<'a> {
    queries: &'a AdHocQueries,
    source: AssignmentSourceId,
}

impl Drop for ScanClaim<'_> {
    fn drop(&mut self) {
        self.queries.scanned().remove(&self.source);
    }
}

impl AdHocQueries {
    pub fn within(limits: Limits) -> Self {
        Self {
            limits,
            questions: Turns::of(AT_ONCE, MOST_WAITING, TIMEOUT),
            scans: Turns::of(SCANS_AT_ONCE, MOST_SCANS_WAITING, SCAN_TIMEOUT),
            scanned: Mutex::default(),
            reading: Reading::default(),
        }
    }

    fn scanned(&self) -> MutexGuard<'_, HashSet<AssignmentSourceId>> {
        self.scanned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` while there is another scan of this source.
    pub fn claim_scan(&self, source: AssignmentSourceId) -> Option<ScanClaim<'_>> {
        let is_first = self.scanned().insert(source);
        is_first.then(|| ScanClaim { queries: self, source })
    }

    /// Which experiments a source has rows of. `version` is the source's, `name` as for [`Self::ask`].
    pub async fn scan(
        &self,
        engine: &Engine,
        name: &str,
        source: &AssignmentSource,
        version: i64,
    ) -> Result<Scan, QueryError> {
        self.ask(&self.scans, engine, name, Some(&source.sql), async |session, is_read| {
            let columns = session.check(&source.sql).await?;
            is_read.store(true, Ordering::Release);
            let dialect = warehouse_config(engine, &[]).dialect();
            let columns = Columns { dialect, source: "the SQL".to_owned(), columns: &columns };
            let assignments = Assignments::of(source, &columns).map_err(QueryError::Sql)?;
            let answered = session.query(&discovery::statement(dialect, &assignments), discovery::MOST_ROWS).await?;
            let rows = answered.table.unwrap_or_default();
            discovery::read(&rows, version).map_err(|error| QueryError::Failed(error.to_string()))
        })
        .await
    }

    /// The columns of `sql`, if it is a query that users may write.
    pub async fn check(&self, engine: &Engine, name: &str, sql: &str) -> Result<Vec<Column>, QueryError> {
        self.ask(&self.questions, engine, name, Some(sql), async |session, _| Ok(session.check(sql).await?)).await
    }

    /// The columns and the first rows of `sql`.
    pub async fn preview(
        &self,
        engine: &Engine,
        name: &str,
        sql: &str,
        rows: usize,
    ) -> Result<(Vec<Column>, Table), QueryError> {
        self.ask(&self.questions, engine, name, Some(sql), async |session, is_read| {
            let columns = session.check(sql).await?;
            is_read.store(true, Ordering::Release);
            Ok((columns, session.preview(sql, rows).await?))
        })
        .await
    }

    /// The tables that SQL can name there.
    pub async fn tables(&self, engine: &Engine, name: &str) -> Result<Vec<TableInfo>, QueryError> {
        self.ask(&self.questions, engine, name, None, async |session, _| Ok(session.tables().await?)).await
    }

    /// `name` is of the folder for what the worker spills; no two questions under way may share one. The question says when
    /// all that `sql` names, or else all tables, is read: what takes too long before goes on without it.
    async fn ask<T>(
        &self,
        turns: &Turns,
        engine: &Engine,
        name: &str,
        sql: Option<&str>,
        question: impl AsyncFnOnce(&mut Session, &AtomicBool) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let closed = |_| QueryError::Failed("the server is stopping".to_owned());
        let _place = turns.places.try_acquire().map_err(|_| QueryError::Busy)?;
        let _permit = turns.permits.acquire().await.map_err(closed)?;
        let scratch = self.limits.scratch.join(name);
        let is_read = AtomicBool::new(false);
        let answer = tokio::time::timeout(turns.timeout, async {
            let started = session::open(&self.limits, engine, &scratch).await;
            let (mut session, _) = started.map_err(|error| match error {
                WarehouseError::Failed(_) => QueryError::from(error),
                other => QueryError::failed(&other),
            })?;
            let answer = question(&mut session, &is_read).await;
            session.kill().await;
            answer
        });
        let answer = answer.await;
        let _ = tokio::fs::remove_dir_all(&scratch).await;
        match answer {
            Ok(answer) => answer,
            Err(_) if !is_read.load(Ordering::Acquire) && self.reading.go_on(&self.limits, engine, sql) => {
                Err(QueryError::Reading)
            }
            Err(_) => {
                Err(QueryError::Sql(format!("it takes longer than {} s; make it read less", turns.timeout.as_secs())))
            }
        }
    }
}
