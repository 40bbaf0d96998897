//! Endpoints: who is told, of what, and how.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Shared;
use super::answer::{Answer, Created, Gone, Page, Versioned};
use super::body::{Body, Edit, Fields, Nothing};
use super::params::{Ids, PageParams, Params, check_limit};
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

/// What an endpoint is made of, as the description tells of it: it is read in parts.
#[derive(JsonSchema)]
#[schemars(description = "An endpoint to be made.", deny_unknown_fields)]
#[expect(dead_code, reason = "it is there for its schema alone")]
pub struct NewEndpoint {
    #[serde(flatten)]
    settings: Settings,
    /// Your own; `null`: one is made.
    #[serde(default)]
    #[schemars(length(min = 8, max = 500))]
    secret: Option<String>,
    /// `null`: it is.
    #[serde(default)]
    enabled: Option<bool>,
}

/// `secret` and `enabled` stand beside the settings, in the same object.
pub async fn create(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Fields { mut fields, .. }: Fields<NewEndpoint>,
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

pub async fn get(State(api): State<Shared>, Ids(id): Ids<EndpointId>) -> Answer<Versioned<EndpointInFull>> {
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

pub async fn edit(
    State(api): State<Shared>,
    command: OnEndpoint,
    Edit { fields: edit, .. }: Edit<Settings>,
) -> Answer<Versioned<EndpointView>> {
    Ok(answer(&api.registry.edit_endpoint(command, edit).await?.value))
}

pub async fn delete(State(api): State<Shared>, command: OnEndpoint) -> Answer<Gone> {
    api.registry.delete_endpoint(command).await?;
    Ok(Gone)
}

#[derive(Deserialize, JsonSchema)]
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
    Ids(id): Ids<EndpointId>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<PingView>> {
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

#[derive(Deserialize, JsonSchema)]
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
    Ids(id): Ids<EndpointId>,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<EndpointChangeView>>> {
    let (limit, after) = (check_limit(page.limit)?, page.after::<EndpointChangeId>()?);
    let found = api
        .read(move |tx| {
            endpoints::version(tx, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?;
            Ok(changes::list_of_endpoint(tx, id, &after, limit)?)
        })
        .await?;
    Ok(Page::of(&found, limit, |change| change.id.to_string(), EndpointChangeView::of))
}
