//! What can be read in a warehouse: its tables, their columns, and why each has its type.

use axum::Json;
use axum::extract::State;
use bellwether_warehouse::{TableColumn, TableInfo};
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::answer::Answer;
use super::params::Ids;
use super::problem::Problem;
use super::sources::not_answered;
use crate::domain::error::Refusal;
use crate::domain::id::WarehouseId;
use crate::domain::warehouse::Warehouse;
use crate::pipeline::QueryError;
use crate::store::definitions;

#[derive(Serialize, JsonSchema)]
pub struct Tables {
    items: Vec<TableView>,
    /// A list like others, though it has one page.
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub struct TableView {
    name: String,
    file: String,
    files: u64,
    columns: Vec<TableColumn>,
    error: Option<String>,
}

impl TableView {
    pub fn of(table: TableInfo) -> Self {
        let TableInfo { name, file, files, columns, error } = table;
        Self { name, file, files, columns, error }
    }
}

pub async fn list(State(api): State<Shared>, Ids(id): Ids<WarehouseId>) -> Answer<Json<Tables>> {
    let found = api.read(move |tx| Ok(definitions::get::<Warehouse>(tx, id)?)).await?;
    let warehouse = found.ok_or_else(|| Refusal::not_found("warehouse", id))?.body;
    let tables = api.queries.tables(&warehouse.engine, &api.scratch_name()).await.map_err(|error| match error {
        QueryError::Sql(reason) | QueryError::Missing(reason) => Problem::from(Refusal::invalid("path", reason)),
        QueryError::Busy | QueryError::Reading => Problem::busy(error.to_string()),
        QueryError::Failed(reason) => not_answered(&reason),
    })?;
    Ok(Json(Tables { items: tables.into_iter().map(TableView::of).collect(), next: None }))
}
