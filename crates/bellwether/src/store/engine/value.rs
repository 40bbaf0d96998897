//! The values that go to both databases, and what comes back: rows that know their columns by name and are read in place.

use serde::de::DeserializeOwned;

use super::tolerant::{self, Kept};
use crate::domain::clock::Timestamp;
use crate::store::StoreError;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    /// Of a few that the program knows.
    Word(&'static str),
    Blob(Vec<u8>),
    /// An id of what there is very much of: 16 bytes, in whose order time goes.
    Id([u8; 16]),
    /// A column of many rows under one statement. SQLite takes rows one by one.
    List(Vec<Value>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::from(value.to_owned())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::from(value.clone())
    }
}

/// PostgreSQL has no text with a NUL in it, and SQLite's functions end at it: it is shown as what cannot be shown.
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(if value.contains('\0') { value.replace('\0', "\u{fffd}") } else { value })
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Self {
        Self::List(values)
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Int(value.as_micros())
    }
}

impl<T> From<Option<T>> for Value
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// A value as the database has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// What a column can be read as; the error says what stands there instead.
pub trait FromCell: Sized {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String>;
}

fn mismatch<T>(expected: &str, found: Cell<'_>) -> Result<T, String> {
    let kind = match found {
        Cell::Null => "NULL",
        Cell::Int(_) => "an integer",
        Cell::Real(_) => "a float",
        Cell::Text(_) => "text",
        Cell::Blob(_) => "a blob",
    };
    Err(format!("{expected} was expected, {kind} was found"))
}

impl FromCell for i64 {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
        if let Cell::Int(int) = cell { Ok(int) } else { mismatch("an integer", cell) }
    }
}

impl FromCell for u32 {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
        Self::try_from(i64::from_cell(cell)?).map_err(|error| error.to_string())
    }
}

impl FromCell for u64 {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
        Self::try_from(i64::from_cell(cell)?).map_err(|error| error.to_string())
    }
}

impl FromCell for bool {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
        match cell {
            Cell::Int(0) => Ok(false),
            Cell::Int(1) => Ok(true),
            other => mismatch("0 or 1", other),
        }
    }
}

impl FromCell for f64 {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
        if let Cell::Real(real) = cell { Ok(real) } else { mismatch("a float", cell) }
    }
}

impl FromCell for String {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
        if let Cell::Text(text) = cell { Ok(text.to_owned()) } else { mismatch("text", cell) }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
        if let Cell::Blob(bytes) = cell { Ok(bytes.to_vec()) } else { mismatch("a blob", cell) }
    }
}

impl FromCell for Timestamp {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
        i64::from_cell(cell).map(Self::from_micros)
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
        if cell == Cell::Null { Ok(None) } else { T::from_cell(cell).map(Some) }
    }
}

macro_rules! ids_as_text {
    ($($name:ident),*) => {$(
        impl From<crate::domain::id::$name> for Value {
            fn from(id: crate::domain::id::$name) -> Self {
                Self::Text(id.to_string())
            }
        }

        impl FromCell for crate::domain::id::$name {
            fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
                if let Cell::Text(text) = cell { text.parse() } else { mismatch("an id", cell) }
            }
        }
    )*};
}

ids_as_text!(
    EndpointId,
    EndpointChangeId,
    RecoveryId,
    NodeId,
    RunId,
    KeyId,
    EntityId,
    WarehouseId,
    AssignmentSourceId,
    FactSourceId,
    FactId,
    MetricId,
    CollectionId,
    GroupId,
    ScheduleId,
    TeamId,
    PersonId,
    LoginLinkId,
    SessionId
);

macro_rules! ids_as_bytes {
    ($($name:ident),*) => {$(
        impl From<crate::domain::id::$name> for Value {
            fn from(id: crate::domain::id::$name) -> Self {
                Self::Id(id.to_bytes())
            }
        }

        impl FromCell for crate::domain::id::$name {
            fn from_cell(cell: Cell<'_>) -> Result<Self, String> {
                let bytes = if let Cell::Blob(bytes) = cell { bytes } else { return mismatch("an id", cell) };
                bytes.try_into().map(Self::from_bytes).map_err(|_| format!("an id has 16 bytes, not {}", bytes.len()))
            }
        }
    )*};
}

ids_as_bytes!(EventId, DeliveryId);

/// A row as a database's client gives it.
pub(super) trait Cells {
    fn cell(&self, index: usize) -> Result<Cell<'_>, String>;
}

/// One row of a result, while it is read.
pub struct Row<'a> {
    columns: &'a [String],
    cells: &'a dyn Cells,
    /// Columns are mostly asked for in their order.
    next: std::cell::Cell<usize>,
}

impl<'a> Row<'a> {
    pub(super) fn of(columns: &'a [String], cells: &'a dyn Cells) -> Self {
        Self { columns, cells, next: std::cell::Cell::new(0) }
    }

    fn cell(&self, column: &'static str) -> Result<Cell<'_>, StoreError> {
        let next = self.next.get();
        let index = match self.columns.get(next) {
            Some(name) if name == column => Some(next),
            _ => self.columns.iter().position(|name| name == column),
        };
        let index = index.ok_or_else(|| self.corrupt(column, "the statement does not give this column".to_owned()))?;
        self.next.set(index + 1);
        self.cells.cell(index).map_err(|reason| self.corrupt(column, reason))
    }

    pub fn get<T: FromCell>(&self, column: &'static str) -> Result<T, StoreError> {
        T::from_cell(self.cell(column)?).map_err(|reason| self.corrupt(column, reason))
    }

    /// A column of text, where it stands.
    pub fn text(&self, column: &'static str) -> Result<&str, StoreError> {
        match self.cell(column)? {
            Cell::Text(text) => Ok(text),
            other => mismatch("text", other).map_err(|reason| self.corrupt(column, reason)),
        }
    }

    /// A column of JSON text.
    pub fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        self.kept_json(column).map(|(value, _)| value)
    }

    /// The same for who will write it back, with what this program does not know of it.
    pub fn kept_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<(T, Option<Kept>), StoreError> {
        tolerant::parse(self.text(column)?).map_err(|error| self.corrupt(column, error.to_string()))
    }

    pub fn optional_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        if self.cell(column)? == Cell::Null { Ok(None) } else { self.json(column).map(Some) }
    }

    /// A column of one of a few words.
    pub fn word<T>(&self, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text = self.text(column)?;
        parse(text).ok_or_else(|| self.corrupt(column, format!("'{text}' is not one of its words")))
    }

    pub fn optional_word<T>(
        &self,
        column: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        if self.cell(column)? == Cell::Null { Ok(None) } else { self.word(column, parse).map(Some) }
    }

    pub fn corrupt(&self, column: &'static str, reason: String) -> StoreError {
        let row = match self.cells.cell(0) {
            Ok(Cell::Text(text)) => text.to_owned(),
            Ok(Cell::Int(int)) => int.to_string(),
            Ok(Cell::Blob(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            other => format!("{other:?}"),
        };
        StoreError::Corrupt { table: "?", column, row, reason }
    }
}

/// JSON text for a column.
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    to_kept_json(value, None)
}

/// The same with what was unknown in the text that it comes from.
pub fn to_kept_json<T: serde::Serialize>(value: &T, kept: Option<&Kept>) -> Result<String, StoreError> {
    tolerant::to_text(value, kept).map_err(|error| StoreError::Failed(format!("cannot write JSON: {error}")))
}
