//! Experiments, their status, and what is attached to them.

use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::answer::{Answer, Created, Gone, Located, MaybeCreated, Page, Versioned};
use super::body::{Body, Edit, Fields, Nothing};
use super::params::{
    Command, Ids, LONGEST_PAGE, OfExperiment, PageParams, Params, Spelled, check_limit, cursor, default_limit,
};
use super::views::change::ChangeView;
use super::views::experiment::{
    AttachedGroupView, AttachedMetricView, AttachedView, ExperimentView, GroupView, StartedView,
};
use crate::domain::actor::Principal;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::Configuration;
use crate::domain::discovery::FromSource;
use crate::domain::error::Refusal;
use crate::domain::experiment::{Attachment, Experiment, GivenMetric};
use crate::domain::id::{AssignmentSourceId, CollectionId, EntityId, GroupId, MetricId, TeamId};
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
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The `next` of the page before.
    #[serde(default)]
    after: String,
    /// Of items on a page.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = LONGEST_PAGE))]
    limit: u32,
    /// Unless given: by the time that is asked for, else by number.
    sort: Option<Spelled<Sort>>,
    /// Words of its text.
    search: Option<String>,
    /// Those in this status, or in one of several.
    #[schemars(with = "Option<Vec<Status>>")]
    status: Option<Spelled<Statuses>>,
    /// Those of this owner.
    owner: Option<String>,
    /// Those of the team that is called so.
    team: Option<String>,
    /// Those of this team.
    team_id: Option<TeamId>,
    /// Those with this tag.
    tag: Option<String>,
    /// Those of this entity.
    entity_id: Option<EntityId>,
    /// Those of this assignment source.
    assignment_source_id: Option<AssignmentSourceId>,
    /// Those that this metric is attached to.
    metric_id: Option<MetricId>,
    /// Those made at this time or later.
    created_since: Option<Timestamp>,
    /// Those changed at this time or later.
    updated_since: Option<Timestamp>,
    /// Whether archived ones are listed, too.
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
            tags: Vec::new(),
            key: None,
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

/// What an experiment is made of, as the description tells of it: it is read in parts.
#[derive(JsonSchema)]
#[schemars(rename = "NewExperiment", description = "An experiment to be made, as a draft.")]
#[schemars(deny_unknown_fields, transform = key_and_name_or_a_source)]
#[expect(dead_code, reason = "it is there for its schema alone")]
pub struct NewExperimentBody {
    #[serde(flatten)]
    configuration: Configuration,
    /// Attached at once, in the same event.
    #[serde(default)]
    metrics: Vec<GivenMetric>,
    /// What was seen in an assignment source, to make it of: what is not given stands there.
    #[serde(default)]
    from_source: Option<FromSource>,
}

fn key_and_name_or_a_source(schema: &mut Schema) {
    schema.remove("required");
    let either = json!([{"required": ["key", "name"]}, {"required": ["from_source"], "properties": {"from_source": {"type": "object"}}}]);
    schema.insert("anyOf".to_owned(), either);
}

pub async fn create(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Fields { fields: given, .. }: Fields<NewExperimentBody>,
) -> Answer<Located<Created<ExperimentAnswer>>> {
    let given = api.registry.read_new_experiment(given).await?;
    let experiment = api.registry.create_experiment(actor, given).await?;
    let location = format!("/api/v1/experiments/{}", experiment.id);
    Ok(Located { location, answer: Created(answer(&experiment)) })
}

pub async fn get(State(api): State<Shared>, OfExperiment(id): OfExperiment) -> Answer<ExperimentAnswer> {
    let found = api.read(move |tx| Ok(experiments::get(tx, id)?)).await?;
    Ok(answer(&found.ok_or_else(|| Refusal::not_found("experiment", id))?))
}

pub async fn edit(
    State(api): State<Shared>,
    command: Command,
    Edit { fields: edit, .. }: Edit<Configuration>,
) -> Answer<ExperimentAnswer> {
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
pub async fn metrics(State(api): State<Shared>, OfExperiment(id): OfExperiment) -> Answer<Json<AttachedView>> {
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
    Ids((_, metric)): Ids<(String, MetricId)>,
    Edit { fields: edit, .. }: Edit<Attachment>,
) -> Answer<ExperimentAnswer> {
    let effect = api.registry.edit_attachment(command.actor, command.id, metric, edit, command.if_match).await?;
    Ok(answer(&effect.value))
}

pub async fn detach_metric(
    State(api): State<Shared>,
    command: Command,
    Ids((_, metric)): Ids<(String, MetricId)>,
) -> Answer<ExperimentAnswer> {
    Ok(answer(&api.registry.detach_metric(command.actor, command.id, metric, command.if_match).await?))
}

#[derive(Deserialize, JsonSchema)]
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
    Ids((_, group)): Ids<(String, GroupId)>,
) -> Answer<ExperimentAnswer> {
    Ok(answer(&api.registry.detach_group(command.actor, command.id, group, command.if_match).await?))
}

/// Who changed what, and when; the cursor is a revision. Also of experiments that were deleted, by their number.
pub async fn history(
    State(api): State<Shared>,
    OfExperiment(id): OfExperiment,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<ChangeView>>> {
    let limit = check_limit(page.limit)?;
    let after = cursor::<i64>(&page.after)?.unwrap_or(0);
    let found = api.read(move |tx| Ok(changes::list(tx, id, after, limit)?)).await?;
    if found.is_empty() && after == 0 {
        return Err(Refusal::not_found("experiment", id).into());
    }
    Ok(Page::of(&found, limit, |change| change.revision.to_string(), ChangeView::of))
}
