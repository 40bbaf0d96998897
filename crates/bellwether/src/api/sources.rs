//! What sources need beyond other definitions: their SQL is checked before it is stored, and its first rows can be seen.

use axum::Json;
use axum::extract::State;
use bellwether_warehouse::{Cell, Column, ColumnType, Dialect, Table};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::params::{Ids, Params};
use super::problem::{Kind, Problem};
use super::{Api, Shared};
use crate::domain::clock::Timestamp;
use crate::domain::collection::Collection;
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use crate::domain::error::{FieldErrors, Refusal};
use crate::domain::id::WarehouseId;
use crate::domain::metric::Metric;
use crate::domain::person::Person;
use crate::domain::warehouse::Warehouse;
use crate::pipeline::QueryError;
use crate::pipeline::columns::Columns;
use crate::registry::{Defined, warehouse_config};
use crate::store::definitions;

const MOST_ROWS: usize = 100;

/// A definition that may have to be tried out before it is stored.
pub trait Tried: Defined + JsonSchema {
    fn try_out(&self, _api: &Api) -> impl Future<Output = Result<(), Problem>> + Send {
        async { Ok(()) }
    }
}

impl Tried for Entity {}
impl Tried for Warehouse {}
impl Tried for Metric {}
impl Tried for Collection {}
impl Tried for Schedule {}
impl Tried for Team {}
impl Tried for Person {}

impl Tried for AssignmentSource {
    async fn try_out(&self, api: &Api) -> Result<(), Problem> {
        api.check_source(self).await
    }
}

impl Tried for FactSource {
    async fn try_out(&self, api: &Api) -> Result<(), Problem> {
        api.check_source(self).await
    }
}

impl Previewed for AssignmentSource {
    fn warehouse_id(&self) -> WarehouseId {
        self.warehouse_id
    }

    fn sql(&self) -> &str {
        &self.sql
    }

    fn check_columns(&self, columns: &Columns<'_>, errors: &mut FieldErrors) {
        let named = &self.columns;
        note(errors, "columns.subject", columns.key(&named.subject));
        note(errors, "columns.timestamp", columns.time(&named.timestamp));
        note(errors, "columns.experiment_key", columns.key(&named.experiment_key));
        note(errors, "columns.variation", columns.key(&named.variation));
        for (i, column) in named.properties.iter().enumerate() {
            note(errors, &format!("columns.properties[{i}]"), columns.property(column));
        }
    }
}

impl Previewed for FactSource {
    fn warehouse_id(&self) -> WarehouseId {
        self.warehouse_id
    }

    fn sql(&self) -> &str {
        &self.sql
    }

    fn check_columns(&self, columns: &Columns<'_>, errors: &mut FieldErrors) {
        note(errors, "timestamp_column", columns.time(&self.timestamp_column));
        for (i, entity) in self.entities.iter().enumerate() {
            note(errors, &format!("entities[{i}].column"), columns.key(&entity.column));
        }
        for (i, fact) in self.facts.iter().enumerate() {
            // Whether it has to be a number, its metrics will say.
            let value = fact.column.as_ref().map(|column| columns.value(column, false));
            value.into_iter().for_each(|value| note(errors, &format!("facts[{i}].column"), value));
        }
        for (i, property) in self.properties.iter().enumerate() {
            note(errors, &format!("properties[{i}].column"), columns.property(&property.column));
        }
    }

    fn look_at(&self, rows: &Table, errors: &mut FieldErrors) {
        for (i, fact) in self.facts.iter().enumerate() {
            let column = fact.column.as_ref().and_then(|column| rows.columns.iter().position(|there| there == column));
            let Some(column) = column else { continue };
            let values: Vec<&Cell> =
                rows.rows.iter().map(|row| &row[column]).filter(|cell| **cell != Cell::Null).collect();
            let is_zero = |cell: &Cell| matches!(cell, Cell::Int(0) | Cell::Bool(false)) || *cell == Cell::Float(0.0);
            let is_one = |cell: &Cell| matches!(cell, Cell::Int(1) | Cell::Bool(true)) || *cell == Cell::Float(1.0);
            let is_flag =
                values.iter().all(|cell| is_zero(cell) || is_one(cell)) && values.iter().any(|cell| is_zero(cell));
            errors.check(!is_flag, &format!("facts[{i}].column"), || {
                "its values are 0 and 1: 'conversion' asks only whether there is a value, so that it is 1 for a 0 too; for \
                 \"any 1\" use 'threshold' with of 'sum', comparison 'gte' and value 1"
                    .to_owned()
            });
        }
    }
}

fn note<T>(errors: &mut FieldErrors, field: &str, outcome: Result<T, String>) {
    if let Err(reason) = outcome {
        errors.add(field, reason);
    }
}

impl Api {
    /// Whether a source's SQL runs and its columns can be what they are said to be.
    async fn check_source(&self, source: &impl Previewed) -> Result<(), Problem> {
        let found = self.columns_of(source.warehouse_id(), source.sql()).await?;
        let Some((dialect, columns)) = found else { return Ok(()) };
        let mut errors = FieldErrors::default();
        source.check_columns(&Columns { dialect, source: "the SQL".to_owned(), columns: &columns }, &mut errors);
        Ok(errors.finish()?)
    }

    /// The columns of a source's SQL. `None` where its tables are not there yet: a source may come before its data.
    async fn columns_of(&self, warehouse: WarehouseId, sql: &str) -> Result<Option<(Dialect, Vec<Column>)>, Problem> {
        if cfg!(not(feature = "embedded")) {
            return Ok(None);
        }
        let found = self.read(move |tx| Ok(definitions::get::<Warehouse>(tx, warehouse)?)).await?;
        // A warehouse that is not there is refused by the registry, with the field's name.
        let Some(warehouse) = found else { return Ok(None) };
        match self.queries.check(&warehouse.body.engine, &self.scratch_name(), sql).await {
            Ok(columns) => {
                let dialect = warehouse_config(&warehouse.body.engine, &[]).dialect();
                Ok(Some((dialect, columns)))
            }
            Err(QueryError::Missing(_)) => Ok(None),
            Err(QueryError::Sql(reason)) => Err(Refusal::invalid("sql", reason).into()),
            Err(error @ (QueryError::Busy | QueryError::Reading)) => Err(Problem::busy(error.to_string())),
            Err(QueryError::Failed(reason)) => Err(not_answered(&reason)),
        }
    }

    pub fn scratch_name(&self) -> String {
        format!("query_{}", crate::domain::id::text(self.registry.ids().next()))
    }
}

pub fn not_answered(reason: &str) -> Problem {
    tracing::warn!(%reason, "a query was not answered");
    Problem::of(Kind::Unavailable, format!("the query engine gave no answer: {reason}; try again later"))
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Of rows.
    #[serde(default = "default_rows")]
    #[schemars(range(min = 1, max = MOST_ROWS))]
    limit: usize,
}

fn default_rows() -> usize {
    20
}

#[derive(Serialize, JsonSchema)]
pub struct Preview {
    columns: Vec<ColumnView>,
    rows: Vec<Vec<Value>>,
    /// What would be refused or counted otherwise than one may think, by the field that it is about.
    problems: Vec<ProblemView>,
}

#[derive(Serialize, JsonSchema)]
struct ColumnView {
    name: String,
    #[serde(rename = "type")]
    kind: ColumnType,
}

#[derive(Serialize, JsonSchema)]
struct ProblemView {
    field: String,
    message: String,
}

/// A source whose rows can be seen.
pub trait Previewed: Defined {
    fn warehouse_id(&self) -> WarehouseId;
    fn sql(&self) -> &str;
    /// What its columns cannot be used for.
    fn check_columns(&self, columns: &Columns<'_>, errors: &mut FieldErrors);

    /// What the rows make one ask.
    fn look_at(&self, _rows: &Table, _errors: &mut FieldErrors) {}
}

/// The first rows of a source, as its SQL gives them, with the columns' types.
pub async fn preview<S: Previewed>(
    State(api): State<Shared>,
    Ids(id): Ids<S::Id>,
    Params(rows): Params<Rows>,
) -> Answer<Json<Preview>> {
    if !(1..=MOST_ROWS).contains(&rows.limit) {
        return Err(
            Refusal::invalid("limit", format!("{} was given; from 1 to {MOST_ROWS} are allowed", rows.limit)).into()
        );
    }
    let (source, warehouse) = api
        .read(move |tx| {
            let source = definitions::get::<S>(tx, id)?.ok_or_else(|| Refusal::not_found(S::KIND, id))?.body;
            let warehouse = definitions::get::<Warehouse>(tx, source.warehouse_id())?
                .ok_or_else(|| Refusal::not_found("warehouse", source.warehouse_id()))?;
            Ok((source, warehouse.body))
        })
        .await?;
    let preview = api.queries.preview(&warehouse.engine, &api.scratch_name(), source.sql(), rows.limit).await;
    let (columns, table) = preview.map_err(|error| match error {
        QueryError::Sql(reason) | QueryError::Missing(reason) => Problem::from(Refusal::invalid("sql", reason)),
        QueryError::Busy | QueryError::Reading => Problem::busy(error.to_string()),
        QueryError::Failed(reason) => not_answered(&reason),
    })?;
    let dialect = warehouse_config(&warehouse.engine, &[]).dialect();
    let mut errors = FieldErrors::default();
    source.check_columns(&Columns { dialect, source: "the SQL".to_owned(), columns: &columns }, &mut errors);
    source.look_at(&table, &mut errors);
    let problems = match errors.finish() {
        Err(Refusal::Invalid(errors)) => errors,
        _ => Vec::new(),
    };
    Ok(Json(Preview {
        columns: columns.into_iter().map(|Column { name, kind, .. }| ColumnView { name, kind }).collect(),
        rows: table.rows.iter().map(|row| row.iter().map(plain).collect()).collect(),
        problems: problems.into_iter().map(|it| ProblemView { field: it.field, message: it.message }).collect(),
    }))
}

fn plain(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => json!(value),
        Cell::Int(value) => json!(value),
        Cell::Float(value) => json!(value),
        Cell::Text(value) => json!(value),
        Cell::Timestamp(micros) => json!(Timestamp::from_micros(*micros)),
    }
}
