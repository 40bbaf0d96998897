//! API keys. A key's text is shown once, when it is made.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::body::Body;
use super::query::{Handled, Ids, Page, Params, check_limit, listed, parse_id};
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::key::Role;
use crate::store::keys;

pub async fn list(State(api): State<Shared>, Params(page): Params<Page>) -> Handled {
    let (limit, after) = (check_limit(page.limit)?, page.after::<KeyId>()?);
    let found = api.read(move |tx| Ok(keys::list(tx, &after, limit)?)).await?;
    Ok(listed(found, limit, |key| key.id.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    name: String,
    role: Role,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

pub async fn issue(State(api): State<Shared>, Body(request): Body<Request>) -> Handled {
    let issued = api.registry.issue_key(request.name, request.role, request.expires_at).await?;
    let mut body = json!(issued.key);
    body["key"] = issued.text.into();
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub async fn revoke(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    api.registry.revoke_key(parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
