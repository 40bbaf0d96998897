//! The first visit: from a file of data to the first delivered event, one step after the other. What is done already is ticked.

use askama::Template;
use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::choices::Named;
use super::definitions::tables::Table;
use super::failure::{Failure, Reason};
use super::page::{Frame, List, filters, html};
use super::visit::Visit;

/// Where the first files go, below the folder of files.
const FOLDER: &str = ".";

#[derive(Template)]
#[template(path = "console/welcome.html")]
struct Page<'a> {
    frame: &'a Frame,
    warehouse: Option<Named>,
    tables: Vec<Table>,
    entity: Option<Named>,
    assignments: Option<Named>,
    facts: Option<Named>,
    metric: Option<Named>,
    experiment: Option<Experiment>,
    has_endpoint: bool,
    has_delivered: bool,
}

#[derive(Deserialize)]
struct Experiment {
    id: u64,
    name: String,
    status: String,
}

async fn first<T: serde::de::DeserializeOwned>(visit: &Visit, path: &str) -> Result<Option<T>, Failure> {
    let found: Option<List<T>> = visit.find_allowed(path).await?;
    Ok(found.and_then(|found| found.items.into_iter().next()))
}

pub async fn show(visit: Visit) -> Result<Response, Failure> {
    let warehouse: Option<Named> = first(&visit, "/warehouses?limit=1").await?;
    let tables: Option<List<Table>> = match &warehouse {
        Some(Named { id, .. }) => visit.find_allowed(&format!("/warehouses/{id}/tables")).await?,
        None => None,
    };
    let endpoint: Option<Value> = first(&visit, "/endpoints?limit=1").await?;
    let delivered: Option<Value> = first(&visit, "/deliveries?limit=1&state=delivered").await?;
    let page = Page {
        frame: &visit.frame,
        tables: tables.map(|tables| tables.items).unwrap_or_default(),
        entity: first(&visit, "/entities?limit=1").await?,
        assignments: first(&visit, "/assignment_sources?limit=1").await?,
        facts: first(&visit, "/fact_sources?limit=1").await?,
        metric: first(&visit, "/metrics?limit=1").await?,
        experiment: first(&visit, "/experiments?limit=1").await?,
        has_endpoint: endpoint.is_some(),
        has_delivered: delivered.is_some(),
        warehouse,
    };
    Ok(html(&visit.frame, page.render()))
}

/// Makes what files and sources need: a warehouse of files, and the entity that is assigned most often.
pub async fn begin(visit: Visit) -> Result<Response, Failure> {
    if first::<Named>(&visit, "/entities?limit=1").await?.is_none() {
        let outcome: Result<Value, Reason> = visit.send(Method::POST, "/entities", json!({ "name": "User" })).await;
        if outcome.is_err() {
            return visit.told("welcome", outcome, "");
        }
    }
    if first::<Named>(&visit, "/warehouses?limit=1").await?.is_some() {
        return Ok(visit.see("welcome", "There is an entity now: what is assigned."));
    }
    let body = json!({ "name": "Files", "kind": "files", "path": FOLDER });
    let outcome: Result<Value, Reason> = visit.send(Method::POST, "/warehouses", body).await;
    visit.told("welcome", outcome, "There is a warehouse for files now. Put the first one there.")
}
