//! A transaction on a connection of PostgreSQL's: statements kept prepared, values in and out, errors sorted. When it
//! begins and ends is not decided here.

use std::sync::Arc;

use postgres::error::SqlState;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Statement};
use rustc_hash::FxHashMap;

use crate::store::engine::batch::AfterCommit;
use crate::store::engine::value::Cells;
use crate::store::{Cell, Dialect, Known, MOST_PREPARED, Row, StoreError, Tx, Value};

/// A statement failed in a way that the closure cannot answer for.
pub enum Failure {
    Repeatable(StoreError),
    Disconnected(StoreError),
}

#[derive(Clone)]
struct Prepared {
    statement: Statement,
    columns: Arc<[String]>,
}

/// One after the other, all transactions of a connection.
pub struct PostgresTx {
    pub client: Client,
    prepared: FxHashMap<Box<str>, Prepared>,
    pub after_commit: Vec<AfterCommit>,
    known: Known,
    pub failure: Option<Failure>,
    /// The first error of a statement: the server rolls back all of the transaction.
    pub aborted_by: Option<StoreError>,
    /// Whether anything was written since this was last set to `false`.
    pub has_written: bool,
}

impl PostgresTx {
    pub fn on(client: Client) -> Self {
        Self {
            client,
            prepared: FxHashMap::default(),
            after_commit: Vec::new(),
            known: Known::default(),
            failure: None,
            aborted_by: None,
            has_written: false,
        }
    }

    /// Begins a transaction, and forgets the last one.
    pub fn begin(&mut self, sql: &str) -> Result<(), StoreError> {
        self.after_commit.clear();
        self.known = Known::default();
        (self.failure, self.aborted_by, self.has_written) = (None, None, false);
        self.client.batch_execute(sql).map_err(|error| StoreError::Unavailable(describe(&error)))
    }

    fn prepare(&mut self, sql: &str) -> Result<Prepared, StoreError> {
        if let Some(prepared) = self.prepared.get(sql) {
            return Ok(prepared.clone());
        }
        if self.prepared.len() >= MOST_PREPARED {
            self.prepared.clear();
        }
        let result = self.client.prepare(sql);
        let statement = self.noting(result)?;
        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let prepared = Prepared { statement, columns };
        self.prepared.insert(sql.into(), prepared.clone());
        Ok(prepared)
    }

    fn noting<T>(&mut self, result: Result<T, postgres::Error>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let sorted = sort_error(&error);
            self.aborted_by.get_or_insert_with(|| sorted.clone());
            if is_repeatable(&error) {
                self.failure = Some(Failure::Repeatable(sorted.clone()));
            } else if self.client.is_closed() {
                self.failure = Some(Failure::Disconnected(sorted.clone()));
            }
            sorted
        })
    }
}

impl Tx for PostgresTx {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        let Prepared { statement, .. } = self.prepare(sql)?;
        let result = self.client.execute(&statement, &as_params(params));
        let count = self.noting(result)?;
        // The count is that of the last write of those that were joined.
        self.has_written |= count > 0 || sql.starts_with("WITH");
        Ok(count)
    }

    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Prepared { statement, columns } = self.prepare(sql)?;
        let result = self.client.query(&statement, &as_params(params));
        let rows = self.noting(result)?;
        // A lock, as of SELECT … FOR UPDATE, harms nobody who goes on in the same transaction.
        self.has_written |= !sql.starts_with("SELECT");
        rows.iter().try_for_each(|row| each(&Row::of(&columns, row)))
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn known(&mut self) -> &mut Known {
        &mut self.known
    }

    fn after_commit(&mut self, then: AfterCommit) {
        self.after_commit.push(then);
    }
}

fn as_params(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

type Conversion<T> = Result<T, Box<dyn std::error::Error + Sync + Send>>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut postgres::types::private::BytesMut) -> Conversion<IsNull> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(int) if *ty == Type::INT4 => i32::try_from(*int)?.to_sql(ty, out),
            Self::Int(int) => int.to_sql(ty, out),
            Self::Real(real) => real.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Word(text) => text.to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
            Self::Id(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            Self::List(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Conversion<Self> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::BYTEA | Type::UUID => Self::Blob(raw),
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::VOID => Self::Null,
            _ => Self::Text(<&str>::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Conversion<Self> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Cells for postgres::Row {
    fn cell(&self, index: usize) -> Result<Cell<'_>, String> {
        self.try_get(index).map_err(|error| error.to_string())
    }
}

pub fn is_repeatable(error: &postgres::Error) -> bool {
    matches!(error.code(), Some(code) if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED)
}

pub fn describe(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
        |db| db.message().to_owned(),
    )
}

/// Sorted by SQLSTATE, never by words.
pub fn sort_error(error: &postgres::Error) -> StoreError {
    let text = describe(error);
    match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => StoreError::Unique(text),
        Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION => StoreError::Reference(text),
        Some(code) if *code == SqlState::DISK_FULL => StoreError::Full(text),
        Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => {
            StoreError::Unavailable(format!("another transaction holds what this one needs ({text})"))
        }
        // This node was silent for too long, and its transaction was ended.
        Some(code) if *code == SqlState::from_code("25P03") => StoreError::Unavailable(text),
        // Classes 08 (connection), 40 (rollback), 53 (resources), 57 (shutdown) pass; the rest is a fault of ours.
        Some(code) if ["08", "40", "53", "57"].iter().any(|class| code.code().starts_with(class)) => {
            StoreError::Unavailable(text)
        }
        Some(code) => StoreError::Failed(format!("{text} (SQLSTATE {})", code.code())),
        None => StoreError::Unavailable(text),
    }
}
