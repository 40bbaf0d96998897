//! What can be read in a warehouse: its tables with their columns and types; and putting a file there.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::rows::Column;
use super::{KINDS, Kind};
use crate::console::failure::Failure;
use crate::console::page::{Frame, List, escaped, html};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/definitions/tables.html")]
struct Page<'a> {
    frame: &'a Frame,
    kinds: [Kind; 8],
    kind: Kind,
    id: &'a str,
    name: &'a str,
    tables: Vec<Table>,
}

#[derive(Deserialize)]
pub struct Table {
    pub name: String,
    pub file: String,
    pub columns: Vec<Column>,
    pub error: Option<String>,
}

/// Parts of names by which a column is taken for what it is; the form shows what was taken, to be set right.
const SUBJECTS: [&str; 6] = ["subject", "user", "customer", "device", "visitor", "_id"];
const EXPERIMENTS: [&str; 2] = ["experiment", "test"];
const VARIATIONS: [&str; 5] = ["variation", "variant", "group", "arm", "bucket"];

impl Table {
    fn named(&self, parts: &[&str]) -> Option<&Column> {
        let has = |column: &&Column, part: &str| column.name.to_lowercase().contains(part);
        parts.iter().find_map(|part| self.columns.iter().find(|column| has(column, part)))
    }

    fn of_kind(&self, kinds: &[&str]) -> Option<&Column> {
        self.columns.iter().find(|column| kinds.contains(&column.kind_in_words().as_str()))
    }

    fn query(pairs: &[(&str, Option<&str>)]) -> String {
        let given: Vec<_> = pairs.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
        serde_urlencoded::to_string(given).unwrap_or_default()
    }

    /// What the form of a source of assignments from it begins with.
    pub fn as_assignments(&self, warehouse: &str) -> String {
        let name = |column: Option<&'_ Column>| column.map(|column| column.name.clone());
        let [subject, experiment, variation] =
            [&SUBJECTS[..], &EXPERIMENTS, &VARIATIONS].map(|parts| name(self.named(parts)));
        let time = name(self.of_kind(&["timestamp", "date"]));
        Self::query(&[
            ("warehouse", Some(warehouse)),
            ("table", Some(&self.name)),
            ("subject", subject.as_deref()),
            ("timestamp", time.as_deref()),
            ("experiment_key", experiment.as_deref()),
            ("variation", variation.as_deref()),
        ])
    }

    /// What the form of a source of facts from it begins with.
    pub fn as_facts(&self, warehouse: &str) -> String {
        let subject = self.named(&SUBJECTS).map(|column| column.name.as_str());
        let numbers = self.columns.iter().filter(|column| Some(column.name.as_str()) != subject);
        let is_number = |kind: &str| ["int", "float"].contains(&kind) || kind.contains("decimal");
        let value = numbers.into_iter().find(|column| is_number(&column.kind_in_words()));
        Self::query(&[
            ("warehouse", Some(warehouse)),
            ("table", Some(&self.name)),
            ("subject", subject),
            ("timestamp", self.of_kind(&["timestamp", "date"]).map(|column| column.name.as_str())),
            ("value", value.map(|column| column.name.as_str())),
        ])
    }
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, "warehouses")?;
    let warehouse: Value = visit.get(&format!("/warehouses/{}", escaped(&id))).await?;
    let tables: List<Table> = visit.get(&format!("/warehouses/{}/tables", escaped(&id))).await?;
    let name = warehouse["name"].as_str().unwrap_or_default();
    let page = Page { frame: &visit.frame, kinds: KINDS, kind, id: &id, name, tables: tables.items };
    Ok(html(&visit.frame, page.render()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_taken_for_what_they_are_called() {
        let table = json!({"name": "log", "file": "log.csv", "error": null, "columns": [
            {"name": "user_id", "type": "text"}, {"name": "at", "type": "timestamp"}, {"name": "experiment", "type": "text"},
            {"name": "Variant", "type": "text"}, {"name": "amount", "type": {"decimal": [3, 2]}},
        ]});
        let table: Table = serde_json::from_value(table).unwrap();
        assert_eq!(
            table.as_assignments("wh_1"),
            "warehouse=wh_1&table=log&subject=user_id&timestamp=at&experiment_key=experiment&variation=Variant"
        );
        assert_eq!(table.as_facts("wh_1"), "warehouse=wh_1&table=log&subject=user_id&timestamp=at&value=amount");
    }
}
