//! Definitions, all kinds alike: entities, warehouses, sources, metrics, collections, schedules.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use super::body::{Body, Edit};
use super::query::{Handled, Ids, IfMatch, Page, Params, check_limit, listed, parse_id, versioned};
use super::sources::Tried;
use crate::domain::error::Refusal;
use crate::registry::{Defined, overlay};
use crate::store::definitions::{self, Definition};

/// The body's fields, between what Bellwether adds.
fn view<D: Defined>(definition: &Definition<D>) -> Value {
    let mut view = json!({"id": definition.id.to_string()});
    if let (Value::Object(view), Ok(Value::Object(body))) = (&mut view, serde_json::to_value(&definition.body)) {
        view.extend(body);
        view.insert("version".into(), json!(definition.version));
        view.insert("created_at".into(), json!(definition.created_at));
        view.insert("updated_at".into(), json!(definition.updated_at));
    }
    view
}

fn answer<D: Defined>(status: StatusCode, definition: &Definition<D>) -> Response {
    versioned(status, &view(definition), definition.version)
}

pub async fn list<D: Defined>(State(api): State<Shared>, Params(page): Params<Page>) -> Handled {
    let (limit, after) = (check_limit(page.limit)?, page.after::<D::Id>()?);
    let found = api.read(move |tx| Ok(definitions::list::<D>(tx, &after, limit)?)).await?;
    Ok(listed(found.iter().map(view).collect(), limit, |item| item["id"].as_str().unwrap_or("").to_owned()))
}

pub async fn create<D: Tried>(State(api): State<Shared>, Body(body): Body<D>) -> Handled {
    body.validate()?;
    body.try_out(&api).await?;
    Ok(answer(StatusCode::CREATED, &api.registry.define(body).await?))
}

pub async fn get<D: Defined>(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id: D::Id = parse_id(&id)?;
    let found = api.read(move |tx| Ok(definitions::get::<D>(tx, id)?)).await?;
    Ok(answer(StatusCode::OK, &found.ok_or_else(|| Refusal::not_found(D::KIND, id))?))
}

pub async fn edit<D: Tried>(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    IfMatch(version): IfMatch,
    Edit(edit): Edit,
) -> Handled {
    let id: D::Id = parse_id(&id)?;
    let current =
        api.read(move |tx| Ok(definitions::get::<D>(tx, id)?)).await?.ok_or_else(|| Refusal::not_found(D::KIND, id))?;
    let edited: D = overlay(&current.body, edit.clone())?;
    edited.validate()?;
    if edited != current.body {
        edited.try_out(&api).await?;
    }
    let commanded = api.registry.redefine::<D>(id, edit, version).await?;
    Ok(answer(StatusCode::OK, &commanded.value))
}

pub async fn delete<D: Defined>(State(api): State<Shared>, Ids(id): Ids<String>, IfMatch(version): IfMatch) -> Handled {
    api.registry.undefine::<D>(parse_id(&id)?, version).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
