//! Which experiments an assignment source has rows of: what the last scan saw, and adding one.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{KINDS, Kind};
use crate::console::failure::{Failure, Reason};
use crate::console::form::Fields;
use crate::console::page::{Frame, Moment, escaped, filters, html};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/definitions/found.html")]
struct Page<'a> {
    frame: &'a Frame,
    kinds: [Kind; 8],
    kind: Kind,
    id: &'a str,
    name: &'a str,
    found: Option<Found>,
}

#[derive(Deserialize)]
struct Found {
    items: Vec<Seen>,
    next: Option<String>,
    scanned_at: Moment,
    is_outdated: bool,
    is_cut: bool,
    rows_without_key: u64,
}

#[derive(Deserialize)]
struct Seen {
    experiment_key: String,
    experiment_id: Option<u64>,
    rows: u64,
    first_at: Option<Moment>,
    last_at: Option<Moment>,
    variations: Vec<Variation>,
}

#[derive(Deserialize)]
struct Variation {
    key: Option<String>,
    rows: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct From {
    after: String,
}

pub async fn show(visit: Visit, Path(id): Path<String>, Query(from): Query<From>) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, "assignment_sources")?;
    let source: Value = visit.get(&format!("/assignment_sources/{}", escaped(&id))).await?;
    let path = format!("/assignment_sources/{}/experiments?limit=100&after={}", escaped(&id), escaped(&from.after));
    let name = source["name"].as_str().unwrap_or_default();
    let page = Page { frame: &visit.frame, kinds: KINDS, kind, id: &id, name, found: visit.find(&path).await? };
    Ok(html(&visit.frame, page.render()))
}

/// Looks anew, or makes a draft of what was seen.
pub async fn change(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let Some(key) = fields.given("experiment_key") else {
        let path = format!("/assignment_sources/{}/scan", escaped(&id));
        let outcome: Result<Value, Reason> = visit.send(Method::POST, &path, json!({})).await;
        return visit.told("found", outcome, "The source was gone through.");
    };
    let body = json!({ "from_source": { "assignment_source_id": id, "experiment_key": key } });
    let outcome: Result<Value, Reason> = visit.send(Method::POST, "/experiments", body).await;
    let place = match &outcome {
        Ok(made) => format!("../../../experiments/{}/metrics", made["id"]),
        Err(reason) if reason.status == StatusCode::NOT_FOUND => "../../../definitions/assignment_sources".to_owned(),
        Err(_) => "found".to_owned(),
    };
    visit.told(&place, outcome, "A draft is made of what was seen. Now choose the metrics that it is judged by.")
}
