//! Experiments, their status, and what is attached to them.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Shared;
use super::body::{Body, Edit};
use super::query::{Command, Handled, Ids, Page, Params, check_limit, cursor, listed, parse_id, usual_page, versioned};
use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::error::Refusal;
use crate::domain::experiment::{Configuration, Experiment};
use crate::domain::id::{CollectionId, ExperimentId, MetricId, RunId};
use crate::domain::lifecycle::{Decision, Status};
use crate::store::{changes, experiments};

/// An experiment as the API shows it: its configuration, and what only Bellwether writes.
#[derive(Serialize)]
struct View<'a> {
    id: ExperimentId,
    #[serde(flatten)]
    configuration: &'a Configuration,
    status: Status,
    legal_actions: &'static [&'static str],
    decision: &'a Option<Decision>,
    revision: i64,
    version: i64,
    is_traffic_imbalance: bool,
    results_run_id: Option<RunId>,
    results_updated_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

fn view(experiment: &Experiment) -> View<'_> {
    View {
        id: experiment.id,
        configuration: &experiment.configuration,
        status: experiment.status,
        legal_actions: experiment.status.legal_actions(),
        decision: &experiment.decision,
        revision: experiment.revision,
        version: experiment.version,
        is_traffic_imbalance: experiment.is_traffic_imbalance,
        results_run_id: experiment.results_run_id,
        results_updated_at: experiment.results_updated_at,
        created_at: experiment.created_at,
        updated_at: experiment.updated_at,
    }
}

fn answer(status: StatusCode, experiment: &Experiment) -> Response {
    versioned(status, &view(experiment), experiment.version)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    #[serde(default)]
    after: String,
    #[serde(default = "usual_page")]
    limit: u32,
    status: Option<Status>,
}

pub async fn list(State(api): State<Shared>, Params(listing): Params<Listing>) -> Handled {
    let limit = check_limit(listing.limit)?;
    let after: ExperimentId = cursor(&listing.after)?.unwrap_or(0);
    let found = api.read(move |tx| Ok(experiments::list(tx, after, listing.status, limit)?)).await?;
    Ok(listed(found.iter().map(view).collect(), limit, |item| item.id.to_string()))
}

pub async fn create(
    State(api): State<Shared>,
    Extension(actor): Extension<Actor>,
    Body(configuration): Body<Configuration>,
) -> Handled {
    let experiment = api.registry.create_experiment(actor, configuration).await?;
    let mut response = answer(StatusCode::CREATED, &experiment);
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/experiments/{}", experiment.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id = api.experiment_id(&id).await?;
    let found = api.read(move |tx| Ok(experiments::get(tx, id)?)).await?;
    Ok(answer(StatusCode::OK, &found.ok_or_else(|| Refusal::not_found("experiment", id))?))
}

pub async fn edit(State(api): State<Shared>, command: Command, Edit(edit): Edit) -> Handled {
    let commanded = api.registry.edit_experiment(command.actor, command.id, edit, command.if_match).await?;
    Ok(answer(StatusCode::OK, &commanded.value))
}

pub async fn delete(State(api): State<Shared>, command: Command) -> Handled {
    api.registry.delete_experiment(command.actor, command.id, command.if_match).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A body with nothing in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

pub async fn start(State(api): State<Shared>, command: Command, Body(Nothing {}): Body<Nothing>) -> Handled {
    Ok(answer(StatusCode::OK, &api.registry.start_experiment(command.actor, command.id, command.if_match).await?))
}

pub async fn decide(State(api): State<Shared>, command: Command, Body(decision): Body<Decision>) -> Handled {
    Ok(answer(
        StatusCode::OK,
        &api.registry.decide_experiment(command.actor, command.id, decision, command.if_match).await?,
    ))
}

pub async fn reopen(State(api): State<Shared>, command: Command, Body(Nothing {}): Body<Nothing>) -> Handled {
    Ok(answer(StatusCode::OK, &api.registry.reopen_experiment(command.actor, command.id, command.if_match).await?))
}

/// The experiment's metrics and groups, in their order.
pub async fn metrics(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id = api.experiment_id(&id).await?;
    let (items, groups) = api
        .read(move |tx| {
            experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            Ok((experiments::attached_metrics(tx, id)?, experiments::groups(tx, id)?))
        })
        .await?;
    Ok(axum::Json(json!({"items": items, "next": null, "collections": groups})).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachMetric {
    metric_id: MetricId,
    #[serde(default)]
    is_primary: bool,
}

pub async fn attach_metric(State(api): State<Shared>, command: Command, Body(body): Body<AttachMetric>) -> Handled {
    let commanded = api
        .registry
        .attach_metric(command.actor, command.id, body.metric_id, body.is_primary, command.if_match)
        .await?;
    Ok(answer(if commanded.is_changed { StatusCode::CREATED } else { StatusCode::OK }, &commanded.value))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditAttachedMetric {
    is_primary: bool,
}

pub async fn edit_attached_metric(
    State(api): State<Shared>,
    command: Command,
    Ids((_, metric)): Ids<(String, String)>,
    Body(body): Body<EditAttachedMetric>,
) -> Handled {
    let commanded = api
        .registry
        .set_primary_metric(command.actor, command.id, parse_id(&metric)?, body.is_primary, command.if_match)
        .await?;
    Ok(answer(StatusCode::OK, &commanded.value))
}

pub async fn detach_metric(
    State(api): State<Shared>,
    command: Command,
    Ids((_, metric)): Ids<(String, String)>,
) -> Handled {
    Ok(answer(
        StatusCode::OK,
        &api.registry.detach_metric(command.actor, command.id, parse_id(&metric)?, command.if_match).await?,
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachCollection {
    collection_id: CollectionId,
}

pub async fn attach_collection(
    State(api): State<Shared>,
    command: Command,
    Body(body): Body<AttachCollection>,
) -> Handled {
    let commanded =
        api.registry.attach_collection(command.actor, command.id, body.collection_id, command.if_match).await?;
    let (experiment, group) = commanded.value;
    let status = if commanded.is_changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok(versioned(
        status,
        &json!({"group_id": group.id, "collection_id": group.collection_id, "name": group.name, "experiment": view(&experiment)}),
        experiment.version,
    ))
}

pub async fn detach_group(
    State(api): State<Shared>,
    command: Command,
    Ids((_, group)): Ids<(String, String)>,
) -> Handled {
    Ok(answer(
        StatusCode::OK,
        &api.registry.detach_group(command.actor, command.id, parse_id(&group)?, command.if_match).await?,
    ))
}

/// Who changed what, and when; the cursor is a revision. Also of experiments that were deleted, by their number.
pub async fn history(State(api): State<Shared>, Ids(id): Ids<String>, Params(page): Params<Page>) -> Handled {
    let id = api.experiment_id(&id).await?;
    let limit = check_limit(page.limit)?;
    let after = cursor::<i64>(&page.after)?.unwrap_or(0);
    let found = api.read(move |tx| Ok(changes::list(tx, id, after, limit)?)).await?;
    if found.is_empty() && after == 0 {
        return Err(Refusal::not_found("experiment", id).into());
    }
    Ok(listed(found, limit, |change| change.revision.to_string()))
}
