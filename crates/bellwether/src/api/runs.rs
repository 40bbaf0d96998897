//! Runs of the pipeline, and what they found.

use std::collections::HashMap;
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use bellwether_warehouse::Dialect;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Shared;
use super::answer::{Accepted, Answer, Page};
use super::body::{Body, Nothing};
use super::params::{Ids, OfExperiment, PageParams, Params, check_limit, cursor};
use super::views::run::{RequestedRunView, RunInFull, RunView, StepInFull, StepView};
use crate::domain::actor::Principal;
use crate::domain::error::Refusal;
use crate::domain::id::{ExperimentId, RunId, TypedId};
use crate::domain::point::Point;
use crate::domain::results::{Results, Traffic};
use crate::domain::run::{Asked, Mode, Run, RunState};
use crate::pipeline::explain;
use crate::registry::Result;
use crate::store::{Tx, experiments, points, runs};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewRun")]
pub struct Request {
    mode: Option<Mode>,
    /// Whether what the figures were at the ends of earlier days is computed as well.
    #[serde(default)]
    history: bool,
}

impl Request {
    fn asked(&self) -> Result<Asked> {
        match (self.mode, self.history) {
            (Some(Mode::Incremental), true) => {
                let reason = "it was given with the mode 'incremental'; earlier days are filled in by a full run: set mode to 'full'";
                Err(Refusal::invalid("history", reason).into())
            }
            (None, true) => Ok(Asked { mode: Mode::Full, fills_history: true }),
            (mode, fills_history) => Ok(Asked { mode: mode.unwrap_or_default(), fills_history }),
        }
    }
}

/// A run, and how far it is.
pub fn shown(tx: &mut dyn Tx, run: &Run) -> Result<RunView> {
    let progress = if run.state == RunState::Running { runs::progress(tx, run.id)? } else { None };
    Ok(RunView::of(run, progress))
}

/// 202 with the run, which may be one that was open already: then `is_joined` is true.
pub async fn request(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    OfExperiment(id): OfExperiment,
    Body(request): Body<Request>,
) -> Answer<Accepted<RequestedRunView>> {
    let requested = api.registry.request_run(actor, id, request.asked()?).await?;
    let is_joined = requested.is_joined;
    let run = api.read(move |tx| shown(tx, &requested.run)).await?;
    Ok(Accepted(Json(RequestedRunView { run, is_joined })))
}

/// Newest first.
pub async fn list(
    State(api): State<Shared>,
    OfExperiment(id): OfExperiment,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<RunView>>> {
    let limit = check_limit(page.limit)?;
    let before = cursor::<RunId>(&page.after)?;
    let (found, running) = api
        .read(move |tx| {
            experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            let found = runs::list(tx, id, before, limit)?;
            let mut running = HashMap::new();
            for run in found.iter().filter(|run| run.state == RunState::Running) {
                running.extend(runs::progress(tx, run.id)?.map(|progress| (run.id, progress)));
            }
            Ok((found, running))
        })
        .await?;
    Ok(Page::of(&found, limit, |run| run.id.to_string(), |run| RunView::of(run, running.get(&run.id).cloned())))
}

/// One run with its log: every statement, its rows, its time, its error.
pub async fn get(State(api): State<Shared>, Ids(id): Ids<RunId>) -> Answer<Json<RunInFull>> {
    let (run, steps) = api
        .read(move |tx| {
            let run = runs::get(tx, id)?.ok_or_else(|| Refusal::not_found("run", id))?;
            Ok((shown(tx, &run)?, runs::steps(tx, id)?))
        })
        .await?;
    Ok(Json(RunInFull { run, steps: steps.into_iter().map(StepView::of).collect() }))
}

/// A step's place in a run's log, counted from 1.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub struct StepPosition(#[schemars(range(min = 1))] usize);

impl FromStr for StepPosition {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("'{text}' is no step of a run; they are counted from 1"))
    }
}

impl TypedId for StepPosition {}

/// One step of a run's log as a statement that stands alone, ready to be copied.
pub async fn step(
    State(api): State<Shared>,
    Ids((id, StepPosition(position))): Ids<(RunId, StepPosition)>,
) -> Answer<Json<StepInFull>> {
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
    Ids(id): Ids<RunId>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Accepted<RunView>> {
    let run = api.registry.cancel_run(id).await?;
    Ok(Accepted(Json(api.read(move |tx| shown(tx, &run)).await?)))
}

async fn published(api: &Shared, id: ExperimentId) -> Answer<Results> {
    let found = api
        .read(move |tx| {
            let experiment = experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            Ok(experiment.results_run_id.map_or(Ok(None), |run| runs::results(tx, run))?)
        })
        .await?;
    let hint = "no run has published any yet; request one with POST …/runs";
    Ok(found.ok_or(Refusal::NotFound { kind: "result of experiment", id: id.to_string(), hint })?)
}

pub async fn results(State(api): State<Shared>, OfExperiment(id): OfExperiment) -> Answer<Json<Results>> {
    Ok(Json(published(&api, id).await?))
}

pub async fn traffic(State(api): State<Shared>, OfExperiment(id): OfExperiment) -> Answer<Json<Traffic>> {
    Ok(Json(published(&api, id).await?.traffic))
}

/// What one run found, also if another has come after it.
pub async fn results_of_run(State(api): State<Shared>, Ids(id): Ids<RunId>) -> Answer<Json<Results>> {
    let found = api
        .read(move |tx| {
            runs::get(tx, id)?.ok_or_else(|| Refusal::not_found("run", id))?;
            Ok(runs::results(tx, id)?)
        })
        .await?;
    let hint = "it has not ended, or not in a success; see the run";
    Ok(Json(found.ok_or(Refusal::NotFound { kind: "result of run", id: id.to_string(), hint })?))
}

/// What the figures were at the end of each day, oldest first; the cursor is a day.
pub async fn over_time(
    State(api): State<Shared>,
    OfExperiment(id): OfExperiment,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<Point>>> {
    let limit = check_limit(page.limit)?;
    let after = cursor::<jiff::civil::Date>(&page.after)?.map(|day| day.to_string()).unwrap_or_default();
    let found = api
        .read(move |tx| {
            experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            Ok(points::list(tx, id, &after, limit)?)
        })
        .await?;
    Ok(Page::of(&found, limit, |point| point.day.clone(), Clone::clone))
}
