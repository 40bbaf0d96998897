//! What sources need beyond other definitions: their SQL is checked before it is stored, and its first rows can be seen.

use axum::Json;
use axum::extract::State;
use bellwether_warehouse::{Cell, Column};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::params::{Ids, Params, parse_id};
use super::problem::{Kind, Problem};
use super::{Api, Shared};
use crate::domain::clock::Timestamp;
use crate::domain::collection::Collection;
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule};
use crate::domain::error::{FieldErrors, Refusal};
use crate::domain::id::{AssignmentSourceId, WarehouseId};
use crate::domain::metric::Metric;
use crate::domain::warehouse::Warehouse;
use crate::pipeline::QueryError;
use crate::registry::Defined;
use crate::store::definitions;

const MOST_ROWS: usize = 100;
/// Columns that an error names.
const MOST_NAMED: usize = 30;

/// A definition that may have to be tried out before it is stored.
pub trait Tried: Defined {
    fn try_out(&self, _api: &Api) -> impl Future<Output = Result<(), Problem>> + Send {
        async { Ok(()) }
    }
}

impl Tried for Entity {}
impl Tried for Warehouse {}
impl Tried for Metric {}
impl Tried for Collection {}
impl Tried for Schedule {}

impl Tried for AssignmentSource {
    async fn try_out(&self, api: &Api) -> Result<(), Problem> {
        let Some(columns) = api.columns_of(self.warehouse_id, &self.sql).await? else { return Ok(()) };
        let named = &self.columns;
        let mut errors = FieldErrors::default();
        require(&mut errors, &columns, "columns.subject", &named.subject);
        require(&mut errors, &columns, "columns.timestamp", &named.timestamp);
        require(&mut errors, &columns, "columns.experiment_key", &named.experiment_key);
        require(&mut errors, &columns, "columns.variation", &named.variation);
        for (i, column) in named.properties.iter().enumerate() {
            require(&mut errors, &columns, &format!("columns.properties[{i}]"), column);
        }
        Ok(errors.finish()?)
    }
}

impl Tried for FactSource {
    async fn try_out(&self, api: &Api) -> Result<(), Problem> {
        let Some(columns) = api.columns_of(self.warehouse_id, &self.sql).await? else { return Ok(()) };
        let mut errors = FieldErrors::default();
        require(&mut errors, &columns, "timestamp_column", &self.timestamp_column);
        for (i, entity) in self.entities.iter().enumerate() {
            require(&mut errors, &columns, &format!("entities[{i}].column"), &entity.column);
        }
        for (i, fact) in self.facts.iter().enumerate() {
            fact.column.iter().for_each(|column| require(&mut errors, &columns, &format!("facts[{i}].column"), column));
        }
        for (i, property) in self.properties.iter().enumerate() {
            require(&mut errors, &columns, &format!("properties[{i}].column"), &property.column);
        }
        Ok(errors.finish()?)
    }
}

fn require(errors: &mut FieldErrors, columns: &[Column], field: &str, name: &str) {
    errors.check(columns.iter().any(|column| column.name == name), field, || {
        let known: Vec<_> = columns.iter().take(MOST_NAMED).map(|column| column.name.as_str()).collect();
        let more = if columns.len() > MOST_NAMED { ", …" } else { "" };
        format!("the SQL has no column '{name}'; its columns are: {}{more}", known.join(", "))
    });
}

impl Api {
    /// The columns of a source's SQL. `None` where its tables are not there yet: a source may come before its data.
    async fn columns_of(&self, warehouse: WarehouseId, sql: &str) -> Result<Option<Vec<Column>>, Problem> {
        if cfg!(not(feature = "embedded")) {
            return Ok(None);
        }
        let found = self.read(move |tx| Ok(definitions::get::<Warehouse>(tx, warehouse)?)).await?;
        // A warehouse that is not there is refused by the registry, with the field's name.
        let Some(warehouse) = found else { return Ok(None) };
        match self.queries.check(&warehouse.body.engine, &self.scratch_name(), sql).await {
            Ok(columns) => Ok(Some(columns)),
            Err(QueryError::Missing(_)) => Ok(None),
            Err(QueryError::Sql(reason)) => Err(Refusal::invalid("sql", reason).into()),
            Err(error @ QueryError::Busy) => Err(Problem::busy(error.to_string())),
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

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    #[serde(default = "default_rows")]
    limit: usize,
}

fn default_rows() -> usize {
    20
}

#[derive(Serialize)]
pub struct Preview {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

/// The first rows of an assignment source, as its SQL gives them.
pub async fn preview(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    Params(rows): Params<Rows>,
) -> Answer<Json<Preview>> {
    let id: AssignmentSourceId = parse_id(&id)?;
    if !(1..=MOST_ROWS).contains(&rows.limit) {
        return Err(
            Refusal::invalid("limit", format!("{} was given; from 1 to {MOST_ROWS} are allowed", rows.limit)).into()
        );
    }
    let (source, warehouse) = api
        .read(move |tx| {
            let source = definitions::get::<AssignmentSource>(tx, id)?
                .ok_or_else(|| Refusal::not_found("assignment source", id))?;
            let warehouse = definitions::get::<Warehouse>(tx, source.body.warehouse_id)?
                .ok_or_else(|| Refusal::not_found("warehouse", source.body.warehouse_id))?;
            Ok((source.body, warehouse.body))
        })
        .await?;
    let table = api.queries.preview(&warehouse.engine, &api.scratch_name(), &source.sql, rows.limit).await;
    let table = table.map_err(|error| match error {
        QueryError::Sql(reason) | QueryError::Missing(reason) => Problem::from(Refusal::invalid("sql", reason)),
        QueryError::Busy => Problem::busy(error.to_string()),
        QueryError::Failed(reason) => not_answered(&reason),
    })?;
    let rows: Vec<Vec<Value>> = table.rows.iter().map(|row| row.iter().map(plain).collect()).collect();
    Ok(Json(Preview { columns: table.columns, rows }))
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
