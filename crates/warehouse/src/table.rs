//! Answers of a warehouse, small enough to hold in memory: aggregates and previews.
//!
//! Not a data frame: rows are read with typed getters that name the place where something else stands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One value. Integers beyond 64 bits and decimals come as `Float`; a date is a `Timestamp` at UTC midnight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(#[serde(with = "any_float")] f64),
    Text(String),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
}

impl Cell {
    fn kind(&self) -> &'static str {
        match self {
            Cell::Null => "null",
            Cell::Bool(_) => "a boolean",
            Cell::Int(_) => "an integer",
            Cell::Float(_) => "a number",
            Cell::Text(_) => "a text",
            Cell::Timestamp(_) => "a timestamp",
        }
    }
}

/// Columns by name, rows in the order of the query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

/// What a column of a query or file holds, as far as definitions need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    Bool,
    Int,
    Float,
    Decimal,
    Text,
    Date,
    Timestamp,
    /// Lists, structures, binary and the like: they can be cast in SQL, not read here.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// A column of a table that SQL can name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// What its type was chosen by.
    pub why: String,
}

/// A table that SQL can name, for people and completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInfo {
    pub name: String,
    /// The file or folder it is read from, relative to the warehouse's root.
    pub file: String,
    /// How many files that are.
    pub files: u64,
    pub columns: Vec<TableColumn>,
    /// Why it cannot be read, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("there is no column {column:?}; the columns are {columns:?}")]
    NoColumn { column: String, columns: Vec<String> },
    #[error("there is no row {row}; there are {rows}, counted from 0")]
    NoRow { row: usize, rows: usize },
    #[error("column {column:?} of row {row} holds {found}, expected {expected}: cast it in the SQL")]
    WrongType { column: String, row: usize, found: &'static str, expected: &'static str },
}

impl Table {
    /// The cell in `column` of `row`, counted from 0.
    pub fn cell(&self, row: usize, column: &str) -> Result<&Cell, TableError> {
        let place = self
            .columns
            .iter()
            .position(|name| name == column)
            .ok_or_else(|| TableError::NoColumn { column: column.to_owned(), columns: self.columns.clone() })?;
        let cells = self.rows.get(row).ok_or(TableError::NoRow { row, rows: self.rows.len() })?;
        Ok(cells.get(place).unwrap_or(&Cell::Null))
    }

    pub fn bool(&self, row: usize, column: &str) -> Result<bool, TableError> {
        self.required(row, column, "a boolean", Cell::as_bool)
    }

    pub fn int(&self, row: usize, column: &str) -> Result<i64, TableError> {
        self.required(row, column, "an integer", Cell::as_int)
    }

    /// As [`Table::int`], `None` for null.
    pub fn optional_int(&self, row: usize, column: &str) -> Result<Option<i64>, TableError> {
        self.optional(row, column, "an integer or null", Cell::as_int)
    }

    /// A number; integers are widened (exact below 2^53).
    pub fn float(&self, row: usize, column: &str) -> Result<f64, TableError> {
        self.required(row, column, "a number", Cell::as_float)
    }

    /// As [`Table::float`], `None` for null.
    pub fn optional_float(&self, row: usize, column: &str) -> Result<Option<f64>, TableError> {
        self.optional(row, column, "a number or null", Cell::as_float)
    }

    pub fn text(&self, row: usize, column: &str) -> Result<&str, TableError> {
        self.required(row, column, "a text", Cell::as_text)
    }

    /// As [`Table::text`], `None` for null.
    pub fn optional_text(&self, row: usize, column: &str) -> Result<Option<&str>, TableError> {
        self.optional(row, column, "a text or null", Cell::as_text)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn timestamp(&self, row: usize, column: &str) -> Result<i64, TableError> {
        self.required(row, column, "a timestamp", Cell::as_timestamp)
    }

    /// As [`Table::timestamp`], `None` for null.
    pub fn optional_timestamp(&self, row: usize, column: &str) -> Result<Option<i64>, TableError> {
        self.optional(row, column, "a timestamp or null", Cell::as_timestamp)
    }

    fn required<'a, T>(
        &'a self,
        row: usize,
        column: &str,
        expected: &'static str,
        read: impl Fn(&'a Cell) -> Option<T>,
    ) -> Result<T, TableError> {
        let cell = self.cell(row, column)?;
        read(cell).ok_or_else(|| TableError::WrongType { column: column.to_owned(), row, found: cell.kind(), expected })
    }

    fn optional<'a, T>(
        &'a self,
        row: usize,
        column: &str,
        expected: &'static str,
        read: impl Fn(&'a Cell) -> Option<T>,
    ) -> Result<Option<T>, TableError> {
        match self.cell(row, column)? {
            Cell::Null => Ok(None),
            _ => self.required(row, column, expected, read).map(Some),
        }
    }
}

impl Cell {
    fn as_bool(&self) -> Option<bool> {
        if let Cell::Bool(value) = self { Some(*value) } else { None }
    }

    fn as_int(&self) -> Option<i64> {
        if let Cell::Int(value) = self { Some(*value) } else { None }
    }

    fn as_float(&self) -> Option<f64> {
        match self {
            Cell::Float(value) => Some(*value),
            Cell::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    fn as_text(&self) -> Option<&str> {
        if let Cell::Text(value) = self { Some(value) } else { None }
    }

    fn as_timestamp(&self) -> Option<i64> {
        if let Cell::Timestamp(value) = self { Some(*value) } else { None }
    }
}

/// JSON has no infinities and no NaN; they travel as text.
mod any_float {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(f64),
        Name(String),
    }

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.serialize_str(&value.to_string()) }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Number(value) => Ok(value),
            Form::Name(name) => name.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_survive_json_to_the_last_bit() {
        let cells = vec![
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(i64::MIN),
            Cell::Float(0.1 + 0.2),
            Cell::Float(-0.0),
            Cell::Float(5e-324),
            Cell::Float(f64::NEG_INFINITY),
            Cell::Text("\u{2028}\"🦀".into()),
            Cell::Timestamp(-1),
        ];
        let line = serde_json::to_string(&cells).unwrap();
        let back: Vec<Cell> = serde_json::from_str(&line).unwrap();
        assert_eq!(format!("{back:?}"), format!("{cells:?}"));
        let nan: Cell = serde_json::from_str(&serde_json::to_string(&Cell::Float(f64::NAN)).unwrap()).unwrap();
        assert!(matches!(nan, Cell::Float(value) if value.is_nan()));
    }

    #[test]
    fn getters_name_the_place() {
        let table = Table { columns: vec!["n".into()], rows: vec![vec![Cell::Int(2)], vec![Cell::Null]] };
        assert_eq!(table.float(0, "n"), Ok(2.0));
        assert_eq!(table.optional_float(1, "n"), Ok(None));
        assert_eq!(
            table.text(0, "n").unwrap_err().to_string(),
            "column \"n\" of row 0 holds an integer, expected a text: cast it in the SQL"
        );
        assert!(table.int(1, "n").unwrap_err().to_string().contains("holds null"));
        assert!(table.int(2, "n").unwrap_err().to_string().contains("no row 2; there are 2"));
        assert!(table.int(0, "m").unwrap_err().to_string().contains("no column \"m\""));
    }
}
