//! A warehouse: where assignments and facts lie, and what answers queries there. Whether it can be reached is for whoever
//! opens it to say.

use serde::{Deserialize, Serialize};

use super::error::{FieldErrors, Refusal, Validate};

const LONGEST_PATH: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Given", into = "Given")]
pub struct Warehouse {
    pub name: String,
    pub engine: Engine,
}

/// What answers queries, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// The embedded engine, over a folder below one of the configured `files_roots`: each CSV or Parquet file in it is a
    /// table.
    Files { path: String },
}

/// A warehouse as it is written and stored: the fields of every kind in one object.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename = "Warehouse", deny_unknown_fields)]
struct Given {
    name: String,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Files,
}

impl TryFrom<Given> for Warehouse {
    type Error = String;

    fn try_from(given: Given) -> Result<Self, String> {
        let Given { name, kind, path } = given;
        let missing = |field: &str| format!("missing field `{field}`");
        let engine = match kind {
            Kind::Files => Engine::Files { path: path.ok_or_else(|| missing("path"))? },
        };
        Ok(Self { name, engine })
    }
}

impl From<Warehouse> for Given {
    fn from(warehouse: Warehouse) -> Self {
        match warehouse.engine {
            Engine::Files { path } => Self { name: warehouse.name, kind: Kind::Files, path: Some(path) },
        }
    }
}

impl Validate for Warehouse {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        match &self.engine {
            Engine::Files { path } => {
                errors.text("path", path, LONGEST_PATH);
                errors.check(!path.is_empty(), "path", || {
                    "it is empty; give a folder below one of files_roots".to_owned()
                });
            }
        }
        errors.finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_read_and_written_alike_and_needs_what_its_kind_needs() {
        let given = json!({"name": "w", "kind": "files", "path": "/data"});
        let warehouse: Warehouse = serde_json::from_value(given.clone()).unwrap();
        assert_eq!(warehouse.engine, Engine::Files { path: "/data".into() });
        assert_eq!(serde_json::to_value(warehouse).unwrap(), given);
        for (wrong, named) in [
            (json!({"name": "w", "kind": "files"}), "path"),
            (json!({"name": "w", "kind": "clouds", "path": "/"}), "clouds"),
            (json!({"name": "w", "kind": "files", "path": "/", "host": "h"}), "host"),
        ] {
            let error = serde_json::from_value::<Warehouse>(wrong).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
