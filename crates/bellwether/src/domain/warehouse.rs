//! A warehouse: where assignments and facts lie, and what answers queries there. Whether it can be reached is for whoever
//! opens it to say.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bellwether_warehouse::TableSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::error::{FieldErrors, Refusal, Validate};
use super::schema;

const LONGEST_PATH: usize = 4096;
/// What may be said of tables: names of them, and of columns in all.
const MOST_SAID: usize = 1000;
const LONGEST_NAME: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Given", into = "Given")]
pub struct Warehouse {
    pub name: String,
    pub engine: Engine,
}

impl JsonSchema for Warehouse {
    fn schema_name() -> Cow<'static, str> {
        "Warehouse".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Given::json_schema(generator);
        // It is optional in the text alone, for kinds that have none.
        schema.insert("required".to_owned(), ["name", "kind", "path"].as_slice().into());
        schema
    }
}

/// What answers queries, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// The embedded engine, over a folder below one of the configured `files_roots`: each CSV or Parquet file in it is a
    /// table. `tables` says by name what their columns are, where that is not to be found in the files.
    Files { path: String, tables: BTreeMap<String, TableSettings> },
}

/// A warehouse as it is written and stored: the fields of every kind in one object.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "Warehouse", deny_unknown_fields)]
struct Given {
    #[schemars(schema_with = "schema::name")]
    name: String,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::visible_text::<LONGEST_PATH>")]
    path: Option<String>,
    /// Written even where it is empty, as an edit replaces fields that are there.
    #[serde(default)]
    tables: BTreeMap<String, TableSettings>,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WarehouseKind")]
enum Kind {
    Files,
}

impl TryFrom<Given> for Warehouse {
    type Error = String;

    fn try_from(given: Given) -> Result<Self, String> {
        let Given { name, kind, path, tables } = given;
        let missing = |field: &str| format!("missing field `{field}`");
        let engine = match kind {
            Kind::Files => Engine::Files { path: path.ok_or_else(|| missing("path"))?, tables },
        };
        Ok(Self { name, engine })
    }
}

impl From<Warehouse> for Given {
    fn from(warehouse: Warehouse) -> Self {
        match warehouse.engine {
            Engine::Files { path, tables } => {
                Self { name: warehouse.name, kind: Kind::Files, path: Some(path), tables }
            }
        }
    }
}

impl Validate for Warehouse {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        match &self.engine {
            Engine::Files { path, tables } => {
                errors.text("path", path, LONGEST_PATH);
                errors.check(!path.is_empty(), "path", || {
                    "it is empty; give a folder below one of files_roots".to_owned()
                });
                validate_tables(&mut errors, tables);
            }
        }
        errors.finish()
    }
}

fn validate_tables(errors: &mut FieldErrors, tables: &BTreeMap<String, TableSettings>) {
    let said: usize = tables.values().map(|table| table.columns.len().max(1)).sum();
    errors.check(said <= MOST_SAID, "tables", || format!("it speaks of {said} columns; {MOST_SAID} are allowed"));
    for (name, table) in tables {
        errors.text("tables", name, LONGEST_NAME);
        errors.check(!table.columns.is_empty(), "tables", || {
            format!("nothing is said of '{name}'; give its `columns` as {{\"uid\": \"text\"}}, or leave it out")
        });
        table.columns.keys().for_each(|column| errors.text("tables", column, LONGEST_NAME));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_read_and_written_alike_and_needs_what_its_kind_needs() {
        let given = json!({"name": "w", "kind": "files", "path": "/data", "tables": {}});
        let warehouse: Warehouse = serde_json::from_value(given.clone()).unwrap();
        assert_eq!(warehouse.engine, Engine::Files { path: "/data".into(), tables: BTreeMap::new() });
        assert_eq!(serde_json::to_value(warehouse).unwrap(), given);
        let said =
            json!({"name": "w", "kind": "files", "path": "/data", "tables": {"facts": {"columns": {"uid": "text"}}}});
        let warehouse: Warehouse = serde_json::from_value(said.clone()).unwrap();
        warehouse.validate().unwrap();
        assert_eq!(serde_json::to_value(warehouse).unwrap(), said);
        for (wrong, named) in [
            (json!({"name": "w", "kind": "files"}), "path"),
            (json!({"name": "w", "kind": "clouds", "path": "/"}), "clouds"),
            (json!({"name": "w", "kind": "files", "path": "/", "host": "h"}), "host"),
            (
                json!({"name": "w", "kind": "files", "path": "/", "tables": {"t": {"columns": {"c": "id"}}}}),
                "timestamp",
            ),
        ] {
            let error = serde_json::from_value::<Warehouse>(wrong).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
