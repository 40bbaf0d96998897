//! Runs of the pipeline, and what they found.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::body::Body;
use super::experiments::Nothing;
use super::query::{Handled, Ids, Page, Params, check_limit, cursor, listed, parse_id};
use crate::domain::actor::Actor;
use crate::domain::error::Refusal;
use crate::domain::id::RunId;
use crate::domain::run::{Mode, Results, Run};
use crate::store::{experiments, runs};

fn view(run: &Run) -> Value {
    let (first, last) = run.window.days();
    json!({
        "id": run.id,
        "experiment_id": run.experiment_id,
        "mode": run.mode,
        "is_manual": run.is_manual,
        "state": run.state,
        "actor": run.actor,
        "window": run.window,
        "assignments_scan_start_date": first.to_string(),
        "assignments_scan_end_date": last.to_string(),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "error": run.error,
        "is_data_updated": run.is_data_updated,
        "is_traffic_imbalance": run.is_traffic_imbalance,
        "imbalance_p_value": run.imbalance_p_value,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default)]
    mode: Mode,
}

/// 202 with the run, which may be one that was open already: then `is_joined` is true.
pub async fn request(
    State(api): State<Shared>,
    Extension(actor): Extension<Actor>,
    Ids(id): Ids<String>,
    Body(request): Body<Request>,
) -> Handled {
    let id = api.experiment_id(&id).await?;
    let requested = api.registry.request_run(actor, id, request.mode).await?;
    let mut body = view(&requested.run);
    body["is_joined"] = requested.is_joined.into();
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// Newest first.
pub async fn list(State(api): State<Shared>, Ids(id): Ids<String>, Params(page): Params<Page>) -> Handled {
    let id = api.experiment_id(&id).await?;
    let limit = check_limit(page.limit)?;
    let before = cursor::<RunId>(&page.after)?;
    let found = api
        .read(move |tx| {
            experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            Ok(runs::list(tx, id, before, limit)?)
        })
        .await?;
    Ok(listed(found.iter().map(view).collect(), limit, |item| item["id"].as_str().unwrap_or("").to_owned()))
}

/// One run with its log: every statement, its rows, its time, its error.
pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id: RunId = parse_id(&id)?;
    let (run, steps) = api
        .read(move |tx| {
            let run = runs::get(tx, id)?.ok_or_else(|| Refusal::not_found("run", id))?;
            Ok((run, runs::steps(tx, id)?))
        })
        .await?;
    let mut body = view(&run);
    body["steps"] = json!(steps);
    Ok(Json(body).into_response())
}

pub async fn cancel(State(api): State<Shared>, Ids(id): Ids<String>, Body(Nothing {}): Body<Nothing>) -> Handled {
    let run = api.registry.cancel_run(parse_id(&id)?).await?;
    Ok((StatusCode::ACCEPTED, Json(view(&run))).into_response())
}

async fn published(api: &Shared, id: &str) -> Result<Results, super::Problem> {
    let id = api.experiment_id(id).await?;
    let found = api
        .read(move |tx| {
            let experiment = experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            Ok(experiment.results_run_id.map_or(Ok(None), |run| runs::results(tx, run))?)
        })
        .await?;
    let hint = "no run has published any yet; request one with POST …/runs";
    Ok(found.ok_or(Refusal::NotFound { kind: "result of experiment", id: id.to_string(), hint })?)
}

pub async fn results(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    Ok(Json(published(&api, &id).await?).into_response())
}

pub async fn traffic(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    Ok(Json(published(&api, &id).await?.traffic).into_response())
}
