//! Definitions, all kinds alike: entities, warehouses, sources, metrics, collections, schedules.

use axum::Json;
use axum::extract::State;

use super::Shared;
use super::answer::{Answer, Created, Gone, Page, Versioned};
use super::body::{Body, Edit};
use super::params::{Ids, IfMatch, PageParams, Params, check_limit, cursor, parse_id};
use super::sources::Tried;
use super::views::change::VersionView;
use super::views::definition::DefinitionView;
use crate::domain::actor::Principal;
use crate::domain::error::Refusal;
use crate::registry::{Defined, overlay};
use crate::store::changes;
use crate::store::definitions::{self, Definition};

fn answer<D: Defined>(definition: &Definition<D>) -> Versioned<DefinitionView<D>> {
    Versioned { view: DefinitionView::of(definition), version: definition.version }
}

pub async fn list<D: Defined>(
    State(api): State<Shared>,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<DefinitionView<D>>>> {
    let (limit, after) = (check_limit(page.limit)?, page.after::<D::Id>()?);
    let found = api.read(move |tx| Ok(definitions::list::<D>(tx, &after, limit)?)).await?;
    Ok(Page::of(&found, limit, |found| found.id.to_string(), DefinitionView::of))
}

pub async fn create<D: Tried>(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Body(body): Body<D>,
) -> Answer<Created<Versioned<DefinitionView<D>>>> {
    body.validate()?;
    body.try_out(&api).await?;
    Ok(Created(answer(&api.registry.define(actor, body).await?)))
}

pub async fn get<D: Defined>(State(api): State<Shared>, Ids(id): Ids<String>) -> Answer<Versioned<DefinitionView<D>>> {
    let id: D::Id = parse_id(&id)?;
    let found = api.read(move |tx| Ok(definitions::get::<D>(tx, id)?)).await?;
    Ok(answer(&found.ok_or_else(|| Refusal::not_found(D::KIND, id))?))
}

pub async fn edit<D: Tried>(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Ids(id): Ids<String>,
    IfMatch(version): IfMatch,
    Edit(edit): Edit,
) -> Answer<Versioned<DefinitionView<D>>> {
    let id: D::Id = parse_id(&id)?;
    let current =
        api.read(move |tx| Ok(definitions::get::<D>(tx, id)?)).await?.ok_or_else(|| Refusal::not_found(D::KIND, id))?;
    let edited: D = overlay(&current.body, edit.clone())?;
    edited.validate()?;
    if edited != current.body {
        edited.try_out(&api).await?;
    }
    let effect = api.registry.redefine::<D>(actor, id, edit, version).await?;
    Ok(answer(&effect.value))
}

pub async fn delete<D: Defined>(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Ids(id): Ids<String>,
    IfMatch(version): IfMatch,
) -> Answer<Gone> {
    api.registry.undefine::<D>(actor, parse_id(&id)?, version).await?;
    Ok(Gone)
}

/// Who changed what, and when; the cursor is a version. Also of definitions that were deleted.
pub async fn history<D: Defined>(
    State(api): State<Shared>,
    Ids(id): Ids<String>,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<VersionView>>> {
    let id: D::Id = parse_id(&id)?;
    let limit = check_limit(page.limit)?;
    let after = cursor::<i64>(&page.after)?.unwrap_or(0);
    let found = api
        .read(move |tx| {
            let found = changes::list_of_definition(tx, &id.to_string(), after, limit)?;
            let is_there = !found.is_empty() || definitions::get::<D>(tx, id)?.is_some();
            Ok(is_there.then_some(found))
        })
        .await?;
    let found = found.ok_or_else(|| Refusal::not_found(D::KIND, id))?;
    Ok(Page::of(&found, limit, |change| change.revision.to_string(), VersionView::of))
}
