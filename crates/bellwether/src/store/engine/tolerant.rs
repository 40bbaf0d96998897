//! Stored JSON is read as tolerantly as may be: a newer program may have written it, with fields that this one does not know.
//! These are passed over, and written back with what this one changes. (The API is strict: there they are mistakes.)

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Unknown fields taken out of one text; more are no work of a program that is a little newer.
const MOST_UNKNOWN: usize = 1000;

/// A text with unknown fields: as it was, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    original: Value,
    known: Value,
}

/// Reads `text`, and keeps it if there is more in it than is known.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<(T, Option<Kept>), serde_json::Error> {
    let strict = match serde_json::from_str(text) {
        Ok(value) => return Ok((value, None)),
        Err(error) => error,
    };
    let Ok(original) = serde_json::from_str::<Value>(text) else { return Err(strict) };
    let mut known = original.clone();
    for _ in 0..MOST_UNKNOWN {
        match serde_path_to_error::deserialize(known.clone()) {
            Ok(value) => return Ok((value, Some(Kept { original, known }))),
            Err(error) if take_out(&mut known, &error) => {}
            Err(error) => return Err(error.into_inner()),
        }
    }
    Err(strict)
}

/// Takes the unknown field out that `error` names; `false` if it is another error.
fn take_out(value: &mut Value, error: &serde_path_to_error::Error<serde_json::Error>) -> bool {
    use serde_path_to_error::Segment;
    let text = error.inner().to_string();
    let Some(name) = text.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) else { return false };
    let mut place = value;
    let mut segments = error.path().iter().peekable();
    while let Some(segment) = segments.next() {
        let next = match segment {
            // The path may end with the field itself.
            Segment::Map { key } if segments.peek().is_none() && key == name => break,
            Segment::Map { key } => place.get_mut(key),
            Segment::Seq { index } => place.get_mut(index),
            Segment::Enum { .. } | Segment::Unknown => return false,
        };
        match next {
            Some(next) => place = next,
            None => return false,
        }
    }
    place.as_object_mut().is_some_and(|fields| fields.shift_remove(name).is_some())
}

/// `value` as JSON text, with what was unknown in the text that it comes from.
pub fn to_text<T: Serialize>(value: &T, kept: Option<&Kept>) -> Result<String, serde_json::Error> {
    match kept {
        None => serde_json::to_string(value),
        Some(Kept { original, known }) => Ok(merged(original, known, serde_json::to_value(value)?).to_string()),
    }
}

/// `new` with those fields of `original` that are not in `known`, wherever what is around them is still there.
fn merged(original: &Value, known: &Value, new: Value) -> Value {
    match (original, known, new) {
        (Value::Object(original), Value::Object(known), Value::Object(mut new)) => {
            for (name, field) in original {
                match (known.get(name), new.get_mut(name)) {
                    (None, None) => drop(new.insert(name.clone(), field.clone())),
                    (Some(known), Some(place)) => *place = merged(field, known, place.take()),
                    (None, Some(_)) | (Some(_), None) => {}
                }
            }
            Value::Object(new)
        }
        (Value::Array(original), Value::Array(known), Value::Array(new)) if new.len() == known.len() => {
            let old = original.iter().zip(known);
            Value::Array(old.zip(new).map(|((original, known), new)| merged(original, known, new)).collect())
        }
        (_, _, new) => new,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::configuration::Configuration;

    fn stored() -> Value {
        json!({
            "key": "k", "name": "n", "from_the_future": [1, {"a": 2}],
            "variations": [{"key": "a", "weight": 1, "is_control": true, "color": "red"}, {"key": "b", "weight": 1}],
            "analysis_plan": {"confidence_level": 0.9, "prior": {"mean": 0}},
        })
    }

    #[test]
    fn unknown_fields_are_passed_over_and_written_back() {
        let (mut read, kept) = parse::<Configuration>(&stored().to_string()).unwrap();
        assert_eq!((read.name.as_str(), read.variations.len(), read.analysis_plan.confidence_level), ("n", 2, 0.9));
        read.name = "edited".into();
        let written: Value = serde_json::from_str(&to_text(&read, kept.as_ref()).unwrap()).unwrap();
        assert_eq!((&written["name"], &written["from_the_future"]), (&json!("edited"), &json!([1, {"a": 2}])));
        assert_eq!(
            (&written["variations"][0]["color"], &written["analysis_plan"]["prior"]),
            (&json!("red"), &json!({"mean": 0}))
        );
        read.variations.remove(0);
        let written = to_text(&read, kept.as_ref()).unwrap();
        assert!(!written.contains("red") && written.contains("from_the_future"), "{written}");
    }

    #[test]
    fn what_is_known_is_kept_by_nobody_and_what_is_wrong_stays_wrong() {
        let (read, kept) = parse::<Configuration>(r#"{"key":"k","name":"n"}"#).unwrap();
        assert_eq!(kept, None);
        assert_eq!(to_text(&read, None).unwrap(), serde_json::to_string(&read).unwrap());
        assert!(
            parse::<Configuration>(r#"{"key":"k","name":5,"x":1}"#).unwrap_err().to_string().contains("invalid type")
        );
        assert!(parse::<Configuration>(r#"{"key":"k","nom":"n"}"#).unwrap_err().to_string().contains("missing field"));
        assert!(parse::<Configuration>("{").is_err());
    }
}
