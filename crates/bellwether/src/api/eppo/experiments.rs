//! Experiments, as Eppo's clients list, read and make them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;

use super::experiment_form::ExperimentForm;
use super::experiment_view::{ExperimentView, Shown, asked_status};
use super::numbers::Numbers;
use super::query::{Query, Slice};
use super::words::renamed;
use crate::api::answer::Answer;
use crate::api::body::Body;
use crate::api::params::LONGEST_PAGE;
use crate::api::problem::Problem;
use crate::api::{Api, Shared};
use crate::domain::actor::Principal;
use crate::domain::error::Refusal;
use crate::domain::experiment::Experiment;
use crate::domain::id::{ExperimentId, RunId};
use crate::domain::results::Results;
use crate::domain::run::{Asked, Mode, RunState};
use crate::domain::sort::{Sort, SortBy};
use crate::domain::status::Status;
use crate::registry;
use crate::store::experiment_list::{self, Filter};
use crate::store::{Tx, experiments, runs};

/// What is asked for besides the experiments themselves.
#[derive(Clone, Copy)]
struct Wanted {
    results: bool,
    cuped: bool,
}

impl Wanted {
    const NOTHING_MORE: Self = Self { results: false, cuped: false };

    fn of(query: &Query) -> Result<Self, Refusal> {
        let cuped = query.is_true("with_full_cuped_data")?;
        let results = query.is_true("includeResults")? || query.is_true("with_calculated_metrics")?;
        Ok(Self { results: results || cuped, cuped })
    }

    fn view(
        self,
        experiment: &Experiment,
        numbers: &Numbers,
        is_deleted: bool,
        results: Option<Results>,
    ) -> ExperimentView {
        let shown = Shown { is_deleted, results, with_results: self.results, with_cuped: self.cuped };
        ExperimentView::of(experiment, numbers, &shown)
    }

    fn results(self, tx: &mut dyn Tx, experiment: &Experiment) -> registry::Result<Option<Results>> {
        let run = experiment.results_run_id.filter(|_| self.results);
        run.map_or(Ok(None), |run| Ok(runs::results(tx, run)?))
    }
}

pub async fn list(State(api): State<Shared>, query: Query) -> Answer<Json<Vec<ExperimentView>>> {
    let (slice, wanted, is_deleted) = (query.slice()?, Wanted::of(&query)?, query.is_true("is_deleted")?);
    let numbers = api.read(|tx| Ok(Numbers::load(tx)?)).await?;
    let Some(filter) = filter(&query, &numbers)? else { return Ok(Json(Vec::new())) };
    let found = if is_deleted { api.deleted(filter, slice).await? } else { api.listed(filter, slice).await? };
    let mut views = Vec::with_capacity(found.len());
    for experiment in found {
        // One by one, for results may be large.
        let (experiment, results) =
            api.read(move |tx| Ok((experiment.clone(), wanted.results(tx, &experiment)?))).await?;
        views.push(wanted.view(&experiment, &numbers, is_deleted, results));
    }
    Ok(Json(views))
}

/// `None`: nothing is as wanted, for it names what is not there.
fn filter(query: &Query, numbers: &Numbers) -> Result<Option<Filter>, Refusal> {
    // There are no others than experiments: no holdouts.
    let is_other = query.text("type").is_some_and(|kind| !["all", "experiment", "experiments"].contains(&kind));
    let asked = query.list("status");
    let statuses: Vec<Status> = asked.iter().filter_map(|text| asked_status(text)).collect();
    let entity = query.number("entity_id")?;
    let entity_id = entity.and_then(|number| numbers.entities.id(number));
    let key = query.text("experiment_key").map(str::to_owned);
    let (created_since, updated_since) = (query.time("created_since")?, query.time("updated_since")?);
    let with_archived = query.is_true("includeArchived")?;
    // PostgreSQL cannot even look for U+0000, and no key holds it.
    let is_impossible = key.as_ref().is_some_and(|key| key.contains('\0'));
    if is_other || is_impossible || !asked.is_empty() && statuses.is_empty() || entity.is_some() && entity_id.is_none()
    {
        return Ok(None);
    }
    let tags = query.list("tags");
    Ok(Some(Filter {
        statuses,
        key,
        tags,
        entity_id,
        created_since,
        updated_since,
        with_archived,
        ..Filter::default()
    }))
}

pub async fn get(State(api): State<Shared>, Path(id): Path<String>, query: Query) -> Answer<Json<ExperimentView>> {
    let wanted = Wanted::of(&query)?;
    let may_be_deleted = query.is_true("allow_deleted")? || query.is_true("allow_delete")?;
    let id = number(&id)?;
    api.shown(id, wanted, may_be_deleted).await
}

/// As a draft, as our own API makes it.
pub async fn create(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Body(form): Body<ExperimentForm>,
) -> Answer<(StatusCode, Json<ExperimentView>)> {
    let numbers = api.read(|tx| Ok(Numbers::load(tx)?)).await?;
    let fields = form.read_new(&numbers)?;
    let given = api.registry.read_new_experiment(fields).await.map_err(renamed)?;
    let made = api.registry.create_experiment(actor, given).await.map_err(renamed)?;
    // It may have become more than it was made as: guardrails are attached, and what is due by date begins.
    let Json(view) = api.shown(made.id, Wanted::NOTHING_MORE, true).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Edits what is given of the configuration.
pub async fn edit(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Path(id): Path<String>,
    Body(form): Body<ExperimentForm>,
) -> Answer<Json<ExperimentView>> {
    let (id, numbers) = (number(&id)?, api.read(|tx| Ok(Numbers::load(tx)?)).await?);
    let fields = form.read_edit(&numbers)?;
    api.registry.edit_experiment(actor, id, fields, None).await.map_err(renamed)?;
    api.shown(id, Wanted::NOTHING_MORE, true).await
}

/// Shows what was deleted, for clients read JSON in any case.
pub async fn delete(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Path(id): Path<String>,
) -> Answer<Json<ExperimentView>> {
    let id = number(&id)?;
    api.registry.delete_experiment(actor, id, None).await?;
    api.shown(id, Wanted::NOTHING_MORE, true).await
}

#[derive(Debug, Serialize)]
pub struct UpdateView {
    experiment_id: ExperimentId,
    run_id: RunId,
    status: RunState,
}

/// Has results computed anew: a run, or one that was open already.
pub async fn update_results(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Path(id): Path<String>,
    query: Query,
) -> Answer<(StatusCode, Json<UpdateView>)> {
    let experiment_id = number(&id)?;
    let mode = if query.is_true("full_refresh")? { Mode::Full } else { Mode::default() };
    let run = api.registry.request_run(actor, experiment_id, Asked { mode, fills_history: false }).await?.run;
    Ok((StatusCode::ACCEPTED, Json(UpdateView { experiment_id, run_id: run.id, status: run.state })))
}

/// The number of an experiment in a path.
fn number(given: &str) -> Result<ExperimentId, Problem> {
    given.parse().map_err(|_| Problem::not_found(format!("'{given}' is not the number of an experiment")))
}

impl Api {
    async fn shown(&self, id: ExperimentId, wanted: Wanted, may_be_deleted: bool) -> Answer<Json<ExperimentView>> {
        let found = self.read(move |tx| {
            let numbers = Numbers::load(tx)?;
            let (experiment, is_deleted) = match experiments::get(tx, id)? {
                None if may_be_deleted => (experiments::get_deleted_too(tx, id)?, true),
                found => (found, false),
            };
            let experiment = experiment.ok_or_else(|| Refusal::not_found("experiment", id))?;
            let results = wanted.results(tx, &experiment)?;
            Ok(wanted.view(&experiment, &numbers, is_deleted, results))
        });
        Ok(Json(found.await?))
    }

    /// A part of the experiments that are as wanted, in order of their numbers.
    async fn listed(&self, filter: Filter, slice: Slice) -> Answer<Vec<Experiment>> {
        let (mut found, mut passed, mut after) = (Vec::new(), 0, None);
        let sort = Sort::by(SortBy::Id);
        loop {
            let (filter, from) = (filter.clone(), after.clone());
            let read = self.read(move |tx| Ok(experiment_list::list(tx, &filter, sort, from.clone(), LONGEST_PAGE)?));
            let page = read.await?;
            for experiment in page.items {
                passed += 1;
                if passed > slice.offset {
                    found.push(experiment);
                }
                if found.len() == slice.limit {
                    return Ok(found);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// The same of those that were deleted.
    async fn deleted(&self, filter: Filter, slice: Slice) -> Answer<Vec<Experiment>> {
        let (mut found, mut passed, mut after) = (Vec::new(), 0, 0);
        loop {
            let page = self.read(move |tx| Ok(experiment_list::deleted(tx, after, LONGEST_PAGE)?)).await?;
            let Some(last) = page.last().map(|experiment| experiment.id) else { return Ok(found) };
            for experiment in page.into_iter().filter(|experiment| filter.is_met(experiment)) {
                passed += 1;
                if passed > slice.offset {
                    found.push(experiment);
                }
                if found.len() == slice.limit {
                    return Ok(found);
                }
            }
            after = last;
        }
    }
}
