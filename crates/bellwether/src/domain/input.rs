//! What users write, JSON objects, read as our types: every field that cannot be read is named, not only the first, and a list
//! is never read as an object by the order of its items. What a value means is for each type to judge (see `Validate`).

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, Unexpected, Visitor};
use serde_json::{Map, Value};

use super::error::{FieldErrors, Refusal, in_plain_words};

/// The fields of an object read as `T`.
pub fn read<T: DeserializeOwned>(mut fields: Map<String, Value>) -> Result<T, Refusal> {
    let mut errors = FieldErrors::default();
    let mut taken_out = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(Strict(Value::Object(fields.clone()))) {
            Ok(read) if taken_out.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(error) => error,
        };
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        if let Some(missing) = quoted_after(&message, "missing field ").filter(|_| path == ".") {
            // What was there and could not be read is named already.
            if !taken_out.iter().any(|name| name == missing) {
                errors.add(missing, "it is missing; give it".to_owned());
            }
            break;
        }
        let field = match (path.as_str(), quoted_after(&message, "unknown field ")) {
            (".", Some(unknown)) => unknown.to_owned(),
            (".", None) => "body".to_owned(),
            _ => path.clone(),
        };
        errors.add(&field, in_plain_words(&message));
        // Without it, the others can be read.
        let name = field.split(['.', '[']).next().unwrap_or_default();
        let Some((name, _)) = fields.shift_remove_entry(name) else { break };
        taken_out.push(name);
    }
    Err(errors.finish().err().unwrap_or_else(|| Refusal::invalid("body", "it cannot be read")))
}

/// The name in backquotes that follows `front`.
fn quoted_after<'m>(message: &'m str, front: &str) -> Option<&'m str> {
    message.strip_prefix(front)?.strip_prefix('`')?.split('`').next()
}

/// JSON in which an object is an object: serde would read a list as one, too.
struct Strict(Value);

impl<'de> Deserializer<'de> for Strict {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Strict));
                let read = visitor.visit_seq(&mut items)?;
                items.end().map(|()| read)
            }
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, Strict(value)));
                visitor.visit_map(MapDeserializer::new(fields))
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if self.0.is_array() {
            return Err(Error::invalid_type(Unexpected::Seq, &"an object"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

impl IntoDeserializer<'_, serde_json::Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::configuration::Configuration;
    use crate::domain::definition::{AssignmentSource, FactSource, Schedule};
    use crate::domain::endpoint::Settings;

    fn refused<T: DeserializeOwned>(body: Value) -> Vec<String> {
        let Value::Object(fields) = body else { panic!("no object") };
        match read::<T>(fields) {
            Err(Refusal::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
            Err(other) => panic!("{other}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn every_field_that_cannot_be_read_is_named() {
        let wrong = json!({"bogus": 1, "key": 5, "tags": "x", "variations": {}, "traffic_allocation": 0.5});
        let mut fields = refused::<Configuration>(wrong);
        fields.sort();
        assert_eq!(fields, ["bogus", "key", "tags", "variations"]);
        assert_eq!(refused::<Configuration>(json!({"key": "k", "tags": "x"})), ["tags", "name"]);
        assert_eq!(refused::<Configuration>(json!({"key": "k"})), ["name"]);
        let within = json!({"key": "k", "name": "n", "variations": [{"key": "a", "weight": "1"}]});
        assert_eq!(refused::<Configuration>(within), ["variations[0].weight"]);
        let right = json!({"key": "k", "name": "n", "variations": [{"key": "a", "weight": 1}], "schedule_id": null});
        assert_eq!(refused::<Configuration>(right), [""; 0]);
    }

    #[test]
    fn a_list_is_no_object_at_any_depth() {
        let source = |columns: Value| {
            let (warehouse, entity) = (crate::domain::id::WarehouseId::of(1), crate::domain::id::EntityId::of(1));
            json!({"name": "s", "warehouse_id": warehouse, "entity_id": entity, "sql": "x", "columns": columns})
        };
        assert_eq!(refused::<AssignmentSource>(source(json!(["user", "ts", "exp", "variant"]))), ["columns"]);
        let lists = json!({"url": "https://example.com", "filter": [], "tls": []});
        assert_eq!(refused::<Settings>(lists), ["filter", "tls"]);
        let variations = json!({"key": "k", "name": "n", "variations": [["c", "c", 1, true, true]]});
        assert_eq!(refused::<Configuration>(variations), ["variations[0]"]);
        let facts = json!({"name": "f", "warehouse_id": crate::domain::id::WarehouseId::of(1), "sql": "x",
            "timestamp_column": "at", "entities": [], "facts": [["amt", "amount", "increase"]]});
        assert_eq!(refused::<FactSource>(facts), ["facts[0]"]);
        assert_eq!(refused::<Schedule>(json!({"name": "s", "cron": ["*"], "time_zone": {}})), ["cron", "time_zone"]);
    }
}
