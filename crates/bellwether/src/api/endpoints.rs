//! Endpoints: who is told, of what, and how.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::body::{Body, Edit, fields_as};
use super::experiments::Nothing;
use super::query::{Handled, Ids, IfMatch, Page, Params, check_limit, listed, parse_id, versioned};
use crate::endpoint::{Endpoint, EndpointState, Settings};
use crate::error::Refusal;
use crate::id::EndpointId;
use crate::registry::EnableFrom;
use crate::store::{deliveries, endpoints};

/// Never the secret nor the URL's query: only the answer to its making tells them.
fn view(endpoint: &Endpoint) -> Value {
    let mut view = json!({"id": endpoint.id});
    if let (Value::Object(view), Ok(Value::Object(settings))) = (&mut view, serde_json::to_value(&endpoint.settings)) {
        view.extend(settings);
        view.insert("url".into(), json!(endpoint.settings.shown_url()));
        view.insert("enabled".into(), json!(endpoint.state == EndpointState::Enabled));
        view.insert("disabled_reason".into(), json!(endpoint.disabled_reason));
        view.insert("version".into(), json!(endpoint.version));
        view.insert("created_at".into(), json!(endpoint.created_at));
        view.insert("updated_at".into(), json!(endpoint.updated_at));
    }
    view
}

fn answer(endpoint: &Endpoint) -> Response {
    versioned(StatusCode::OK, &view(endpoint), endpoint.version)
}

pub async fn list(State(api): State<Shared>, Params(page): Params<Page>) -> Handled {
    let limit = check_limit(page.limit)?;
    let vault = api.registry.vault().clone();
    let found = api.read(move |tx| Ok(endpoints::list(tx, &vault, &page.after, limit)?)).await?;
    Ok(listed(found.iter().map(view).collect(), limit, |item| item["id"].as_str().unwrap_or("").to_owned()))
}

/// `secret` and `enabled` stand beside the settings, in the same object.
pub async fn create(State(api): State<Shared>, Edit(mut fields): Edit) -> Handled {
    let secret: Option<String> = take(&mut fields, "secret")?;
    let is_enabled: Option<bool> = take(&mut fields, "enabled")?;
    let settings: Settings = fields_as(fields)?;
    let endpoint = api.registry.create_endpoint(settings, secret, is_enabled.unwrap_or(true)).await?;
    let mut body = view(&endpoint);
    body["url"] = endpoint.settings.url.as_str().into();
    body["secret"] = endpoint.secret.text().into();
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
    let (endpoint, pending) = api
        .read(move |tx| {
            let endpoint = endpoints::get(tx, &vault, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?;
            Ok((endpoint, deliveries::count_pending(tx, id)?))
        })
        .await?;
    let mut body = view(&endpoint);
    body["pending"] = pending.into();
    Ok(versioned(StatusCode::OK, &body, endpoint.version))
}

pub async fn edit(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    IfMatch(version): IfMatch,
    Edit(edit): Edit,
) -> Handled {
    Ok(answer(&api.registry.edit_endpoint(parse_id(&id)?, edit, version).await?.value))
}

pub async fn delete(State(api): State<Shared>, Ids(id): Ids<String>, IfMatch(version): IfMatch) -> Handled {
    api.registry.delete_endpoint(parse_id(&id)?, version).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    from: EnableFrom,
}

pub async fn enable(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    IfMatch(version): IfMatch,
    Body(body): Body<Enable>,
) -> Handled {
    Ok(answer(&api.registry.enable_endpoint(parse_id(&id)?, body.from, version).await?.value))
}

pub async fn disable(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    IfMatch(version): IfMatch,
    Body(Nothing {}): Body<Nothing>,
) -> Handled {
    Ok(answer(&api.registry.disable_endpoint(parse_id(&id)?, "disabled by hand".to_owned(), version).await?.value))
}
