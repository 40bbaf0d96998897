//! Experiments, their status, and what is attached to them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Shared;
use super::answer::{Answer, Created, Gone, MaybeCreated, Page, Versioned};
use super::body::{Body, Edit, Nothing};
use super::params::{Command, Ids, PageParams, Params, check_limit, cursor, default_limit, parse_id};
use super::views::change::ChangeView;
use super::views::experiment::{
    AttachedGroupView, AttachedMetricView, AttachedView, ExperimentView, GroupView, StartedView,
};
use crate::domain::actor::Principal;
use crate::domain::error::Refusal;
use crate::domain::experiment::{Experiment, GivenMetric};
use crate::domain::id::{CollectionId, ExperimentId};
use crate::domain::status::{Decision, Status};
use crate::store::{changes, experiments};

type ExperimentAnswer = Versioned<ExperimentView>;

fn answer(experiment: &Experiment) -> ExperimentAnswer {
    Versioned { view: ExperimentView::of(experiment), version: experiment.version }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    #[serde(default)]
    after: String,
    #[serde(default = "default_limit")]
    limit: u32,
    status: Option<Status>,
    #[serde(default)]
    with_archived: bool,
}

pub async fn list(State(api): State<Shared>, Params(listing): Params<Listing>) -> Answer<Json<Page<ExperimentView>>> {
    let limit = check_limit(listing.limit)?;
    let after: ExperimentId = cursor(&listing.after)?.unwrap_or(0);
    let Listing { status, with_archived, .. } = listing;
    let found = api.read(move |tx| Ok(experiments::list(tx, after, status, with_archived, limit)?)).await?;
    Ok(Page::of(&found, limit, |found| found.id.to_string(), ExperimentView::of))
}

pub async fn create(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Edit(given): Edit,
) -> Answer<([(HeaderName, String); 1], Created<ExperimentAnswer>)> {
    let given = api.registry.read_new_experiment(given).await?;
    let experiment = api.registry.create_experiment(actor, given).await?;
    let location = format!("/api/v1/experiments/{}", experiment.id);
    Ok(([(header::LOCATION, location)], Created(answer(&experiment))))
}

pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Answer<ExperimentAnswer> {
    let id = api.experiment_id(&id).await?;
    let found = api.read(move |tx| Ok(experiments::get(tx, id)?)).await?;
    Ok(answer(&found.ok_or_else(|| Refusal::not_found("experiment", id))?))
}

pub async fn edit(State(api): State<Shared>, command: Command, Edit(edit): Edit) -> Answer<ExperimentAnswer> {
    let effect = api.registry.edit_experiment(command.actor, command.id, edit, command.if_match).await?;
    Ok(answer(&effect.value))
}

pub async fn delete(State(api): State<Shared>, command: Command) -> Answer<Gone> {
    api.registry.delete_experiment(command.actor, command.id, command.if_match).await?;
    Ok(Gone)
}

pub async fn start(
    State(api): State<Shared>,
    command: Command,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Versioned<StartedView>> {
    let started = api.registry.start_experiment(command.actor, command.id, command.if_match).await?;
    Ok(Versioned { view: StartedView::of(&started), version: started.experiment.version })
}

pub async fn decide(
    State(api): State<Shared>,
    command: Command,
    Body(decision): Body<Decision>,
) -> Answer<ExperimentAnswer> {
    Ok(answer(&api.registry.decide_experiment(command.actor, command.id, decision, command.if_match).await?))
}

pub async fn reopen(
    State(api): State<Shared>,
    command: Command,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<ExperimentAnswer> {
    Ok(answer(&api.registry.reopen_experiment(command.actor, command.id, command.if_match).await?))
}

/// The experiment's metrics and groups, in their order.
pub async fn metrics(State(api): State<Shared>, Ids(id): Ids<String>) -> Answer<Json<AttachedView>> {
    let id = api.experiment_id(&id).await?;
    let (items, groups) = api
        .read(move |tx| {
            experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            Ok((experiments::attached_metrics(tx, id)?, experiments::groups(tx, id)?))
        })
        .await?;
    Ok(Json(AttachedView {
        items: items.into_iter().map(AttachedMetricView::of).collect(),
        next: None,
        collections: groups.into_iter().map(GroupView::of).collect(),
    }))
}

pub async fn attach_metric(
    State(api): State<Shared>,
    command: Command,
    Body(body): Body<GivenMetric>,
) -> Answer<MaybeCreated<ExperimentAnswer>> {
    let effect = api.registry.attach_metric(command.actor, command.id, body, command.if_match).await?;
    Ok(MaybeCreated { answer: answer(&effect.value), is_created: effect.is_changed })
}

pub async fn edit_attached_metric(
    State(api): State<Shared>,
    command: Command,
    Ids((_, metric)): Ids<(String, String)>,
    Body(edit): Body<Map<String, Value>>,
) -> Answer<ExperimentAnswer> {
    let effect =
        api.registry.edit_attachment(command.actor, command.id, parse_id(&metric)?, edit, command.if_match).await?;
    Ok(answer(&effect.value))
}

pub async fn detach_metric(
    State(api): State<Shared>,
    command: Command,
    Ids((_, metric)): Ids<(String, String)>,
) -> Answer<ExperimentAnswer> {
    Ok(answer(&api.registry.detach_metric(command.actor, command.id, parse_id(&metric)?, command.if_match).await?))
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
) -> Answer<MaybeCreated<Versioned<AttachedGroupView>>> {
    let effect =
        api.registry.attach_collection(command.actor, command.id, body.collection_id, command.if_match).await?;
    let (experiment, group) = effect.value;
    let view = AttachedGroupView::of(group, &experiment);
    let answer = Versioned { view, version: experiment.version };
    Ok(MaybeCreated { answer, is_created: effect.is_changed })
}

pub async fn detach_group(
    State(api): State<Shared>,
    command: Command,
    Ids((_, group)): Ids<(String, String)>,
) -> Answer<ExperimentAnswer> {
    Ok(answer(&api.registry.detach_group(command.actor, command.id, parse_id(&group)?, command.if_match).await?))
}

/// Who changed what, and when; the cursor is a revision. Also of experiments that were deleted, by their number.
pub async fn history(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<ChangeView>>> {
    let id = api.experiment_id(&id).await?;
    let limit = check_limit(page.limit)?;
    let after = cursor::<i64>(&page.after)?.unwrap_or(0);
    let found = api.read(move |tx| Ok(changes::list(tx, id, after, limit)?)).await?;
    if found.is_empty() && after == 0 {
        return Err(Refusal::not_found("experiment", id).into());
    }
    Ok(Page::of(&found, limit, |change| change.revision.to_string(), ChangeView::of))
}
