//! Deliveries and their attempts: what is owed to whom, what came of it, and having it sent again, or not at all.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::body::Body;
use super::experiments::Nothing;
use super::query::{Handled, Ids, Params, check_limit, listed, parse_id, usual_page};
use crate::error::Refusal;
use crate::id::DeliveryId;
use crate::store::deliveries::{self, DeliveryState};
use crate::store::outcomes;

/// Attempts shown of one delivery.
const MOST_ATTEMPTS: u32 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    #[serde(default)]
    after: String,
    #[serde(default = "usual_page")]
    limit: u32,
    endpoint: Option<String>,
    event: Option<String>,
    state: Option<String>,
}

pub async fn list(State(api): State<Shared>, Params(listing): Params<Listing>) -> Handled {
    let state = listing.state.as_deref().map(|text| {
        DeliveryState::parse(text).ok_or_else(|| {
            let known = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
            Refusal::invalid("state", format!("'{text}' was given; one of {known} is allowed"))
        })
    });
    let limit = check_limit(listing.limit)?;
    let selection = deliveries::Selection {
        after: listing.after,
        endpoint: listing.endpoint.as_deref().map(parse_id).transpose()?,
        event: listing.event.as_deref().map(parse_id).transpose()?,
        state: state.transpose()?,
        limit,
    };
    let found = api.read(move |tx| Ok(deliveries::list(tx, &selection)?)).await?;
    Ok(listed(found, limit, |delivery| delivery.id.to_string()))
}

/// One delivery with its attempts: the latest, where there are very many.
pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id: DeliveryId = parse_id(&id)?;
    let (delivery, attempts) = api
        .read(move |tx| {
            let delivery = deliveries::get(tx, id)?.ok_or_else(|| Refusal::not_found("delivery", id))?;
            Ok((delivery, outcomes::attempts(tx, id, MOST_ATTEMPTS)?))
        })
        .await?;
    let mut body = json!(delivery);
    body["attempts"] = json!(attempts);
    Ok(Json(body).into_response())
}

/// A new delivery of the same event, outside the order.
pub async fn resend(State(api): State<Shared>, Ids(id): Ids<String>, Body(Nothing {}): Body<Nothing>) -> Handled {
    Ok((StatusCode::CREATED, Json(api.registry.resend(parse_id(&id)?).await?)).into_response())
}

pub async fn cancel(State(api): State<Shared>, Ids(id): Ids<String>, Body(Nothing {}): Body<Nothing>) -> Handled {
    Ok(Json(api.registry.cancel_delivery(parse_id(&id)?).await?).into_response())
}
