//! The event log, and what became of each event.

use axum::Json;
use axum::extract::State;
use bellwether_webhook::EventType;
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::{Answer, Page};
use super::params::{Ids, LONGEST_PAGE, Params, check_limit, cursor, default_limit};
use super::problem::{Kind, Problem};
use super::views::event::EventView;
use super::views::why::WhyView;
use super::{Api, Shared};
use crate::domain::error::Refusal;
use crate::domain::event::{Event, Format};
use crate::domain::id::{EndpointId, EventId, ExperimentId};
use crate::domain::topic::Topic;
use crate::store::{event_log, events};

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
    /// Names of events, with commas between; empty means all.
    #[serde(default)]
    #[schemars(with = "Vec<Topic>")]
    types: String,
    /// Those of this experiment: its number, or `key:` and its key.
    experiment: Option<String>,
    /// How `data` is written.
    #[serde(default)]
    format: Format,
    /// Whether the log is gone through from its end, towards its beginning.
    #[serde(default)]
    newest: bool,
}

/// Which events of the log are asked for.
pub struct Pick {
    experiment: Option<ExperimentId>,
    types: Vec<String>,
}

impl Pick {
    pub async fn read(api: &Api, experiment: Option<&str>, types: &str) -> Result<Self, Problem> {
        let experiment = match experiment {
            Some(given) => Some(api.experiment_id(given).await?),
            None => None,
        };
        let types: Vec<String> =
            types.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        for name in &types {
            name.parse::<EventType>().map_err(|error| Refusal::invalid("types", error.to_string()))?;
        }
        Ok(Self { experiment, types })
    }

    pub fn after(self, cursor: i64, limit: u32) -> event_log::Selection {
        let Self { experiment, types } = self;
        event_log::Selection { after: cursor, experiment, types, is_newest_first: false, limit }
    }
}

/// A place in the log, read like every other cursor.
pub fn log_cursor(after: &str) -> Result<Option<i64>, Refusal> {
    let place = cursor::<u64>(after)?.map(i64::try_from).transpose();
    place.map_err(|_| Refusal::invalid("after", format!("'{after}' was given; no log is as long as that")))
}

/// What to answer if the log no longer has what followed the cursor, or has not come to it: as after a backup was restored.
pub fn gone(after: i64, pruned_to: i64, end: i64) -> Option<Problem> {
    let detail = match () {
        () if (1..pruned_to).contains(&after) => format!(
            "the log no longer has what followed the cursor {after}; its oldest cursor is {pruned_to}: fetch the state of the experiments, then go on from there"
        ),
        () if after > end => format!(
            "the log has not come to the cursor {after}; its end is {end}, as after an earlier state was restored: fetch the state of the experiments, then go on from there"
        ),
        () => return None,
    };
    Some(Problem::of(Kind::CursorGone, detail))
}

/// The log in its order. `next` is always given: the place to go on from, now or later. From its end on, `next` is not given
/// where the beginning is reached.
pub async fn list(State(api): State<Shared>, Params(listing): Params<Listing>) -> Answer<Json<Page<EventView>>> {
    let pick = Pick::read(&api, listing.experiment.as_deref(), &listing.types).await?;
    let given = log_cursor(&listing.after)?;
    if listing.newest {
        let (before, limit) = (given.unwrap_or(i64::MAX), check_limit(listing.limit)?);
        return newest(&api, pick.after(before, limit), listing.format).await;
    }
    let after = given.unwrap_or(0);
    let selection = pick.after(after, check_limit(listing.limit)?);
    let (reach, limit) = (selection.reach(), selection.limit as usize);
    let (found, end, pruned_to) = api
        .read(move |tx| Ok((event_log::list(tx, &selection)?, event_log::end(tx)?, event_log::pruned_to(tx)?)))
        .await?;
    if let Some(problem) = gone(after, pruned_to, end) {
        return Err(problem);
    }
    let last = found.last().map_or(after, |(cursor, _)| *cursor);
    // All that was looked at is behind, though little of it was asked for.
    let next = if found.len() < limit && reach < end { reach } else { last }.to_string();
    page(&found, Some(next), listing.format)
}

fn page(found: &[(i64, Event)], next: Option<String>, format: Format) -> Answer<Json<Page<EventView>>> {
    let items = found.iter().map(|(cursor, event)| EventView::of(event, Some(*cursor), format));
    Ok(Json(Page { items: items.collect::<Result<Vec<_>, _>>()?, next }))
}

async fn newest(api: &Api, mut selection: event_log::Selection, format: Format) -> Answer<Json<Page<EventView>>> {
    selection.is_newest_first = true;
    let limit = selection.limit as usize;
    let (found, reach) = api
        .read(move |tx| {
            // From the end of the log as it is now, what is looked at is bounded.
            let mut selection = selection.clone();
            selection.after = selection.after.min(event_log::end(tx)?.saturating_add(1));
            Ok((event_log::list(tx, &selection)?, selection.reach()))
        })
        .await?;
    let last = found.last().map_or(0, |(cursor, _)| *cursor);
    let next = if found.len() < limit { reach } else { last };
    page(&found, (next > 1).then(|| next.to_string()), format)
}

pub async fn get(State(api): State<Shared>, Ids(id): Ids<EventId>) -> Answer<Json<EventView>> {
    let found = api.read(move |tx| Ok(events::get(tx, id)?)).await?;
    let event = found.ok_or_else(|| Refusal::not_found("event", id))?;
    Ok(Json(EventView::of(&event, None, Format::Eppo)?))
}

/// What became of the event for one endpoint, and why.
pub async fn why(
    State(api): State<Shared>,
    Ids((event, endpoint)): Ids<(EventId, EndpointId)>,
) -> Answer<Json<WhyView>> {
    Ok(Json(WhyView::of(api.registry.why(event, endpoint).await?)))
}
