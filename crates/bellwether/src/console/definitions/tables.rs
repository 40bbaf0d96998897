//! What can be read in a warehouse: its tables with their columns and types; and putting a file there.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::rows::Column;
use super::{KINDS, Kind};
use crate::console::failure::Failure;
use crate::console::page::{Frame, List, escaped, filters, html};
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

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, "warehouses")?;
    let warehouse: Value = visit.get(&format!("/warehouses/{}", escaped(&id))).await?;
    let tables: List<Table> = visit.get(&format!("/warehouses/{}/tables", escaped(&id))).await?;
    let name = warehouse["name"].as_str().unwrap_or_default();
    let page = Page { frame: &visit.frame, kinds: KINDS, kind, id: &id, name, tables: tables.items };
    Ok(html(&visit.frame, page.render()))
}
