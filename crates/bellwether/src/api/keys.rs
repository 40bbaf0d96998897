//! API keys. A key's text is shown once, when it is made.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Shared;
use super::answer::{Answer, Created, Gone, Page};
use super::body::Body;
use super::params::{Ids, PageParams, Params, check_limit};
use super::views::key::{IssuedKeyView, KeyView};
use crate::domain::actor::Principal;
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::key::Role;
use crate::store::keys;

pub async fn list(State(api): State<Shared>, Params(page): Params<PageParams>) -> Answer<Json<Page<KeyView>>> {
    let (limit, after) = (check_limit(page.limit)?, page.after::<KeyId>()?);
    let found = api.read(move |tx| Ok(keys::list(tx, &after, limit)?)).await?;
    Ok(Page::of(&found, limit, |key| key.id.to_string(), KeyView::of))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewKey")]
pub struct Request {
    name: String,
    role: Role,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

pub async fn issue(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Body(request): Body<Request>,
) -> Answer<Created<Json<IssuedKeyView>>> {
    let issued = api.registry.issue_key(actor, request.name, request.role, request.expires_at).await?;
    Ok(Created(Json(IssuedKeyView::of(issued))))
}

pub async fn revoke(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Ids(id): Ids<KeyId>,
) -> Answer<Gone> {
    api.registry.revoke_key(actor, id).await?;
    Ok(Gone)
}
