//! The event log, and what became of each event: deliveries and their attempts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use bellwether_webhook::EventType;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::Shared;
use super::problem::Problem;
use super::query::{Handled, Ids, Params, check_limit, listed, parse_id, usual_page};
use crate::clock::Timestamp;
use crate::endpoint::Format;
use crate::error::Refusal;
use crate::event::Event;
use crate::id::{DeliveryId, EventId, ExperimentId};
use crate::store::deliveries::{self, DeliveryState};
use crate::store::{events, retention};

/// An event with the exact bytes of its `data`.
#[derive(Serialize)]
struct View {
    id: EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    event: EventType,
    experiment_id: ExperimentId,
    revision: i64,
    occurred_at: Timestamp,
    data: Box<RawValue>,
}

fn view(event: &Event, cursor: Option<i64>, format: Format) -> Result<View, Problem> {
    let data = RawValue::from_string(event.data_in(format).to_owned());
    Ok(View {
        id: event.id,
        cursor: cursor.map(|cursor| cursor.to_string()),
        event: event.event_type,
        experiment_id: event.experiment_id,
        revision: event.revision,
        occurred_at: event.occurred_at,
        data: data.map_err(|error| {
            crate::store::StoreError::Failed(format!("the data of {} is damaged: {error}", event.id))
        })?,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    #[serde(default)]
    after: i64,
    #[serde(default = "usual_page")]
    limit: u32,
    /// Names of types, with commas between.
    #[serde(default)]
    types: String,
    /// A number, or `key:` and a key.
    experiment: Option<String>,
    #[serde(default)]
    format: Format,
}

/// The log in its order. `next` is always given: the place to go on from, now or later.
pub async fn list(State(api): State<Shared>, Params(listing): Params<Listing>) -> Handled {
    let experiment = match &listing.experiment {
        Some(given) => Some(api.experiment_id(given).await?),
        None => None,
    };
    let types: Vec<String> =
        listing.types.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    for name in &types {
        name.parse::<EventType>().map_err(|error| Refusal::invalid("types", error.to_string()))?;
    }
    let selection = events::Selection { after: listing.after, experiment, types, limit: check_limit(listing.limit)? };
    let (found, pruned_to) =
        api.read(move |tx| Ok((events::list(tx, &selection)?, retention::log_pruned_to(tx)?))).await?;
    if (1..pruned_to).contains(&listing.after) {
        let detail = format!(
            "the log no longer has what followed the cursor {}; its oldest cursor is {pruned_to}: fetch the state of the experiments, then go on from there",
            listing.after
        );
        return Err(Problem::of(StatusCode::GONE, "cursor-gone", detail));
    }
    let next = found.last().map_or(listing.after, |(cursor, _)| *cursor).to_string();
    let items = found
        .iter()
        .map(|(cursor, event)| view(event, Some(*cursor), listing.format))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({"items": items, "next": next})).into_response())
}

pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id: EventId = parse_id(&id)?;
    let found = api.read(move |tx| Ok(events::get(tx, id)?)).await?;
    let event = found.ok_or_else(|| Refusal::not_found("event", id))?;
    Ok(Json(view(&event, None, Format::Eppo)?).into_response())
}

pub async fn deliveries_of(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id: EventId = parse_id(&id)?;
    let found = api
        .read(move |tx| {
            events::get(tx, id)?.ok_or_else(|| Refusal::not_found("event", id))?;
            Ok(deliveries::list_of_event(tx, id)?)
        })
        .await?;
    Ok(Json(json!({"items": found, "next": null})).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryListing {
    #[serde(default)]
    after: String,
    #[serde(default = "usual_page")]
    limit: u32,
    endpoint: Option<String>,
    event: Option<String>,
    state: Option<String>,
}

pub async fn deliveries(State(api): State<Shared>, Params(listing): Params<DeliveryListing>) -> Handled {
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

/// One delivery with its attempts.
pub async fn delivery(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id: DeliveryId = parse_id(&id)?;
    let (delivery, attempts) = api
        .read(move |tx| {
            let delivery = deliveries::get(tx, id)?.ok_or_else(|| Refusal::not_found("delivery", id))?;
            Ok((delivery, deliveries::attempts(tx, id)?))
        })
        .await?;
    let mut body = json!(delivery);
    body["attempts"] = json!(attempts);
    Ok(Json(body).into_response())
}
