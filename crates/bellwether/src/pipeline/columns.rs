//! What a source's columns may be used for, by their types, and the SQL that reads them. Pure.
//!
//! Here is refused what would be silently wrong: a number as a time, a double as an identifier. The same is asked when a
//! source is stored and when a run begins, for files change.

use bellwether_warehouse::{Column, ColumnType, Dialect};

/// Columns that an error names.
const MOST_NAMED: usize = 30;

/// The columns of one source's SQL.
pub struct Columns<'a> {
    pub dialect: Dialect,
    /// How messages call the source, like `the fact source 'Orders'`.
    pub source: String,
    pub columns: &'a [Column],
}

/// An identifier: a subject, a key, a variation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub sql: String,
    pub kind: KeyKind,
}

/// What identifiers are compared as. Two columns of one kind are compared as they are, else both as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Int,
    Text,
}

/// A time in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    pub sql: String,
    /// A condition under which it is a day without a time of day; `None`: never.
    pub is_day: Option<String>,
    /// Whether it is a day always.
    pub is_by_day: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub sql: String,
    /// Where it stands, in words, if it may be a number that is none; `None`: it cannot.
    pub place: Option<String>,
    /// A condition under which a text that is there is no number; `None`: never.
    pub is_unreadable: Option<String>,
    /// The same as a decimal, whose sums are exact as decimals are.
    pub decimal: Option<String>,
}

impl Columns<'_> {
    fn kind(&self, name: &str) -> Result<ColumnType, String> {
        if self.columns.iter().filter(|column| column.name == name).count() > 1 {
            return Err(format!(
                "{} has more than one column '{name}', and nothing says which is meant; give each a name of its own (AS)",
                self.source
            ));
        }
        self.columns.iter().find(|column| column.name == name).map(|column| column.kind).ok_or_else(|| {
            let known: Vec<_> = self.columns.iter().take(MOST_NAMED).map(|column| column.name.as_str()).collect();
            let more = if self.columns.len() > MOST_NAMED { ", …" } else { "" };
            format!("the SQL has no column '{name}'; its columns are: {}{more}", known.join(", "))
        })
    }

    /// As a subject, an experiment's key or a variation.
    pub fn key(&self, name: &str) -> Result<Key, String> {
        let column = self.dialect.identifier(name);
        match self.kind(name)? {
            ColumnType::Text => Ok(Key { sql: column, kind: KeyKind::Text }),
            ColumnType::Int => Ok(Key { sql: column, kind: KeyKind::Int }),
            ColumnType::Bool | ColumnType::Decimal | ColumnType::Date | ColumnType::Timestamp => {
                Ok(Key { sql: self.dialect.to_text(&column), kind: KeyKind::Text })
            }
            ColumnType::Float => Err(format!(
                "the column '{name}' of {} holds floating-point numbers, of which two that look the same may differ; an \
                 identifier must be text or a whole number: write CAST({column} AS BIGINT) in the SQL if they are whole, \
                 or, for a file of text, set the column to \"text\" in `tables` of the warehouse",
                self.source
            )),
            ColumnType::Other => Err(self.unusable(name, "an identifier")),
        }
    }

    pub fn time(&self, name: &str) -> Result<Time, String> {
        let column = self.dialect.identifier(name);
        let sql = self.dialect.micros(&column);
        match self.kind(name)? {
            ColumnType::Timestamp => Ok(Time { sql, is_day: None, is_by_day: false }),
            ColumnType::Date => Ok(Time { sql, is_day: Some("TRUE".to_owned()), is_by_day: true }),
            // A text of ten characters that is a time is a day: 2026-03-01.
            ColumnType::Text => {
                let length = self.dialect.length(&column);
                let is_day = format!("{length} <= 10");
                // Alone in its column 2026-03-01 10:00 would be a time; among other notations it is one too.
                let with_seconds = format!("CASE WHEN {length} = 16 THEN {column} || ':00' ELSE {column} END");
                Ok(Time { sql: self.dialect.micros(&with_seconds), is_day: Some(is_day), is_by_day: false })
            }
            ColumnType::Int | ColumnType::Float | ColumnType::Decimal => Err(format!(
                "the column '{name}' of {} holds numbers, and nothing says of which unit and since when; make times of \
                 them in the SQL: to_timestamp_seconds({column}), to_timestamp_millis({column}) or \
                 to_timestamp_micros({column}) for what counts from 1970",
                self.source
            )),
            ColumnType::Bool | ColumnType::Other => Err(self.unusable(name, "a time")),
        }
    }

    /// As a fact's value: as a number, or as something that is there or not, and can be told from others.
    pub fn value(&self, name: &str, as_number: bool) -> Result<Value, String> {
        let column = self.dialect.identifier(name);
        let place = format!("the column '{name}' of {}", self.source);
        let readable = |sql| Ok(Value { sql, place: None, is_unreadable: None, decimal: None });
        match (self.kind(name)?, as_number) {
            // A number that is none is an error whatever is asked of it.
            (ColumnType::Float, _) => Ok(Value { place: Some(place), ..readable(self.dialect.to_double(&column))? }),
            (ColumnType::Int, true) => readable(self.dialect.to_double(&column)),
            (ColumnType::Decimal, true) => {
                Ok(Value { decimal: Some(column.clone()), ..readable(self.dialect.to_double(&column))? })
            }
            (ColumnType::Bool, true) => readable(format!(
                "CASE WHEN {column} THEN {} WHEN NOT {column} THEN {} END",
                self.dialect.number(1.0),
                self.dialect.number(0.0)
            )),
            (ColumnType::Text, true) => {
                let number = self.dialect.try_double(&column);
                let is_unreadable = Some(format!("{column} IS NOT NULL AND {number} IS NULL"));
                Ok(Value { place: Some(place), is_unreadable, ..readable(number)? })
            }
            (ColumnType::Date | ColumnType::Timestamp, true) => Err(format!(
                "{place} holds times, which are no amounts; give the fact a column of numbers, or use an operation that \
                 only counts"
            )),
            (ColumnType::Other, _) => Err(self.unusable(name, "a value")),
            (_, false) => readable(column),
        }
    }

    /// As a property that is compared with texts.
    pub fn property(&self, name: &str) -> Result<String, String> {
        match self.kind(name)? {
            ColumnType::Other => Err(self.unusable(name, "a property")),
            ColumnType::Text => Ok(self.dialect.identifier(name)),
            _ => Ok(self.dialect.to_text(&self.dialect.identifier(name))),
        }
    }

    fn unusable(&self, name: &str, role: &str) -> String {
        format!(
            "the column '{name}' of {} holds what cannot be {role}; CAST it in the SQL to one of text, a number, a date or \
             a timestamp",
            self.source
        )
    }
}

impl Key {
    /// Itself as text.
    pub fn text(&self, dialect: Dialect) -> String {
        match self.kind {
            KeyKind::Text => self.sql.clone(),
            KeyKind::Int => dialect.to_text(&self.sql),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [(&str, ColumnType); 8] = [
        ("b", ColumnType::Bool),
        ("i", ColumnType::Int),
        ("f", ColumnType::Float),
        ("d", ColumnType::Decimal),
        ("t", ColumnType::Text),
        ("day", ColumnType::Date),
        ("at", ColumnType::Timestamp),
        ("o", ColumnType::Other),
    ];

    fn refused<T>(of: impl Fn(&Columns<'_>, &str) -> Result<T, String>) -> Vec<&'static str> {
        let columns: Vec<_> =
            TYPES.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect();
        let columns = Columns { dialect: Dialect::DataFusion, source: "the source 's'".into(), columns: &columns };
        TYPES.iter().map(|(name, _)| *name).filter(|name| of(&columns, name).is_err()).collect()
    }

    #[test]
    fn each_role_refuses_the_types_that_would_be_silently_wrong() {
        assert_eq!(refused(|columns, name| columns.key(name)), ["f", "o"]);
        assert_eq!(refused(|columns, name| columns.time(name)), ["b", "i", "f", "d", "o"]);
        assert_eq!(refused(|columns, name| columns.value(name, true)), ["day", "at", "o"]);
        assert_eq!(refused(|columns, name| columns.value(name, false)), ["o"]);
        assert_eq!(refused(|columns, name| columns.property(name)), ["o"]);
        assert_eq!(refused(|columns, name| columns.key(&format!("no {name}"))).len(), 8);
    }

    #[test]
    fn a_refusal_names_the_way_out() {
        let columns =
            [Column { name: "ts".into(), kind: ColumnType::Int }, Column { name: "u".into(), kind: ColumnType::Float }];
        let columns =
            Columns { dialect: Dialect::DataFusion, source: "the fact source 'Orders'".into(), columns: &columns };
        let time = columns.time("ts").unwrap_err();
        assert!(
            time.contains("'ts' of the fact source 'Orders'") && time.contains("to_timestamp_seconds(\"ts\")"),
            "{time}"
        );
        let key = columns.key("u").unwrap_err();
        assert!(key.contains("CAST(\"u\" AS BIGINT)") && key.contains("`tables`"), "{key}");
        let missing = columns.time("at").unwrap_err();
        assert_eq!(missing, "the SQL has no column 'at'; its columns are: ts, u");
    }
}
