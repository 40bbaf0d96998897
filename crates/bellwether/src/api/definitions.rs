//! Definitions, all kinds alike: entities, warehouses, sources, metrics, collections, schedules.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::Shared;
use super::answer::{Answer, Created, Gone, Page, Versioned};
use super::body::{Body, Edit};
use super::params::{Ids, IfMatch, PageParams, Params, Spelled, check_limit, cursor, default_limit, parse_id};
use super::sources::Tried;
use super::views::change::VersionView;
use super::views::definition::DefinitionView;
use crate::domain::actor::Principal;
use crate::domain::error::Refusal;
use crate::domain::id::{EntityId, TeamId, WarehouseId};
use crate::domain::search::Search;
use crate::domain::sort::{Place, Sort, SortBy, SortValue};
use crate::registry::{Defined, overlay};
use crate::store::definition_list::{self, Filter};
use crate::store::definitions::{self, Definition};
use crate::store::{Value, changes};

fn answer<D: Defined>(definition: &Definition<D>) -> Versioned<DefinitionView<D>> {
    Versioned { view: DefinitionView::of(definition), version: definition.version }
}

/// What a list may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    #[serde(default)]
    after: String,
    #[serde(default = "default_limit")]
    limit: u32,
    sort: Option<Spelled<Sort>>,
    search: Option<String>,
    warehouse_id: Option<WarehouseId>,
    entity_id: Option<EntityId>,
    team_id: Option<TeamId>,
}

impl Listing {
    /// What kinds do not refer to, their lists cannot be filtered by.
    fn filter<D: Defined>(&self) -> Result<Filter, Refusal> {
        let search = self.search.as_deref().map(|typed| Search::parse("search", typed)).transpose()?;
        let given = [
            self.warehouse_id.map(|id| ("warehouse_id", id.into())),
            self.entity_id.map(|id| ("entity_id", id.into())),
            self.team_id.map(|id| ("team_id", id.into())),
        ];
        let refers: Vec<(&'static str, Value)> = given.into_iter().flatten().collect();
        if let Some((column, _)) = refers.iter().find(|(column, _)| !D::FILTERS.contains(column)) {
            let usual = ["after", "limit", "sort", "search"];
            let allowed: Vec<_> = usual.iter().chain(D::FILTERS).copied().collect();
            let message = format!("the list of this kind has no such filter; {} are allowed", allowed.join(", "));
            return Err(Refusal::invalid(*column, message));
        }
        Ok(Filter { search, refers })
    }
}

pub async fn list<D: Defined>(
    State(api): State<Shared>,
    Params(listing): Params<Listing>,
) -> Answer<Json<Page<DefinitionView<D>>>> {
    let limit = check_limit(listing.limit)?;
    let filter = listing.filter::<D>()?;
    let sort = listing.sort.map_or(Sort::by(SortBy::Id), |sort| sort.0);
    let id = |text: &str| text.parse::<D::Id>().ok().map(|id| SortValue::Text(id.to_string()));
    let after = Place::parse(&listing.after, sort, id)?;
    let found = api.read(move |tx| Ok(definition_list::list::<D>(tx, &filter, sort, after.clone(), limit)?)).await?;
    Ok(Page::found(&found, sort, DefinitionView::of))
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
