//! A transaction on a connection of SQLite's: statements kept prepared, values in and out, errors sorted. When it begins
//! and ends is not decided here.

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, ErrorCode, Statement, params_from_iter};
use rustc_hash::FxHashMap;

use crate::store::engine::batch::AfterCommit;
use crate::store::engine::value::Cells;
use crate::store::{Cell, Dialect, Known, MOST_PREPARED, Row, StoreError, Tx, Value};

/// One after the other, all transactions of a connection.
pub struct SqliteTx<'a> {
    connection: &'a Connection,
    prepared: Vec<Prepared<'a>>,
    /// Where each statement stands among those.
    places: FxHashMap<Box<str>, usize>,
    after_commit: Vec<AfterCommit>,
    known: Known,
    last_error: Option<StoreError>,
}

struct Prepared<'a> {
    statement: Statement<'a>,
    columns: Box<[String]>,
}

impl<'a> SqliteTx<'a> {
    pub fn on(connection: &'a Connection) -> Self {
        Self {
            connection,
            prepared: Vec::new(),
            places: FxHashMap::default(),
            after_commit: Vec::new(),
            known: Known::default(),
            last_error: None,
        }
    }

    /// Begins a transaction, and forgets the last one.
    pub fn begin(&mut self, sql: &str) -> Result<(), StoreError> {
        self.after_commit.clear();
        self.known = Known::default();
        self.last_error = None;
        self.run(sql)
    }

    /// A statement without values: of those that begin and end transactions.
    pub fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        self.execute(sql, &[]).map(drop)
    }

    /// Rolls back what is open, if something is.
    pub fn abandon(&mut self) {
        if !self.connection.is_autocommit() {
            let _ = self.run("ROLLBACK");
        }
    }

    /// Some errors roll back the whole transaction.
    pub fn check_open(&mut self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            return Ok(());
        }
        let error = self.last_error.take();
        Err(error.unwrap_or_else(|| StoreError::Failed("the transaction was rolled back".to_owned())))
    }

    /// Rows inserted, changed and deleted since the connection was opened.
    pub fn rows_written(&self) -> u64 {
        self.connection.total_changes()
    }

    pub fn actions_noted(&self) -> usize {
        self.after_commit.len()
    }

    /// What a closure that failed has left behind, beside its writes.
    pub fn forget_since(&mut self, noted: usize) {
        self.after_commit.truncate(noted);
        self.known = Known::default();
    }

    pub fn take_after_commit(&mut self) -> Vec<AfterCommit> {
        std::mem::take(&mut self.after_commit)
    }

    fn prepared(&mut self, sql: &str) -> rusqlite::Result<&mut Prepared<'a>> {
        let place = match self.places.get(sql) {
            Some(place) => *place,
            None => {
                if self.prepared.len() >= MOST_PREPARED {
                    self.places.clear();
                    self.prepared.clear();
                }
                let statement = self.connection.prepare(&numbered(sql))?;
                let columns = statement.column_names().map(str::to_owned).collect();
                self.prepared.push(Prepared { statement, columns });
                self.places.insert(sql.into(), self.prepared.len() - 1);
                self.prepared.len() - 1
            }
        };
        self.prepared.get_mut(place).ok_or(rusqlite::Error::InvalidQuery)
    }

    fn noting<T>(&mut self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let error = sort_error(error).in_file(self.connection.path().unwrap_or("the database"));
            self.last_error = Some(error.clone());
            error
        })
    }
}

impl Tx for SqliteTx<'_> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        let result = self.prepared(sql).and_then(|it| it.statement.execute(params_from_iter(params)));
        self.noting(result).map(|count| count as u64)
    }

    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut refused = Ok(());
        let result = self.prepared(sql).and_then(|Prepared { statement, columns }| {
            let mut rows = statement.query(params_from_iter(params))?;
            while refused.is_ok()
                && let Some(row) = rows.next()?
            {
                refused = each(&Row::of(columns, row));
            }
            Ok(())
        });
        self.noting(result).and(refused)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn known(&mut self) -> &mut Known {
        &mut self.known
    }

    fn after_commit(&mut self, then: AfterCommit) {
        self.after_commit.push(then);
    }
}

/// `$1` is a name to SQLite, numbered by first appearance; `?1` is what is meant. No statement has a `$` elsewhere.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

impl Cells for rusqlite::Row<'_> {
    fn cell(&self, index: usize) -> Result<Cell<'_>, String> {
        Ok(match self.get_ref(index).map_err(|error| error.to_string())? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(int) => Cell::Int(int),
            ValueRef::Real(real) => Cell::Real(real),
            ValueRef::Text(text) => Cell::Text(std::str::from_utf8(text).map_err(|error| error.to_string())?),
            ValueRef::Blob(bytes) => Cell::Blob(bytes),
        })
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqlValue::Null),
            Self::Int(int) => ToSqlOutput::Owned(SqlValue::Integer(*int)),
            Self::Real(real) => ToSqlOutput::Owned(SqlValue::Real(*real)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Word(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Id(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::List(_) => return Err(rusqlite::Error::ToSqlConversionFailure("SQLite has no lists".into())),
        })
    }
}

/// Sorted by SQLite's codes, never by its words.
pub fn sort_error(error: rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(code, message) = &error else { return StoreError::Failed(error.to_string()) };
    let text = message.clone().unwrap_or_else(|| code.to_string());
    match (code.code, code.extended_code) {
        (_, rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
            StoreError::Unique(text)
        }
        (_, rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => StoreError::Reference(text),
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => StoreError::Damaged(text),
        (ErrorCode::DiskFull, _) => StoreError::Full(text),
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory, _) => {
            StoreError::Unavailable(text)
        }
        _ => StoreError::Failed(text),
    }
}
