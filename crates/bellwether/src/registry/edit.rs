//! Edits by fields: what a PATCH names is replaced, the rest stays as it is.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::domain::error::{FieldErrors, Refusal};
use crate::domain::input;

/// `current` with the fields of `edit` put over it. Unknown fields and wrong types are refused by their path.
pub fn overlay<T: Serialize + DeserializeOwned>(current: &T, edit: Map<String, Value>) -> Result<T, Refusal> {
    let mut fields = match serde_json::to_value(current) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let known: Vec<_> = fields.keys().cloned().collect();
    let mut errors = FieldErrors::default();
    for (name, value) in edit {
        errors.check(known.contains(&name), &name, || {
            format!("there is no such field to edit; there are: {}", known.join(", "))
        });
        fields.insert(name, value);
    }
    errors.finish()?;
    input::read(fields)
}

/// Refuses an edit of something that has moved on since the editor read it.
pub fn check_version(if_match: Option<&str>, current: i64) -> Result<(), Refusal> {
    let Some(given) = if_match else { return Ok(()) };
    let matches = given
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == current.to_string());
    if matches { Ok(()) } else { Err(Refusal::Stale { given: given.to_owned(), current }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::definition::Entity;

    #[test]
    fn replaces_what_is_named_and_refuses_what_is_unknown_by_name() {
        let edit = |json: Value| overlay(&Entity { name: "user".into() }, json.as_object().unwrap().clone());
        assert_eq!(edit(serde_json::json!({"name": "device"})).unwrap().name, "device");
        assert_eq!(edit(serde_json::json!({})).unwrap().name, "user");
        assert!(edit(serde_json::json!({"nam": "x"})).unwrap_err().to_string().contains("nam: there is no such field"));
        assert!(
            edit(serde_json::json!({"name": 5})).unwrap_err().to_string().starts_with("name: integer `5` was given")
        );
    }

    #[test]
    fn etags_match_strong_weak_listed_or_any() {
        for given in ["\"7\"", "W/\"7\"", "7", "\"6\", \"7\"", "*"] {
            assert!(check_version(Some(given), 7).is_ok(), "{given}");
        }
        assert!(check_version(Some("\"6\""), 7).is_err());
        assert!(check_version(None, 7).is_ok());
    }
}
