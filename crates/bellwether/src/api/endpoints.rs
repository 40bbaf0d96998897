//! Endpoints: who is told, of what, and how.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;

use super::Shared;
use super::answer::{Answer, Created, Gone, Page, Versioned};
use super::body::{Body, Edit, Nothing};
use super::params::{Ids, PageParams, Params, check_limit, parse_id};
use super::views::change::EndpointChangeView;
use super::views::delivery::AttemptView;
use super::views::endpoint::{EndpointInFull, EndpointView, EndpointWithSecret, LaneView, ListedEndpoint, PingView};
use crate::domain::actor::Principal;
use crate::domain::endpoint::{CHAT_RATE, Endpoint, Settings};
use crate::domain::error::{Conflict, FieldError, Refusal, in_plain_words};
use crate::domain::id::{EndpointChangeId, EndpointId};
use crate::domain::input;
use crate::registry::{EnableFrom, OnEndpoint};
use crate::store::{changes, endpoints, lanes, undelivered};

fn answer(endpoint: &Endpoint) -> Versioned<EndpointView> {
    Versioned { view: EndpointView::of(endpoint), version: endpoint.version }
}

pub async fn list(State(api): State<Shared>, Params(page): Params<PageParams>) -> Answer<Json<Page<ListedEndpoint>>> {
    let (limit, after) = (check_limit(page.limit)?, page.after::<EndpointId>()?);
    let vault = api.registry.vault().clone();
    let found = api.read(move |tx| Ok(endpoints::list(tx, &vault, &after, limit)?)).await?;
    Ok(Page::of(&found, limit, |found| found.id().to_string(), ListedEndpoint::of))
}

/// `secret` and `enabled` stand beside the settings, in the same object.
pub async fn create(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Edit(mut fields): Edit,
) -> Answer<Created<Versioned<EndpointWithSecret>>> {
    let secret: Option<String> = take(&mut fields, "secret")?;
    let is_enabled: Option<bool> = take(&mut fields, "enabled")?;
    let has_rate = fields.contains_key("rate_limit");
    let mut settings: Settings = input::read(fields)?;
    if settings.format.chat().is_some() && !has_rate {
        settings.rate_limit = Some(CHAT_RATE);
    }
    let endpoint = api.registry.create_endpoint(actor, settings, secret, is_enabled.unwrap_or(true)).await?;
    Ok(Created(Versioned { view: EndpointWithSecret::made(&endpoint), version: endpoint.version }))
}

fn take<T: serde::de::DeserializeOwned>(
    fields: &mut serde_json::Map<String, Value>,
    name: &str,
) -> Result<Option<T>, Refusal> {
    let value = fields.shift_remove(name).filter(|value| !value.is_null());
    value
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| Refusal::invalid(name, in_plain_words(&error.to_string())))
}

pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Answer<Versioned<EndpointInFull>> {
    let id: EndpointId = parse_id(&id)?;
    let vault = api.registry.vault().clone();
    let (endpoint, lane, pending) = api
        .read(move |tx| {
            let endpoint = endpoints::get(tx, &vault, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?;
            Ok((endpoint, lanes::get(tx, id)?, undelivered::count_pending(tx, id)?))
        })
        .await?;
    let now = api.registry.clock().now();
    let problem = api.registry.sendable().problem(&endpoint.settings, &endpoint.signing);
    let lane = lane.map(|lane| LaneView::of(&endpoint, &lane, problem, now));
    let view = EndpointInFull { endpoint: EndpointView::of(&endpoint), lane, pending };
    Ok(Versioned { view, version: endpoint.version })
}

pub async fn edit(State(api): State<Shared>, command: OnEndpoint, Edit(edit): Edit) -> Answer<Versioned<EndpointView>> {
    Ok(answer(&api.registry.edit_endpoint(command, edit).await?.value))
}

pub async fn delete(State(api): State<Shared>, command: OnEndpoint) -> Answer<Gone> {
    api.registry.delete_endpoint(command).await?;
    Ok(Gone)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    from: EnableFrom,
}

pub async fn enable(
    State(api): State<Shared>,
    command: OnEndpoint,
    Body(body): Body<Enable>,
) -> Answer<Versioned<EndpointView>> {
    Ok(answer(&api.registry.enable_endpoint(command, body.from).await?.value))
}

pub async fn disable(
    State(api): State<Shared>,
    command: OnEndpoint,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Versioned<EndpointView>> {
    Ok(answer(&api.registry.disable_endpoint(command, "disabled by hand".to_owned()).await?.value))
}

/// Sends `webhook.ping` at once, and answers with what came of it.
pub async fn test(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<PingView>> {
    let id: EndpointId = parse_id(&id)?;
    let vault = api.registry.vault().clone();
    let found = api.read(move |tx| Ok(endpoints::get(tx, &vault, id)?)).await?;
    let endpoint = found.ok_or_else(|| Refusal::not_found("endpoint", id))?;
    let unusable = |problem: FieldError| {
        let detail = format!("the endpoint cannot be sent to as it is stored: {problem}; edit it");
        Refusal::conflict(Conflict::State, detail)
    };
    let (webhook_id, attempt) = api.pings.send(&endpoint).await.map_err(unusable)?;
    let is_success = attempt.error_class.is_none();
    if is_success {
        api.registry.close_breaker(id).await?;
    }
    Ok(Json(PingView { webhook_id, is_success, attempt: AttemptView::of(attempt) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// The user's own; one is made if there is none.
    secret: Option<String>,
    #[serde(default)]
    immediate: bool,
}

/// The answer holds the new secret, once.
pub async fn rotate(
    State(api): State<Shared>,
    command: OnEndpoint,
    Body(body): Body<Rotate>,
) -> Answer<Versioned<EndpointWithSecret>> {
    let endpoint = api.registry.rotate_secret(command, body.secret, body.immediate).await?.value;
    Ok(Versioned { view: EndpointWithSecret::rotated(&endpoint), version: endpoint.version })
}

pub async fn promote(
    State(api): State<Shared>,
    command: OnEndpoint,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Versioned<EndpointView>> {
    Ok(answer(&api.registry.promote_secret(command).await?.value))
}

/// What was done to the endpoint, by whom and why, oldest first.
pub async fn history(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<EndpointChangeView>>> {
    let id: EndpointId = parse_id(&id)?;
    let (limit, after) = (check_limit(page.limit)?, page.after::<EndpointChangeId>()?);
    let found = api
        .read(move |tx| {
            endpoints::version(tx, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?;
            Ok(changes::list_of_endpoint(tx, id, &after, limit)?)
        })
        .await?;
    Ok(Page::of(&found, limit, |change| change.id.to_string(), EndpointChangeView::of))
}
