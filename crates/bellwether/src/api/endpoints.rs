//! Endpoints: who is told, of what, and how.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bellwether_webhook::SigningKey;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::body::{Body, Edit, fields_as};
use super::experiments::Nothing;
use super::query::{By, Handled, Ids, Page, Params, check_limit, listed, parse_id, versioned};
use crate::domain::clock::Timestamp;
use crate::domain::endpoint::{Endpoint, EndpointState, Settings};
use crate::domain::error::{Conflict, FieldError, Refusal};
use crate::domain::health::Health;
use crate::domain::id::{EndpointChangeId, EndpointId};
use crate::domain::signing;
use crate::registry::{EnableFrom, OnEndpoint};
use crate::store::endpoints::Listed;
use crate::store::lanes::{self, LaneRow};
use crate::store::{changes, endpoints, undelivered};

/// Never a secret, a header's value or the URL's query: only the answer to its making tells them.
fn view(endpoint: &Endpoint) -> Value {
    let mut view = json!({"id": endpoint.id});
    if let (Value::Object(view), Ok(Value::Object(settings))) =
        (&mut view, serde_json::to_value(endpoint.settings.shown()))
    {
        view.extend(settings);
        view.insert("enabled".into(), json!(endpoint.state == EndpointState::Enabled));
        view.insert("disabled_reason".into(), json!(endpoint.disabled_reason));
        view.insert("public_key".into(), json!(public_key(endpoint)));
        view.insert("rotation".into(), rotation(endpoint));
        view.insert("version".into(), json!(endpoint.version));
        view.insert("created_at".into(), json!(endpoint.created_at));
        view.insert("updated_at".into(), json!(endpoint.updated_at));
    }
    view
}

/// Of the key that signs now, where the endpoint asks for such signatures.
fn public_key(endpoint: &Endpoint) -> Option<String> {
    let seed = endpoint.signing.current.seed.filter(|_| endpoint.settings.asymmetric_signature)?;
    Some(SigningKey::from_bytes(&seed).public_key().to_string())
}

/// Where a change of the secret stands; null if there is none.
fn rotation(endpoint: &Endpoint) -> Value {
    let signing = &endpoint.signing;
    match (&signing.next, signing.previous.last()) {
        (Some(next), _) => json!({
            "is": "open",
            "next_public_key": next.seed.filter(|_| endpoint.settings.asymmetric_signature)
                .map(|seed| SigningKey::from_bytes(&seed).public_key().to_string()),
            "warning": "the headers are signed by the old secret and the new one, the body by the old one; give the receiver the new one, then promote it",
        }),
        (None, Some((_, until))) => json!({"is": "promoted", "old_secret_signs_headers_until": until}),
        (None, None) => Value::Null,
    }
}

/// Whether an endpoint is sent to just now; if not, how that is called, and until when it is so.
pub fn lane_state(state: EndpointState, health: &Health, now: Timestamp) -> (&'static str, Option<Timestamp>) {
    let paused_until = health.paused_until.filter(|until| *until > now);
    match (state, paused_until, health.probe_at) {
        (EndpointState::Enabled, Some(until), _) => ("paused", Some(until)),
        (EndpointState::Enabled, None, Some(at)) => ("failing", Some(at)),
        (EndpointState::Enabled, None, None) => ("sending", None),
        _ => ("disabled", None),
    }
}

/// The same with its reason.
fn lane_view(endpoint: &Endpoint, lane: &LaneRow, problem: Option<FieldError>, now: Timestamp) -> Value {
    let health = &lane.health;
    let (state, until) = match &problem {
        Some(_) if endpoint.state == EndpointState::Enabled => ("unusable", None),
        _ => lane_state(endpoint.state, health, now),
    };
    let reason = match state {
        "unusable" => problem.map(|problem| format!("nothing can be sent as it is stored: {problem}; edit it")),
        "paused" => Some("the receiver asked to be left alone with Retry-After".to_owned()),
        "failing" => Some(format!(
            "{} requests in a row have failed, the last one with '{}'; one delivery at a time is tried",
            health.failure_count,
            health.failed_with.as_deref().unwrap_or("?")
        )),
        "disabled" => endpoint.disabled_reason.clone(),
        _ => None,
    };
    json!({
        "is": state, "until": until, "reason": reason,
        "failures_in_a_row": health.failure_count, "failing_since": health.failing_since, "failed_with": health.failed_with,
        "node": lane.node_id,
    })
}

fn answer(endpoint: &Endpoint) -> Response {
    versioned(StatusCode::OK, &view(endpoint), endpoint.version)
}

pub async fn list(State(api): State<Shared>, Params(page): Params<Page>) -> Handled {
    let (limit, after) = (check_limit(page.limit)?, page.after::<EndpointId>()?);
    let vault = api.registry.vault().clone();
    let found = api.read(move |tx| Ok(endpoints::list(tx, &vault, &after, limit)?)).await?;
    let shown = |found: &Listed| match found {
        Listed::Read(endpoint) => view(endpoint),
        Listed::Unreadable { id, reason } => json!({"id": id, "unreadable": reason}),
    };
    Ok(listed(found.iter().map(shown).collect(), limit, |item| item["id"].as_str().unwrap_or("").to_owned()))
}

/// `secret` and `enabled` stand beside the settings, in the same object.
pub async fn create(State(api): State<Shared>, By(actor): By, Edit(mut fields): Edit) -> Handled {
    let secret: Option<String> = take(&mut fields, "secret")?;
    let is_enabled: Option<bool> = take(&mut fields, "enabled")?;
    let settings: Settings = fields_as(fields)?;
    let endpoint = api.registry.create_endpoint(actor, settings, secret, is_enabled.unwrap_or(true)).await?;
    let mut body = view(&endpoint);
    body["url"] = endpoint.settings.url.as_str().into();
    body["warnings"] = json!(signing::warning(&endpoint.signing.current.secret).into_iter().collect::<Vec<_>>());
    body["secret"] = endpoint.signing.current.secret.as_str().into();
    Ok(versioned(StatusCode::CREATED, &body, endpoint.version))
}

fn take<T: serde::de::DeserializeOwned>(
    fields: &mut serde_json::Map<String, Value>,
    name: &str,
) -> Result<Option<T>, Refusal> {
    let value = fields.shift_remove(name).filter(|value| !value.is_null());
    value.map(serde_json::from_value).transpose().map_err(|error| Refusal::invalid(name, error.to_string()))
}

pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id: EndpointId = parse_id(&id)?;
    let vault = api.registry.vault().clone();
    let (endpoint, lane, pending) = api
        .read(move |tx| {
            let endpoint = endpoints::get(tx, &vault, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?;
            Ok((endpoint, lanes::get(tx, id)?, undelivered::count_pending(tx, id)?))
        })
        .await?;
    let mut body = view(&endpoint);
    let now = api.registry.clock().now();
    let problem = api.registry.sendable().problem(&endpoint.settings, &endpoint.signing);
    body["lane"] = lane.map_or(Value::Null, |lane| lane_view(&endpoint, &lane, problem, now));
    body["pending"] = pending.into();
    Ok(versioned(StatusCode::OK, &body, endpoint.version))
}

pub async fn edit(State(api): State<Shared>, command: OnEndpoint, Edit(edit): Edit) -> Handled {
    Ok(answer(&api.registry.edit_endpoint(command, edit).await?.value))
}

pub async fn delete(State(api): State<Shared>, command: OnEndpoint) -> Handled {
    api.registry.delete_endpoint(command).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    from: EnableFrom,
}

pub async fn enable(State(api): State<Shared>, command: OnEndpoint, Body(body): Body<Enable>) -> Handled {
    Ok(answer(&api.registry.enable_endpoint(command, body.from).await?.value))
}

pub async fn disable(State(api): State<Shared>, command: OnEndpoint, Body(Nothing {}): Body<Nothing>) -> Handled {
    Ok(answer(&api.registry.disable_endpoint(command, "disabled by hand".to_owned()).await?.value))
}

/// Sends `webhook.ping` at once, and answers with what came of it.
pub async fn test(State(api): State<Shared>, Ids(id): Ids<String>, Body(Nothing {}): Body<Nothing>) -> Handled {
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
    Ok(Json(json!({"webhook_id": webhook_id, "is_success": is_success, "attempt": attempt})).into_response())
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
pub async fn rotate(State(api): State<Shared>, command: OnEndpoint, Body(body): Body<Rotate>) -> Handled {
    let endpoint = api.registry.rotate_secret(command, body.secret, body.immediate).await?.value;
    let mut body = view(&endpoint);
    let keys = endpoint.signing.next.as_ref().unwrap_or(&endpoint.signing.current);
    body["warnings"] = json!(signing::warning(&keys.secret).into_iter().collect::<Vec<_>>());
    body["secret"] = keys.secret.as_str().into();
    Ok(versioned(StatusCode::OK, &body, endpoint.version))
}

pub async fn promote(State(api): State<Shared>, command: OnEndpoint, Body(Nothing {}): Body<Nothing>) -> Handled {
    Ok(answer(&api.registry.promote_secret(command).await?.value))
}

/// What was done to the endpoint, by whom and why, oldest first.
pub async fn history(State(api): State<Shared>, Ids(id): Ids<String>, Params(page): Params<Page>) -> Handled {
    let id: EndpointId = parse_id(&id)?;
    let (limit, after) = (check_limit(page.limit)?, page.after::<EndpointChangeId>()?);
    let found = api
        .read(move |tx| {
            endpoints::version(tx, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?;
            Ok(changes::list_of_endpoint(tx, id, &after, limit)?)
        })
        .await?;
    Ok(listed(found, limit, |change| change.id.to_string()))
}
