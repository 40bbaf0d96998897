//! What the form of each kind of definition asks for. What a form has no input for stands in one of JSON, as the API has it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::console::experiment::configuration::named;
use crate::console::failure::Failure;
use crate::console::form::{Fields, Form, Input, Kind, choice, input};
use crate::console::visit::Visit;
use crate::domain::aggregation::Operation;

const MORE_ROWS: usize = 2;

/// How many rows each of a form's lists has.
#[derive(Default, Clone, Copy)]
struct Rows {
    entities: usize,
    facts: usize,
    properties: usize,
    metric_ids: usize,
}

/// For what is there, with room for more.
pub async fn of(visit: &Visit, kind: &str, shown: &Value) -> Result<Vec<Input>, Failure> {
    let rows = |list: &str| shown[list].as_array().map_or(0, Vec::len) + MORE_ROWS;
    let rows = Rows {
        entities: rows("entities"),
        facts: rows("facts"),
        properties: rows("properties"),
        metric_ids: rows("metric_ids"),
    };
    all(visit, kind, rows).await
}

/// For what a browser has sent.
pub async fn filled(visit: &Visit, kind: &str, fields: &Fields) -> Result<Vec<Input>, Failure> {
    let rows = Rows {
        entities: fields.rows("entities"),
        facts: fields.rows("facts"),
        properties: fields.rows("properties"),
        metric_ids: fields.rows("metric_ids"),
    };
    all(visit, kind, rows).await
}

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

/// What the API is sent of it.
pub fn body(kind: &str, form: &Form) -> Value {
    let mut body = form.to_json();
    if kind == "warehouses" {
        body["kind"] = json!("files");
        if body["tables"].is_null() {
            body["tables"] = json!({});
        }
    }
    if kind == "metrics" {
        for part in ["numerator", "denominator"] {
            body[part] = aggregation(&body[part]);
        }
    }
    body
}

/// A part of a metric: what was left empty in it is as for a new one, and if that is all of it, there is none.
fn aggregation(given: &Value) -> Value {
    let fields = given.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let filled: Map<_, _> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    if filled.is_empty() { Value::Null } else { Value::Object(filled) }
}

async fn all(visit: &Visit, kind: &str, rows: Rows) -> Result<Vec<Input>, Failure> {
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
                "JSON as in the API, where types are not to be found in the files.",
                Kind::Json,
            ),
        ],
        "collections" => {
            let metrics = named(visit, "metrics", "none").await?;
            let team = input("team_id", "Team", "", named(visit, "teams", "none").await?);
            let each = (0..rows.metric_ids).map(|i| input(format!("metric_ids[{i}]"), "Metric", "", metrics.clone()));
            [name, description(), team].into_iter().chain(each).collect()
        }
        "assignment_sources" => assignment_source(visit, name).await?,
        "fact_sources" => fact_source(visit, name, rows).await?,
        _ => metric(visit, name, description()).await?,
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

async fn fact_source(visit: &Visit, name: Input, rows: Rows) -> Result<Vec<Input>, Failure> {
    let entities = named(visit, "entities", "none").await?;
    let mut inputs = vec![
        name,
        input("warehouse_id", "Warehouse", "", named(visit, "warehouses", "choose").await?),
        input("sql", "SQL", "One SELECT, in the warehouse's own dialect: one row for each fact.", Kind::Code),
        input("timestamp_column", "Column of the time", "", Kind::Text),
    ];
    for i in 0..rows.entities {
        inputs.push(input(format!("entities[{i}].entity_id"), "Entity", "", entities.clone()));
        inputs.push(input(format!("entities[{i}].column"), "Column of its subject", "", Kind::Text));
    }
    for i in 0..rows.facts {
        inputs.push(input(format!("facts[{i}].id"), "", "", Kind::Hidden));
        inputs.push(input(format!("facts[{i}].name"), "Fact", "", Kind::Text));
        inputs.push(input(format!("facts[{i}].description"), "Description", "", Kind::Text));
        inputs.push(input(
            format!("facts[{i}].column"),
            "Column of its value",
            "Empty: each row counts 1.",
            Kind::Optional,
        ));
        let changes = choice([("increase", "higher is better"), ("decrease", "lower is better")]);
        inputs.push(input(format!("facts[{i}].desired_change"), "Desired change", "", changes));
    }
    for i in 0..rows.properties {
        inputs.push(input(format!("properties[{i}].name"), "Property", "To filter facts by.", Kind::Text));
        inputs.push(input(format!("properties[{i}].column"), "Its column", "", Kind::Text));
        inputs.push(input(format!("properties[{i}].description"), "Description", "", Kind::Text));
    }
    Ok(inputs)
}

#[derive(Deserialize)]
struct Source {
    name: String,
    facts: Vec<Fact>,
}

#[derive(Deserialize)]
struct Fact {
    id: String,
    name: String,
}

/// What else an aggregation may say.
const NUMERATOR: [(&str, &str); 6] = [
    ("filters", "Filters"),
    ("timeframe", "Timeframe"),
    ("winsorization", "Winsorization"),
    ("threshold", "Threshold"),
    ("conversion_threshold_days", "Conversion within days"),
    ("retention_threshold_days", "Retention from day"),
];
const DENOMINATOR: [(&str, &str); 6] = [
    ("filters", "Filters of the denominator"),
    ("timeframe", "Timeframe of the denominator"),
    ("winsorization", "Winsorization of the denominator"),
    ("threshold", "Threshold of the denominator"),
    ("conversion_threshold_days", "Conversion of the denominator within days"),
    ("retention_threshold_days", "Retention of the denominator from day"),
];

async fn metric(visit: &Visit, name: Input, description: Input) -> Result<Vec<Input>, Failure> {
    let sources: Vec<Source> = visit.all("/fact_sources?sort=name").await?;
    let facts = sources.iter().flat_map(|source| {
        source.facts.iter().map(move |fact| (fact.id.clone(), format!("{}: {}", source.name, fact.name)))
    });
    let facts = Kind::Choice([(String::new(), "none".to_owned())].into_iter().chain(facts).collect());
    let words = Operation::ALL.map(|operation| operation.as_str());
    let operations = Kind::Choice(
        [(String::new(), "none".to_owned())]
            .into_iter()
            .chain(words.map(|word| (word.to_owned(), word.replace('_', " "))))
            .collect(),
    );
    let kinds = choice([
        ("simple", "simple: the mean over a variation's subjects"),
        ("ratio", "ratio: numerator over denominator"),
        ("percentile", "percentile of a variation's facts"),
        ("funnel", "funnel: the share that comes through all steps"),
    ]);
    let mut inputs = vec![
        name,
        description,
        input("entity_id", "Entity", "", named(visit, "entities", "choose").await?),
        input("kind", "Kind", "", kinds),
    ];
    for (part, fact, operation, more) in [
        ("numerator", "Fact", "What of a subject's facts", NUMERATOR),
        ("denominator", "Fact of the denominator", "What of those facts", DENOMINATOR),
    ] {
        inputs.push(input(format!("{part}.fact_id"), fact, "", facts.clone()));
        inputs.push(input(format!("{part}.operation"), operation, "", operations.clone()));
        let more = more.map(|(field, label)| match field {
            "conversion_threshold_days" | "retention_threshold_days" => {
                input(format!("{part}.{field}"), label, "", Kind::Number).more()
            }
            _ => input(format!("{part}.{field}"), label, "JSON as in the API.", Kind::Json).more(),
        });
        inputs.extend(more);
    }
    let changes = choice([("", "as the fact says"), ("increase", "higher is better"), ("decrease", "lower is better")]);
    inputs.extend([
        input("percentile", "Percentile", "JSON as in the API.", Kind::Json).more(),
        input("funnel", "Funnel", "JSON as in the API.", Kind::Json).more(),
        input("desired_change", "Desired change", "", changes),
        input("display", "Shown as", "", choice([("decimal", "number"), ("percent", "percent")])),
        input("minimum_detectable_effect", "Smallest lift that matters", "Relative, like 0.02.", Kind::Number),
        input("is_guardrail", "Guardrail of every new experiment of its entity", "", Kind::Flag),
        input("guardrail_cutoff", "Breached beyond this lift", "Like -0.02.", Kind::Number),
        input("team_id", "Team", "", named(visit, "teams", "none").await?),
    ]);
    Ok(inputs)
}
