//! Metrics and their collections, as Eppo's clients list, read, make and edit them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::facts::Facts;
use super::metric_form::{MetricForm, MetricView, Terms};
use super::numbers::Numbered;
use super::query::Query;
use super::words::{in_eppos_words, renamed};
use crate::api::answer::Answer;
use crate::api::body::Fields;
use crate::api::problem::Problem;
use crate::api::{Api, Shared};
use crate::domain::actor::Principal;
use crate::domain::collection::Collection;
use crate::domain::definition::{Entity, Team};
use crate::domain::error::{Refusal, Validate};
use crate::domain::metric::Metric;
use crate::registry;
use crate::store::Tx;
use crate::store::definitions::{self, Definition};

#[derive(Debug, Serialize)]
pub struct CollectionView {
    id: i64,
    name: String,
    description: String,
    team_id: Option<i64>,
    metric_ids: Vec<i64>,
    metrics: Vec<MetricOfCollection>,
}

#[derive(Debug, Serialize)]
struct MetricOfCollection {
    id: i64,
    name: String,
}

impl Terms {
    fn load(tx: &mut dyn Tx) -> registry::Result<Self> {
        Ok(Self {
            entities: Numbered::load::<Entity>(tx)?,
            teams: Numbered::load::<Team>(tx)?,
            facts: Facts::load(tx)?,
        })
    }
}

/// In order of their numbers.
fn all(tx: &mut dyn Tx) -> registry::Result<Vec<Definition<Metric>>> {
    let mut all = definitions::all::<Metric>(tx)?;
    all.sort_by_key(|metric| metric.number);
    Ok(all)
}

pub async fn list(State(api): State<Shared>, query: Query) -> Answer<Json<Vec<MetricView>>> {
    let (slice, entity) = (query.slice()?, query.number("entity_id")?);
    let part = query.text("name").map(str::to_lowercase);
    let found = api.read(move |tx| {
        let terms = Terms::load(tx)?;
        let is_wanted = |metric: &Definition<Metric>| {
            entity.is_none_or(|number| terms.entities.number(metric.body.entity_id) == Some(number))
                && part.as_ref().is_none_or(|part| metric.body.name.to_lowercase().contains(part))
        };
        let wanted = slice.of(all(tx)?.into_iter().filter(is_wanted));
        Ok(wanted.iter().map(|metric| MetricView::of(metric, &terms)).collect())
    });
    Ok(Json(found.await?))
}

pub async fn get(State(api): State<Shared>, Path(id): Path<String>) -> Answer<Json<MetricView>> {
    let (metric, terms) = api.metric(&id).await?;
    Ok(Json(MetricView::of(&metric, &terms)))
}

pub async fn create(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Fields { fields, .. }: Fields<MetricForm>,
) -> Answer<(StatusCode, Json<MetricView>)> {
    let terms = api.read(Terms::load).await?;
    let metric = MetricForm::of(fields)?.read(&terms, None)?;
    metric.validate().map_err(in_eppos_words)?;
    let made = api.registry.define(actor, metric).await.map_err(renamed)?;
    Ok((StatusCode::CREATED, Json(MetricView::of(&made, &terms))))
}

pub async fn edit(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Path(id): Path<String>,
    Fields { fields, .. }: Fields<MetricForm>,
) -> Answer<Json<MetricView>> {
    let (before, terms) = api.metric(&id).await?;
    let metric = MetricForm::of(fields)?.read(&terms, Some(&before.body))?;
    metric.validate().map_err(in_eppos_words)?;
    let Ok(Value::Object(fields)) = serde_json::to_value(&metric) else {
        return Err(Refusal::invalid("body", "it cannot be written").into());
    };
    // What was read is what is edited: somebody else's edit in between would be undone.
    let version = Some(format!("\"{}\"", before.version));
    let edited = api.registry.redefine::<Metric>(actor, before.id, fields, version).await.map_err(renamed)?;
    Ok(Json(MetricView::of(&edited.value, &terms)))
}

pub async fn collections(State(api): State<Shared>, query: Query) -> Answer<Json<Vec<CollectionView>>> {
    let slice = query.slice_or_all()?;
    let found = api.read(move |tx| {
        let (teams, metrics) = (Numbered::load::<Team>(tx)?, definitions::all::<Metric>(tx)?);
        let mut all = definitions::all::<Collection>(tx)?;
        all.sort_by_key(|collection| collection.number);
        let view = |collection: Definition<Collection>| {
            let Collection { name, description, team_id, metric_ids } = collection.body;
            let named = metric_ids.iter().filter_map(|id| metrics.iter().find(|metric| metric.id == *id));
            let metrics: Vec<_> =
                named.map(|metric| MetricOfCollection { id: metric.number, name: metric.body.name.clone() }).collect();
            let team_id = team_id.and_then(|id| teams.number(id));
            let metric_ids = metrics.iter().map(|metric| metric.id).collect();
            CollectionView { id: collection.number, name, description, team_id, metric_ids, metrics }
        };
        Ok(slice.of(all.into_iter().map(view)))
    });
    Ok(Json(found.await?))
}

impl Api {
    /// The metric of a number, with what it refers to.
    async fn metric(&self, given: &str) -> Result<(Definition<Metric>, Terms), Problem> {
        let wrong = |_| Problem::not_found(format!("'{given}' is not the number of a metric"));
        let number: i64 = given.parse().map_err(wrong)?;
        let found = self.read(move |tx| {
            let found = definitions::of_number::<Metric>(tx, number)?;
            Ok((found.ok_or_else(|| Refusal::not_found("metric", number))?, Terms::load(tx)?))
        });
        found.await
    }
}
