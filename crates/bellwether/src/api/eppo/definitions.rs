//! What experiments are made of, and whose they are, as Eppo's clients list it: entities, assignment sources, teams.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::numbers::Numbered;
use super::query::Query;
use crate::api::Shared;
use crate::api::answer::Answer;
use crate::domain::definition::{AssignmentSource, Entity, Team};
use crate::store::definitions;

#[derive(Debug, Serialize)]
pub struct EntityView {
    id: i64,
    name: String,
}

#[derive(Debug, Serialize)]
pub struct AssignmentView {
    id: i64,
    name: String,
    sql: String,
    experiment_key_column: String,
    variation_column: String,
    timestamp_column: String,
    entity_id: Option<i64>,
    entity_join_column_name: String,
}

pub async fn entities(State(api): State<Shared>, query: Query) -> Answer<Json<Vec<EntityView>>> {
    let slice = query.slice_or_all()?;
    let all = api.read(|tx| Ok(definitions::all::<Entity>(tx)?)).await?;
    Ok(Json(slice.of(all.into_iter().map(|entity| EntityView { id: entity.number, name: entity.body.name }))))
}

pub async fn assignments(State(api): State<Shared>, query: Query) -> Answer<Json<Vec<AssignmentView>>> {
    let slice = query.slice_or_all()?;
    let read = api.read(|tx| Ok((Numbered::load::<Entity>(tx)?, definitions::all::<AssignmentSource>(tx)?)));
    let (entities, all) = read.await?;
    let view = |source: definitions::Definition<AssignmentSource>| {
        let AssignmentSource { name, entity_id, sql, columns, .. } = source.body;
        AssignmentView {
            id: source.number,
            name,
            sql,
            experiment_key_column: columns.experiment_key,
            variation_column: columns.variation,
            timestamp_column: columns.timestamp,
            entity_id: entities.number(entity_id),
            entity_join_column_name: columns.subject,
        }
    };
    Ok(Json(slice.of(all.into_iter().map(view))))
}

#[derive(Debug, Serialize)]
pub struct TeamView {
    id: i64,
    name: String,
    description: String,
}

pub async fn teams(State(api): State<Shared>, query: Query) -> Answer<Json<Vec<TeamView>>> {
    let slice = query.slice_or_all()?;
    let all = api.read(|tx| Ok(definitions::all::<Team>(tx)?)).await?;
    let view = |team: definitions::Definition<Team>| {
        let Team { name, description } = team.body;
        TeamView { id: team.number, name, description }
    };
    Ok(Json(slice.of(all.into_iter().map(view))))
}
