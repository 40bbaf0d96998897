//! Recoveries: having what failed, or what was never owed, sent to an endpoint; how far that has come; stopping it.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Shared;
use super::answer::{Accepted, Answer, Page};
use super::body::{Body, Nothing};
use super::params::{Ids, PageParams, Params, check_limit};
use super::views::recovery::RecoveryView;
use crate::domain::actor::Principal;
use crate::domain::clock::Timestamp;
use crate::domain::error::Refusal;
use crate::domain::id::{EndpointId, RecoveryId};
use crate::domain::recovery::RecoveryKind;
use crate::store::{endpoints, recoveries};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Since {
    since: Timestamp,
}

/// Exhausted deliveries since then become pending, behind live traffic.
pub async fn recover(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Ids(id): Ids<EndpointId>,
    Body(body): Body<Since>,
) -> Answer<Accepted<RecoveryView>> {
    let recovery = api.registry.request_recovery(actor, id, RecoveryKind::Recover, body.since).await?;
    Ok(Accepted(Json(RecoveryView::of(&recovery))))
}

/// Events since then become owed that the endpoint wants and never got.
pub async fn replay(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Ids(id): Ids<EndpointId>,
    Body(body): Body<Since>,
) -> Answer<Accepted<RecoveryView>> {
    let recovery = api.registry.request_recovery(actor, id, RecoveryKind::Replay, body.since).await?;
    Ok(Accepted(Json(RecoveryView::of(&recovery))))
}

pub async fn list(
    State(api): State<Shared>,
    Ids(id): Ids<EndpointId>,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<RecoveryView>>> {
    let (limit, after) = (check_limit(page.limit)?, page.after::<RecoveryId>()?);
    let found = api
        .read(move |tx| {
            endpoints::version(tx, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?;
            Ok(recoveries::list(tx, id, &after, limit)?)
        })
        .await?;
    Ok(Page::of(&found, limit, |recovery| recovery.id.to_string(), RecoveryView::of))
}

pub async fn get(State(api): State<Shared>, Ids(id): Ids<RecoveryId>) -> Answer<Json<RecoveryView>> {
    let found = api.read(move |tx| Ok(recoveries::get(tx, id)?)).await?;
    Ok(Json(RecoveryView::of(&found.ok_or_else(|| Refusal::not_found("recovery", id))?)))
}

pub async fn stop(
    State(api): State<Shared>,
    Ids(id): Ids<RecoveryId>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<RecoveryView>> {
    Ok(Json(RecoveryView::of(&api.registry.stop_recovery(id).await?)))
}
