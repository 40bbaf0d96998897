//! The runs of an experiment, newest first; and asking for one.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Experiment;
use super::run::Run;
use crate::console::failure::Failure;
use crate::console::form::Fields;
use crate::console::page::{Frame, List, escaped, filters, html};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/experiment/runs.html")]
struct Page<'a> {
    frame: &'a Frame,
    tab: &'static str,
    experiment: &'a Experiment,
    runs: Vec<Run>,
    is_open: bool,
    next: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct From {
    after: String,
}

pub async fn list(visit: Visit, Path(id): Path<String>, Query(from): Query<From>) -> Result<Response, Failure> {
    let experiment = Experiment::of(&visit, &id).await?;
    let path = format!("/experiments/{}/runs?limit=50&after={}", escaped(&id), escaped(&from.after));
    let found: List<Run> = visit.get(&path).await?;
    let page = Page {
        frame: &visit.frame,
        tab: "runs",
        experiment: &experiment,
        is_open: found.items.iter().any(Run::is_open),
        runs: found.items,
        next: found.next,
    };
    Ok(html(&visit.frame, page.render()))
}

pub async fn request(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let fills_history = fields.is_on("history");
    let mode = if fills_history { "full" } else { fields.given("mode").unwrap_or("incremental") };
    let asked = json!({ "mode": mode, "history": fills_history });
    let outcome: Result<Value, _> =
        visit.send(Method::POST, &format!("/experiments/{}/runs", escaped(&id)), asked).await;
    let said = match &outcome {
        Ok(run) if run["is_joined"] == true => "A run was open already; this is it.",
        _ => "A run was asked for.",
    };
    let place = match &outcome {
        Ok(run) => format!("../../runs/{}", run["id"].as_str().unwrap_or_default()),
        Err(_) => "runs".to_owned(),
    };
    visit.told(&place, outcome, said)
}
