//! What users write, JSON objects, read as our types: every field that cannot be read is named, not only the first, and a list
//! is never read as an object by the order of its items. What a value means is for each type to judge (see `Validate`).

use std::cell::Cell;
use std::collections::VecDeque;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde_json::{Map, Value};

use super::error::{FieldErrors, MOST_ERRORS, Refusal, in_plain_words};

const MISSING: &str = "it is missing; give it";

/// The fields of an object read as `T`. However many cannot be read, each is looked at no more than a few times.
pub fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Refusal> {
    let mut fields: VecDeque<_> = fields.into_iter().collect();
    let mut errors = FieldErrors::default();
    let mut left_out = Vec::new();
    while left_out.len() < MOST_ERRORS {
        let passed = Cell::new(0);
        let error = match serde_path_to_error::deserialize(Fields { fields: &fields, passed: &passed }) {
            Ok(read) if left_out.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(error) => error,
        };
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        if passed.get() > fields.len() {
            // Nothing is wrong with any of them, but with the whole.
            match quoted_after(&message, "missing field ").filter(|_| path == ".") {
                // What was there and could not be read is named already.
                Some(missing) if left_out.iter().any(|name| name == missing) => {}
                Some(missing) => errors.add(missing, MISSING.to_owned()),
                None => errors.add(if path == "." { "body" } else { &path }, in_plain_words(&message)),
            }
            break;
        }
        let Some(at) = passed.get().checked_sub(1) else { break };
        // Without it, the others can be read: those behind it first, as those before it can.
        fields.rotate_left(at);
        let Some((name, _)) = fields.pop_front() else { break };
        match quoted_after(&message, "missing field ") {
            Some(missing) if path != "." => errors.add(format!("{path}.{missing}"), MISSING.to_owned()),
            _ => errors.add(if path == "." { &name } else { &path }, in_plain_words(&message)),
        }
        left_out.push(name);
    }
    Err(errors.finish().err().unwrap_or_else(|| Refusal::invalid("body", "it cannot be read")))
}

/// The name in backquotes that follows `front`.
fn quoted_after<'m>(message: &'m str, front: &str) -> Option<&'m str> {
    message.strip_prefix(front)?.strip_prefix('`')?.split('`').next()
}

/// The fields of an object, and how far they have been read: how many were passed, and one more when none were left.
struct Fields<'de> {
    fields: &'de VecDeque<(String, Value)>,
    passed: &'de Cell<usize>,
}

impl<'de> Deserializer<'de> for Fields<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        let next = self.fields.get(self.passed.get());
        self.passed.set(self.passed.get() + 1);
        next.map(|(name, _)| seed.deserialize(name.as_str().into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        let (_, value) = &self.fields[self.passed.get() - 1];
        seed.deserialize(Strict(value))
    }
}

/// JSON in which an object is an object: serde would read a list as one, too.
struct Strict<'de>(&'de Value);

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.iter().map(Strict));
                let read = visitor.visit_seq(&mut items)?;
                items.end().map(|()| read)
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.as_str(), Strict(value)));
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

impl<'de> IntoDeserializer<'de, serde_json::Error> for Strict<'de> {
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
        let missing = json!({"key": "k", "name": "n", "variations": [{"key": "a", "weight": 1}, {"weight": 1}]});
        assert_eq!(refused::<Configuration>(missing), ["variations[1].key"]);
        let right = json!({"key": "k", "name": "n", "variations": [{"key": "a", "weight": 1}], "schedule_id": null});
        assert_eq!(refused::<Configuration>(right), [""; 0]);
    }

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    /// What counts how often it is looked at.
    #[derive(Debug)]
    struct Counted;

    impl<'de> serde::Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            LOOKS.set(LOOKS.get() + 1);
            u64::deserialize(deserializer).map(|_| Self)
        }
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Long {
        items: Vec<Counted>,
        last: Counted,
    }

    /// How many errors there are, and how often what counts was looked at.
    fn looks(unknown: usize, items: usize, last: &Value) -> (usize, usize) {
        let mut fields = Map::new();
        fields.insert("items".to_owned(), vec![0; items].into());
        fields.extend((0..unknown).map(|number| (format!("u{number}"), Value::Null)));
        fields.insert("last".to_owned(), last.clone());
        LOOKS.set(0);
        let Err(Refusal::Invalid(errors)) = read::<Long>(fields) else { panic!("it was read") };
        (errors.len(), LOOKS.get())
    }

    #[test]
    fn many_that_cannot_be_read_cost_little_more_than_one() {
        assert_eq!(looks(1, 10_000, &json!(1)), (1, 20_001));
        assert_eq!(looks(99, 10_000, &json!("x")), (100, 10_001), "a hundred are enough");
        // What was left out is asked for once more, as missing.
        assert_eq!(looks(98, 10_000, &json!("x")), (99, 20_002));
        assert_eq!(looks(100_000, 1, &json!("x")), (100, 1));
        assert_eq!(looks(0, 100_000, &json!("x")), (1, 200_002));
    }

    #[test]
    fn a_field_is_named_whole_whatever_its_name() {
        for odd in ["key.x", "key[0]", "key`x", ".", "", "missing field `key`"] {
            let mut found = refused::<Configuration>(json!({"key": "k", "name": "n", odd: 1, "bogus": 2}));
            found.sort();
            let mut named = [odd, "bogus"];
            named.sort_unstable();
            assert_eq!(found, named);
        }
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
