//! Experiments, their status, and what is attached to them.

use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Shared;
use super::answer::{Answer, Created, Gone, MaybeCreated, Page, Versioned};
use super::body::{Body, Edit, Nothing};
use super::params::{Command, Ids, PageParams, Params, Spelled, check_limit, cursor, default_limit, parse_id};
use super::views::change::ChangeView;
use super::views::experiment::{
    AttachedGroupView, AttachedMetricView, AttachedView, ExperimentView, GroupView, StartedView,
};
use crate::domain::actor::Principal;
use crate::domain::clock::Timestamp;
use crate::domain::error::Refusal;
use crate::domain::experiment::{Experiment, GivenMetric};
use crate::domain::id::{AssignmentSourceId, CollectionId, EntityId, MetricId, TeamId};
use crate::domain::search::Search;
use crate::domain::sort::{Place, Sort, SortBy, SortValue};
use crate::domain::status::{Decision, Status};
use crate::store::experiment_list::{self, Filter};
use crate::store::{changes, experiments};

type ExperimentAnswer = Versioned<ExperimentView>;

fn answer(experiment: &Experiment) -> ExperimentAnswer {
    Versioned { view: ExperimentView::of(experiment), version: experiment.version }
}

/// What the list may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    #[serde(default)]
    after: String,
    #[serde(default = "default_limit")]
    limit: u32,
    /// Unless given: by the time that is asked for, else by number.
    sort: Option<Spelled<Sort>>,
    search: Option<String>,
    status: Option<Spelled<Statuses>>,
    owner: Option<String>,
    team: Option<String>,
    team_id: Option<TeamId>,
    tag: Option<String>,
    entity_id: Option<EntityId>,
    assignment_source_id: Option<AssignmentSourceId>,
    metric_id: Option<MetricId>,
    created_since: Option<Timestamp>,
    updated_since: Option<Timestamp>,
    #[serde(default)]
    with_archived: bool,
}

/// One status, or several with commas between.
pub struct Statuses(Vec<Status>);

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = |word: &str| {
            let all: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
            format!("'{word}' was given; {} are allowed, or several of them with commas between", all.join(", "))
        };
        let statuses = text.split(',').map(|word| Status::parse(word).ok_or_else(|| unknown(word)));
        statuses.collect::<Result<_, _>>().map(Self)
    }
}

impl Listing {
    fn sort(&self) -> Sort {
        let usual = match (self.created_since, self.updated_since) {
            (Some(_), _) => SortBy::CreatedAt,
            (None, Some(_)) => SortBy::UpdatedAt,
            (None, None) => SortBy::Id,
        };
        self.sort.as_ref().map_or(Sort::by(usual), |sort| sort.0)
    }

    fn into_filter(self) -> Result<Filter, Refusal> {
        let search = self.search.as_deref().map(|typed| Search::parse("search", typed)).transpose()?;
        Ok(Filter {
            statuses: self.status.map_or_else(Vec::new, |statuses| statuses.0.0),
            search,
            owner: self.owner,
            team: self.team,
            tag: self.tag,
            team_id: self.team_id,
            entity_id: self.entity_id,
            assignment_source_id: self.assignment_source_id,
            metric_id: self.metric_id,
            created_since: self.created_since,
            updated_since: self.updated_since,
            with_archived: self.with_archived,
        })
    }
}

pub async fn list(State(api): State<Shared>, Params(listing): Params<Listing>) -> Answer<Json<Page<ExperimentView>>> {
    let (limit, sort) = (check_limit(listing.limit)?, listing.sort());
    let number = |text: &str| text.parse().ok().map(SortValue::Number);
    let after = Place::parse(&listing.after, sort, number)?;
    let filter = listing.into_filter()?;
    let found = api.read(move |tx| Ok(experiment_list::list(tx, &filter, sort, after.clone(), limit)?)).await?;
    Ok(Page::found(&found, sort, ExperimentView::of))
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
