//! What the form of each kind of definition asks for.

use serde_json::{Value, json};

use super::metric;
use crate::console::choices::{Named, named};
use crate::console::failure::Failure;
use crate::console::form::{Form, Input, Kind, Rows, boxes, choice, input};
use crate::console::visit::Visit;

const MORE_ROWS: usize = 2;
/// The boxes of a collection's metrics.
const METRIC: &str = "metric";

/// What a new one begins with.
pub fn usual(kind: &str, begin: &Value) -> Value {
    // A name may be one that SQL reads otherwise.
    let sql = begin["table"].as_str().map(|table| format!("SELECT * FROM \"{}\"", table.replace('"', "\"\"")));
    match kind {
        "warehouses" => json!({ "kind": "files", "path": "." }),
        "schedules" => json!({ "cron": "0 6 * * *", "time_zone": "UTC" }),
        "metrics" => json!({ "kind": "simple", "display": "decimal", "entity_id": begin["entity"] }),
        "assignment_sources" => json!({
            "name": begin["table"], "sql": sql, "warehouse_id": begin["warehouse"], "entity_id": begin["entity"],
            "columns": {
                "subject": begin["subject"], "timestamp": begin["timestamp"],
                "experiment_key": begin["experiment_key"], "variation": begin["variation"],
            },
        }),
        "fact_sources" => json!({
            "name": begin["table"], "sql": sql, "warehouse_id": begin["warehouse"],
            "timestamp_column": begin["timestamp"],
            "entities": [{ "entity_id": begin["entity"], "column": begin["subject"] }],
            "facts": [{ "name": begin["value"], "column": begin["value"] }],
        }),
        _ => json!({}),
    }
}

/// What the form begins with.
pub fn shown(kind: &str, definition: &Value) -> Value {
    let mut shown = definition.clone();
    if kind == "collections" {
        boxes::tick(&mut shown, METRIC, &definition["metric_ids"]);
    }
    shown
}

/// What the API is sent of it.
pub fn body(kind: &str, form: &Form) -> Value {
    let mut body = form.to_json();
    if kind == "warehouses" {
        body["kind"] = json!("files");
        if body["tables"].is_null() {
            body["tables"] = json!({});
        }
    }
    if kind == "collections" {
        body["metric_ids"] = json!(boxes::take(&mut body, METRIC));
    }
    body
}

/// For what is there, or for what a browser has sent.
pub async fn of(visit: &Visit, kind: &str, rows: Rows<'_>) -> Result<Vec<Input>, Failure> {
    let name = input("name", "Name", "", Kind::Text);
    let description = || input("description", "Description", "", Kind::Long);
    Ok(match kind {
        "entities" => vec![name],
        "teams" => vec![name, description()],
        "schedules" => vec![
            name,
            input("cron", "Cron expression", "Five fields: minute, hour, day, month, day of the week.", Kind::Text),
            input("time_zone", "Time zone", "Like UTC or Europe/Berlin.", Kind::Text),
        ],
        "warehouses" => vec![
            name,
            input(
                "path",
                "Folder",
                "Of CSV or Parquet files, below one of the configured files_roots; each file is a table.",
                Kind::Text,
            ),
            input(
                "tables",
                "Settings of tables",
                "JSON, where types are not to be found in the files, like {\"orders\": {\"columns\": {\"price\": \"float\"}}}.",
                Kind::Json,
            ),
        ],
        "collections" => {
            let team = input("team_id", "Team", "", named(visit, "teams", "none").await?);
            let metrics: Vec<Named> = visit.all("/metrics?sort=name").await?;
            let of_metrics = metrics.iter().map(|metric| (metric.id.as_str(), metric.name.as_str()));
            let boxes = boxes::inputs(METRIC, of_metrics, rows).into_iter().map(|input| input.of_group("Its metrics"));
            [name, description(), team].into_iter().chain(boxes).collect()
        }
        "assignment_sources" => assignment_source(visit, name).await?,
        "fact_sources" => fact_source(visit, name, rows).await?,
        _ => metric::inputs(visit, name, description(), rows).await?,
    })
}

async fn assignment_source(visit: &Visit, name: Input) -> Result<Vec<Input>, Failure> {
    Ok(vec![
        name,
        input("warehouse_id", "Warehouse", "", named(visit, "warehouses", "choose").await?),
        input("entity_id", "Entity", "", named(visit, "entities", "choose").await?),
        input("sql", "SQL", "One SELECT, in the warehouse's own dialect: one row for each assignment.", Kind::Code),
        input("columns.subject", "Column of the subject", "", Kind::Text),
        input("columns.timestamp", "Column of the time", "", Kind::Text),
        input("columns.experiment_key", "Column of the experiment's key", "", Kind::Text),
        input("columns.variation", "Column of the variation", "", Kind::Text),
        input(
            "columns.properties",
            "Columns of properties",
            "To break results down by; each on a line of its own.",
            Kind::Lines,
        ),
    ])
}

async fn fact_source(visit: &Visit, name: Input, rows: Rows<'_>) -> Result<Vec<Input>, Failure> {
    let entities = named(visit, "entities", "none").await?;
    let mut inputs = vec![
        name,
        input("warehouse_id", "Warehouse", "", named(visit, "warehouses", "choose").await?),
        input("sql", "SQL", "One SELECT, in the warehouse's own dialect: one row for each fact.", Kind::Code),
        input("timestamp_column", "Column of the time", "", Kind::Text),
    ];
    for i in 0..rows.of("entities", MORE_ROWS) {
        let item = format!("entities[{i}]");
        let of_row = [
            input(format!("{item}.entity_id"), "Entity", "", entities.clone()),
            input(format!("{item}.column"), "Column of its subject", "", Kind::Text),
        ];
        inputs.extend(of_row.map(|input| input.of_group(format!("Entity {}", i + 1))));
    }
    for i in 0..rows.of("facts", MORE_ROWS) {
        let item = format!("facts[{i}]");
        let changes = choice([("increase", "higher is better"), ("decrease", "lower is better")]);
        let of_row = [
            input(format!("{item}.id"), "", "", Kind::Hidden),
            input(format!("{item}.name"), "Fact", "", Kind::Text),
            input(format!("{item}.description"), "Description", "", Kind::Text),
            input(format!("{item}.column"), "Column of its value", "Empty: each row counts 1.", Kind::Optional),
            input(format!("{item}.desired_change"), "Desired change", "", changes),
        ];
        inputs.extend(of_row.map(|input| input.of_group(format!("Fact {}", i + 1))));
    }
    for i in 0..rows.of("properties", MORE_ROWS) {
        let item = format!("properties[{i}]");
        let of_row = [
            input(format!("{item}.name"), "Property", "To filter facts by.", Kind::Text),
            input(format!("{item}.column"), "Its column", "", Kind::Text),
            input(format!("{item}.description"), "Description", "", Kind::Text),
        ];
        inputs.extend(of_row.map(|input| input.of_group(format!("Property {}", i + 1))));
    }
    Ok(inputs)
}
