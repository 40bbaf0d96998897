//! What the author of a warehouse says about its tables, where the files alone do not tell it or tell it otherwise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableSettings {
    /// The types of columns, by name. The others' are found in the files.
    #[serde(default)]
    pub columns: BTreeMap<String, SaidType>,
}

/// A type that a column is said to have. A value that does not fit it is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SaidType {
    /// The text as it stands.
    Text,
    /// A whole number of 64 bits; `007` and `+7` are 7.
    Int,
    /// A number, in any usual notation.
    Float,
    /// `true` or `false`, in any case, `1` or `0`.
    Bool,
    /// `2026-03-01`
    Date,
    /// A time in any of the notations that are read, each value in its own; or a date, for its midnight.
    Timestamp,
}

impl SaidType {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            SaidType::Text => "text",
            SaidType::Int => "int",
            SaidType::Float => "float",
            SaidType::Bool => "bool",
            SaidType::Date => "date",
            SaidType::Timestamp => "timestamp",
        }
    }
}
