//! Questions about SQL outside of runs: whether a source's SQL is one, which columns it has, what its first rows are.
//! Answered by a worker as well, a few at a time and not for long, so that nobody's SQL holds up the API.

use std::time::Duration;

use bellwether_warehouse::{Column, ErrorKind, Session, Table, TableInfo, WarehouseError};
use tokio::sync::Semaphore;

use super::{Limits, session};
use crate::domain::warehouse::Engine;

const TIMEOUT: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 2;
/// Those that wait for their turn; each may wait long, and holds up no other request of the API.
const MOST_WAITING: usize = 8;

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

pub struct AdHocQueries {
    limits: Limits,
    permits: Semaphore,
    /// For those that wait, and those under way.
    places: Semaphore,
}

impl AdHocQueries {
    pub fn within(limits: Limits) -> Self {
        Self { limits, permits: Semaphore::new(AT_ONCE), places: Semaphore::new(AT_ONCE + MOST_WAITING) }
    }

    /// The columns of `sql`, if it is a query that users may write.
    pub async fn check(&self, engine: &Engine, name: &str, sql: &str) -> Result<Vec<Column>, QueryError> {
        self.ask(engine, name, async |session| session.check(sql).await).await
    }

    /// The columns and the first rows of `sql`.
    pub async fn preview(
        &self,
        engine: &Engine,
        name: &str,
        sql: &str,
        rows: usize,
    ) -> Result<(Vec<Column>, Table), QueryError> {
        self.ask(engine, name, async |session| Ok((session.check(sql).await?, session.preview(sql, rows).await?))).await
    }

    /// The tables that SQL can name there.
    pub async fn tables(&self, engine: &Engine, name: &str) -> Result<Vec<TableInfo>, QueryError> {
        self.ask(engine, name, async |session| session.tables().await).await
    }

    /// `name` is of the folder for what the worker spills; no two questions under way may share one.
    async fn ask<T>(
        &self,
        engine: &Engine,
        name: &str,
        question: impl AsyncFnOnce(&mut Session) -> Result<T, WarehouseError>,
    ) -> Result<T, QueryError> {
        let closed = |_| QueryError::Failed("the server is stopping".to_owned());
        let _place = self.places.try_acquire().map_err(|_| QueryError::Busy)?;
        let _permit = self.permits.acquire().await.map_err(closed)?;
        let scratch = self.limits.scratch.join(name);
        let answer = tokio::time::timeout(TIMEOUT, async {
            let started = session::open(&self.limits, engine, &scratch).await;
            let (mut session, _) = started.map_err(|error| match error {
                WarehouseError::Failed(_) => QueryError::from(error),
                other => QueryError::failed(&other),
            })?;
            let answer = question(&mut session).await;
            session.kill().await;
            Ok(answer?)
        });
        let answer = answer.await;
        let _ = tokio::fs::remove_dir_all(&scratch).await;
        match answer {
            Ok(answer) => answer,
            Err(_) => Err(QueryError::Sql(format!("it takes longer than {} s; make it read less", TIMEOUT.as_secs()))),
        }
    }
}
