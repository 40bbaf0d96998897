//! Deliveries and their attempts: what is owed to whom, what came of it, and having it sent again, or not at all.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Shared;
use super::answer::{Answer, Created, Page};
use super::body::{Body, Nothing};
use super::params::{Ids, LONGEST_PAGE, PageParams, Params, check_limit, cursor, default_limit, parse_id};
use super::views::delivery::{AttemptView, DeliveryInFull, DeliveryView};
use crate::domain::delivery::{Delivery, DeliveryState, Position, Queue};
use crate::domain::error::Refusal;
use crate::domain::id::{DeliveryId, EndpointId, EventId};
use crate::store::{deliveries, endpoints, events, outcomes};

/// Attempts shown of one delivery.
const MOST_ATTEMPTS: u32 = 100;

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
    /// Those to this endpoint.
    #[schemars(with = "Option<EndpointId>")]
    endpoint: Option<String>,
    /// Those of this event.
    #[schemars(with = "Option<EventId>")]
    event: Option<String>,
    /// Those in this state.
    #[schemars(with = "Option<DeliveryState>")]
    state: Option<String>,
    /// Whether the list begins with those made last; only of all, or of what is delivered.
    #[serde(default)]
    newest: bool,
}

/// All in order of their ids; those in a state other than delivered in the order in which they are sent, which is that of
/// the table where they stand.
pub async fn list(State(api): State<Shared>, Params(listing): Params<Listing>) -> Answer<Json<Page<DeliveryView>>> {
    let state = listing.state.as_deref().map(|text| {
        DeliveryState::parse(text).ok_or_else(|| {
            let known = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
            Refusal::invalid("state", format!("'{text}' was given; one of {known} is allowed"))
        })
    });
    let (state, limit) = (state.transpose()?, check_limit(listing.limit)?);
    let endpoint: Option<EndpointId> = listing.endpoint.as_deref().map(parse_id).transpose()?;
    let id = |delivery: &Delivery| delivery.id.to_string();
    let is_queued = state.is_some_and(|state| state != DeliveryState::Delivered);
    if listing.newest && (is_queued || listing.event.is_some()) {
        let reason = "it was given with another state than 'delivered', or with an event, whose lists have an order of their own; leave it out";
        return Err(Refusal::invalid("newest", reason).into());
    }
    if let Some(event) = listing.event.as_deref().map(parse_id).transpose()? {
        let after = cursor::<DeliveryId>(&listing.after)?;
        let mut found = api.read(move |tx| Ok(deliveries::list_of_event(tx, event)?)).await?;
        found.retain(|delivery| {
            endpoint.is_none_or(|endpoint| delivery.endpoint_id == endpoint)
                && state.is_none_or(|state| delivery.state == state)
                && after.is_none_or(|after| delivery.id > after)
        });
        found.truncate(limit as usize);
        return Ok(Page::of(&found, limit, id, DeliveryView::of));
    }
    if let Some(state) = state.filter(|state| *state != DeliveryState::Delivered) {
        let after = cursor::<Position>(&listing.after)?;
        let queues: Vec<_> = Queue::ALL.into_iter().filter(|queue| queue.state() == state).collect();
        let found = api.read(move |tx| Ok(deliveries::list_queued(tx, endpoint, &queues, after, limit)?)).await?;
        let position =
            |delivery: &Delivery| delivery.position().map_or_else(String::new, |position| position.to_string());
        return Ok(Page::of(&found, limit, position, DeliveryView::of));
    }
    let after = cursor(&listing.after)?;
    let (is_delivered, is_newest_first) = (state.is_some(), listing.newest);
    let selection = deliveries::Selection { after, endpoint, is_delivered, is_newest_first, limit };
    let page = api.read(move |tx| Ok(deliveries::list(tx, &selection)?)).await?;
    let next = page.next.map(|id| id.to_string());
    Ok(Json(Page { items: page.found.iter().map(DeliveryView::of).collect(), next }))
}

/// Those of one event, of which there is one for each endpoint that wants it.
pub async fn of_event(
    State(api): State<Shared>,
    Ids(id): Ids<EventId>,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<DeliveryView>>> {
    let (after, limit) = (cursor::<DeliveryId>(&page.after)?, check_limit(page.limit)?);
    let mut found = api
        .read(move |tx| {
            events::get(tx, id)?.ok_or_else(|| Refusal::not_found("event", id))?;
            Ok(deliveries::list_of_event(tx, id)?)
        })
        .await?;
    found.retain(|delivery| after.is_none_or(|after| delivery.id > after));
    found.truncate(limit as usize);
    Ok(Page::of(&found, limit, |delivery| delivery.id.to_string(), DeliveryView::of))
}

/// One delivery with its attempts: the latest, where there are very many.
pub async fn get(State(api): State<Shared>, Ids(id): Ids<DeliveryId>) -> Answer<Json<DeliveryInFull>> {
    let vault = api.registry.vault().clone();
    let (delivery, attempts, sent) = api
        .read(move |tx| {
            let delivery = deliveries::get(tx, id)?.ok_or_else(|| Refusal::not_found("delivery", id))?;
            let endpoint = endpoints::get(tx, &vault, delivery.endpoint_id)?;
            let sent = endpoint.zip(events::get(tx, delivery.event_id)?);
            Ok((delivery, outcomes::attempts(tx, id, MOST_ATTEMPTS)?, sent))
        })
        .await?;
    Ok(Json(DeliveryInFull {
        delivery: DeliveryView::of(&delivery),
        body: sent.and_then(|(endpoint, event)| endpoint.body_of(&event, api.links.as_deref())),
        attempts: attempts.into_iter().map(AttemptView::of).collect(),
    }))
}

/// A new delivery of the same event, outside the order.
pub async fn resend(
    State(api): State<Shared>,
    Ids(id): Ids<DeliveryId>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Created<Json<DeliveryView>>> {
    Ok(Created(Json(DeliveryView::of(&api.registry.resend(id).await?))))
}

pub async fn cancel(
    State(api): State<Shared>,
    Ids(id): Ids<DeliveryId>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<DeliveryView>> {
    Ok(Json(DeliveryView::of(&api.registry.cancel_delivery(id).await?)))
}
