//! The values that go to and come from both databases, and rows that know their columns by name.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::StoreError;
use crate::clock::Timestamp;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
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
        Self::Text(value.to_owned())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
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

/// What a column can be read as; the error says what stands there instead.
pub trait FromValue: Sized {
    fn from_value(value: &Value) -> Result<Self, String>;
}

fn mismatch<T>(expected: &str, found: &Value) -> Result<T, String> {
    let kind = match found {
        Value::Null => "NULL",
        Value::Int(_) => "an integer",
        Value::Real(_) => "a float",
        Value::Text(_) => "text",
        Value::Blob(_) => "a blob",
    };
    Err(format!("{expected} was expected, {kind} was found"))
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        if let Value::Int(int) = value { Ok(*int) } else { mismatch("an integer", value) }
    }
}

impl FromValue for u32 {
    fn from_value(value: &Value) -> Result<Self, String> {
        Self::try_from(i64::from_value(value)?).map_err(|error| error.to_string())
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        Self::try_from(i64::from_value(value)?).map_err(|error| error.to_string())
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(0) => Ok(false),
            Value::Int(1) => Ok(true),
            other => mismatch("0 or 1", other),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        if let Value::Real(real) = value { Ok(*real) } else { mismatch("a float", value) }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        if let Value::Text(text) = value { Ok(text.clone()) } else { mismatch("text", value) }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self, String> {
        if let Value::Blob(bytes) = value { Ok(bytes.clone()) } else { mismatch("a blob", value) }
    }
}

impl FromValue for Timestamp {
    fn from_value(value: &Value) -> Result<Self, String> {
        i64::from_value(value).map(Self::from_micros)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, String> {
        if *value == Value::Null { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

macro_rules! ids_as_text {
    ($($name:ident),*) => {$(
        impl From<crate::id::$name> for Value {
            fn from(id: crate::id::$name) -> Self {
                Self::Text(id.to_string())
            }
        }

        impl FromValue for crate::id::$name {
            fn from_value(value: &Value) -> Result<Self, String> {
                if let Value::Text(text) = value { text.parse() } else { mismatch("an id", value) }
            }
        }
    )*};
}

ids_as_text!(
    EventId,
    EndpointId,
    EndpointChangeId,
    DeliveryId,
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
    ScheduleId
);

/// One row of a result.
#[derive(Debug, Clone)]
pub struct Row {
    pub(super) columns: Arc<[String]>,
    pub(super) values: Vec<Value>,
}

impl Row {
    pub fn get<T: FromValue>(&self, column: &'static str) -> Result<T, StoreError> {
        let value = self.columns.iter().position(|name| name == column).and_then(|index| self.values.get(index));
        let value = value.ok_or_else(|| self.corrupt(column, "the statement does not give this column".to_owned()))?;
        T::from_value(value).map_err(|reason| self.corrupt(column, reason))
    }

    /// A column of JSON text.
    pub fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| self.corrupt(column, error.to_string()))
    }

    pub fn optional_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.corrupt(column, error.to_string())))
            .transpose()
    }

    /// A column of one of a few words.
    pub fn word<T>(&self, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        parse(&text).ok_or_else(|| self.corrupt(column, format!("'{text}' is not one of its words")))
    }

    pub fn corrupt(&self, column: &'static str, reason: String) -> StoreError {
        let row = match self.values.first() {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Int(int)) => int.to_string(),
            other => format!("{other:?}"),
        };
        StoreError::Corrupt { table: "?", column, row, reason }
    }
}

/// JSON text for a column.
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(format!("cannot write JSON: {error}")))
}
