//! Runs of the pipeline, and what they found.

use axum::Json;
use axum::extract::State;
use bellwether_warehouse::Dialect;
use serde::Deserialize;

use super::Shared;
use super::answer::{Accepted, Answer, Page};
use super::body::{Body, Nothing};
use super::params::{Ids, PageParams, Params, check_limit, cursor, parse_id};
use super::views::run::{RequestedRunView, RunInFull, RunView, StepInFull, StepView};
use crate::domain::actor::Principal;
use crate::domain::error::Refusal;
use crate::domain::id::RunId;
use crate::domain::results::{Results, Traffic};
use crate::domain::run::Mode;
use crate::pipeline::explain;
use crate::store::{experiments, runs};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default)]
    mode: Mode,
}

/// 202 with the run, which may be one that was open already: then `is_joined` is true.
pub async fn request(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Ids(id): Ids<String>,
    Body(request): Body<Request>,
) -> Answer<Accepted<RequestedRunView>> {
    let id = api.experiment_id(&id).await?;
    let requested = api.registry.request_run(actor, id, request.mode).await?;
    let run = RunView::of(&requested.run);
    Ok(Accepted(Json(RequestedRunView { run, is_joined: requested.is_joined })))
}

/// Newest first.
pub async fn list(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<RunView>>> {
    let id = api.experiment_id(&id).await?;
    let limit = check_limit(page.limit)?;
    let before = cursor::<RunId>(&page.after)?;
    let found = api
        .read(move |tx| {
            experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            Ok(runs::list(tx, id, before, limit)?)
        })
        .await?;
    Ok(Page::of(&found, limit, |run| run.id.to_string(), RunView::of))
}

/// One run with its log: every statement, its rows, its time, its error.
pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Answer<Json<RunInFull>> {
    let id: RunId = parse_id(&id)?;
    let (run, steps) = api
        .read(move |tx| {
            let run = runs::get(tx, id)?.ok_or_else(|| Refusal::not_found("run", id))?;
            Ok((run, runs::steps(tx, id)?))
        })
        .await?;
    Ok(Json(RunInFull { run: RunView::of(&run), steps: steps.into_iter().map(StepView::of).collect() }))
}

/// One step of a run's log as a statement that stands alone, ready to be copied.
pub async fn step(State(api): State<Shared>, Ids((id, position)): Ids<(String, String)>) -> Answer<Json<StepInFull>> {
    let id: RunId = parse_id(&id)?;
    let position: usize = position.parse().map_err(|_| Refusal::not_found("step of this run", &position))?;
    let steps = api
        .read(move |tx| {
            runs::get(tx, id)?.ok_or_else(|| Refusal::not_found("run", id))?;
            Ok(runs::steps(tx, id)?)
        })
        .await?;
    let statement = explain::statement(Dialect::DataFusion, &steps, position);
    let step = position.checked_sub(1).and_then(|place| steps.into_iter().nth(place));
    let (step, statement) = step.zip(statement).ok_or_else(|| Refusal::not_found("step of this run", position))?;
    Ok(Json(StepInFull { step: StepView::of(step), statement }))
}

pub async fn cancel(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Accepted<RunView>> {
    let run = api.registry.cancel_run(parse_id(&id)?).await?;
    Ok(Accepted(Json(RunView::of(&run))))
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

pub async fn results(State(api): State<Shared>, Ids(id): Ids<String>) -> Answer<Json<Results>> {
    Ok(Json(published(&api, &id).await?))
}

pub async fn traffic(State(api): State<Shared>, Ids(id): Ids<String>) -> Answer<Json<Traffic>> {
    Ok(Json(published(&api, &id).await?.traffic))
}
