//! Deliveries and their attempts: what is owed to whom, what came of it, and having it sent again, or not at all.

use std::str::FromStr;

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
use crate::id::{DeliveryId, EndpointId};
use crate::store::deliveries::{self, Delivery, DeliveryState};
use crate::store::outcomes;
use crate::store::undelivered::{Key, Queue};

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

/// All in order of their ids; those in a state other than delivered in the order in which they are sent, which is that of
/// the table where they stand.
pub async fn list(State(api): State<Shared>, Params(listing): Params<Listing>) -> Handled {
    let state = listing.state.as_deref().map(|text| {
        DeliveryState::parse(text).ok_or_else(|| {
            let known = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
            Refusal::invalid("state", format!("'{text}' was given; one of {known} is allowed"))
        })
    });
    let (state, limit) = (state.transpose()?, check_limit(listing.limit)?);
    let endpoint: Option<EndpointId> = listing.endpoint.as_deref().map(parse_id).transpose()?;
    let id = |delivery: &Delivery| delivery.id.to_string();
    if let Some(event) = listing.event.as_deref().map(parse_id).transpose()? {
        let after = cursor::<DeliveryId>(&listing.after)?;
        let mut found = api.read(move |tx| Ok(deliveries::list_of_event(tx, event)?)).await?;
        found.retain(|delivery| {
            endpoint.is_none_or(|endpoint| delivery.endpoint_id == endpoint)
                && state.is_none_or(|state| delivery.state == state)
                && after.is_none_or(|after| delivery.id > after)
        });
        found.truncate(limit as usize);
        return Ok(listed(found, limit, id));
    }
    if let Some(state) = state.filter(|state| *state != DeliveryState::Delivered) {
        let after = cursor::<Key>(&listing.after)?;
        let queues: Vec<_> = Queue::ALL.into_iter().filter(|queue| queue.state() == state).collect();
        let found = api.read(move |tx| Ok(deliveries::list_queued(tx, endpoint, &queues, after, limit)?)).await?;
        return Ok(listed(found, limit, |delivery| delivery.key().map_or_else(String::new, |key| key.to_string())));
    }
    let after = cursor(&listing.after)?;
    let selection = deliveries::Selection { after, endpoint, is_delivered: state.is_some(), limit };
    let page = api.read(move |tx| Ok(deliveries::list(tx, &selection)?)).await?;
    let next = page.next.map(|id| id.to_string());
    Ok(Json(json!({"items": page.found, "next": next})).into_response())
}

/// Where a page begins: behind what the page before gave as `next`, or at the beginning.
fn cursor<T: FromStr<Err = String>>(after: &str) -> Result<Option<T>, Refusal> {
    let wrong = |_| {
        let allowed = "what a page of the same list gave as 'next' is allowed, or nothing";
        Refusal::invalid("after", format!("'{after}' was given; {allowed}"))
    };
    if after.is_empty() { Ok(None) } else { after.parse().map(Some).map_err(wrong) }
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
