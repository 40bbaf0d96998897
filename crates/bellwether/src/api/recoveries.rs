//! Recoveries: having what failed, or what was never owed, sent to an endpoint; how far that has come; stopping it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::Shared;
use super::body::Body;
use super::experiments::Nothing;
use super::query::{By, Handled, Ids, Page, Params, check_limit, listed, parse_id};
use crate::domain::clock::Timestamp;
use crate::domain::error::Refusal;
use crate::domain::id::{EndpointId, RecoveryId};
use crate::store::endpoints;
use crate::store::recoveries::{self, Kind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    since: Timestamp,
}

/// Exhausted deliveries since then become pending, behind live traffic.
pub async fn recover(
    State(api): State<Shared>,
    By(actor): By,
    Ids(id): Ids<String>,
    Body(body): Body<Since>,
) -> Handled {
    let recovery = api.registry.request_recovery(actor, parse_id(&id)?, Kind::Recover, body.since).await?;
    Ok((StatusCode::ACCEPTED, Json(recovery)).into_response())
}

/// Events since then become owed that the endpoint wants and never got.
pub async fn replay(
    State(api): State<Shared>,
    By(actor): By,
    Ids(id): Ids<String>,
    Body(body): Body<Since>,
) -> Handled {
    let recovery = api.registry.request_recovery(actor, parse_id(&id)?, Kind::Replay, body.since).await?;
    Ok((StatusCode::ACCEPTED, Json(recovery)).into_response())
}

pub async fn list(State(api): State<Shared>, Ids(id): Ids<String>, Params(page): Params<Page>) -> Handled {
    let id: EndpointId = parse_id(&id)?;
    let (limit, after) = (check_limit(page.limit)?, page.after::<RecoveryId>()?);
    let found = api
        .read(move |tx| {
            endpoints::version(tx, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?;
            Ok(recoveries::list(tx, id, &after, limit)?)
        })
        .await?;
    Ok(listed(found, limit, |recovery| recovery.id.to_string()))
}

pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id: RecoveryId = parse_id(&id)?;
    let found = api.read(move |tx| Ok(recoveries::get(tx, id)?)).await?;
    Ok(Json(found.ok_or_else(|| Refusal::not_found("recovery", id))?).into_response())
}

pub async fn stop(State(api): State<Shared>, Ids(id): Ids<String>, Body(Nothing {}): Body<Nothing>) -> Handled {
    Ok(Json(api.registry.stop_recovery(parse_id(&id)?).await?).into_response())
}
