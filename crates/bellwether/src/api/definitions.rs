//! Definitions, all kinds alike: entities, warehouses, sources, metrics, collections, schedules.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Shared;
use super::answer::{Answer, Created, Gone, Page, Versioned};
use super::body::{Body, Edit};
use super::params::{Ids, IfMatch, LONGEST_PAGE, PageParams, Params, Spelled, check_limit, cursor, default_limit};
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
    sort: Option<Spelled<Sort>>,
    /// Words of its text.
    search: Option<String>,
    /// Those of this warehouse.
    warehouse_id: Option<WarehouseId>,
    /// Those of this entity.
    entity_id: Option<EntityId>,
    /// Those of this team.
    team_id: Option<TeamId>,
}

/// What the list of a kind may be asked for.
pub fn filters<D: Defined>() -> impl Iterator<Item = &'static str> {
    ["after", "limit", "sort", "search"].into_iter().chain(D::FILTERS.iter().copied())
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
            let allowed: Vec<_> = filters::<D>().collect();
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

pub async fn get<D: Defined>(State(api): State<Shared>, Ids(id): Ids<D::Id>) -> Answer<Versioned<DefinitionView<D>>> {
    let found = api.read(move |tx| Ok(definitions::get::<D>(tx, id)?)).await?;
    Ok(answer(&found.ok_or_else(|| Refusal::not_found(D::KIND, id))?))
}

pub async fn edit<D: Tried>(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Ids(id): Ids<D::Id>,
    IfMatch(version): IfMatch,
    Edit { fields: edit, .. }: Edit<D>,
) -> Answer<Versioned<DefinitionView<D>>> {
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
    Ids(id): Ids<D::Id>,
    IfMatch(version): IfMatch,
) -> Answer<Gone> {
    api.registry.undefine::<D>(actor, id, version).await?;
    Ok(Gone)
}

/// Who changed what, and when; the cursor is a version. Also of definitions that were deleted.
pub async fn history<D: Defined>(
    State(api): State<Shared>,
    Ids(id): Ids<D::Id>,
    Params(page): Params<PageParams>,
) -> Answer<Json<Page<VersionView>>> {
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
