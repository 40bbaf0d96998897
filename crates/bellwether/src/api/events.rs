//! The event log, and what became of each event.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use bellwether_webhook::EventType;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::problem::Problem;
use super::query::{Handled, Ids, Params, check_limit, cursor, parse_id, usual_page};
use super::{Api, Shared};
use crate::domain::clock::Timestamp;
use crate::domain::endpoint::Format;
use crate::domain::error::Refusal;
use crate::domain::event::{Event, Topic};
use crate::domain::id::{EventId, ExperimentId};
use crate::store::{events, retention};

/// An event with the exact bytes of its `data`.
#[derive(Serialize)]
pub struct View {
    id: EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    event: Topic,
    experiment_id: ExperimentId,
    revision: i64,
    occurred_at: Timestamp,
    data: Box<RawValue>,
}

pub fn view(event: &Event, cursor: Option<i64>, format: Format) -> Result<View, Problem> {
    let data = RawValue::from_string(event.data_in(format).to_owned());
    Ok(View {
        id: event.id,
        cursor: cursor.map(|cursor| cursor.to_string()),
        event: event.topic,
        experiment_id: event.experiment_id,
        revision: event.revision,
        occurred_at: event.occurred_at,
        data: data.map_err(|error| {
            crate::store::StoreError::Failed(format!("the data of {} is damaged: {error}", event.id))
        })?,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    #[serde(default)]
    after: String,
    #[serde(default = "usual_page")]
    limit: u32,
    /// Names of types, with commas between.
    #[serde(default)]
    types: String,
    /// A number, or `key:` and a key.
    experiment: Option<String>,
    #[serde(default)]
    format: Format,
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

    pub fn after(self, cursor: i64, limit: u32) -> events::Selection {
        events::Selection { after: cursor, experiment: self.experiment, types: self.types, limit }
    }
}

/// A place in the log, read like every other cursor.
pub fn log_cursor(after: &str) -> Result<Option<i64>, Refusal> {
    let place = cursor::<u64>(after)?.map(i64::try_from).transpose();
    place.map_err(|_| Refusal::invalid("after", format!("'{after}' was given; no log is as long as that")))
}

/// What to answer if the log no longer has what followed the cursor.
pub fn gone(after: i64, pruned_to: i64) -> Option<Problem> {
    (1..pruned_to).contains(&after).then(|| {
        let detail = format!(
            "the log no longer has what followed the cursor {after}; its oldest cursor is {pruned_to}: fetch the state of the experiments, then go on from there"
        );
        Problem::of(StatusCode::GONE, "cursor-gone", detail)
    })
}

/// The log in its order. `next` is always given: the place to go on from, now or later.
pub async fn list(State(api): State<Shared>, Params(listing): Params<Listing>) -> Handled {
    let pick = Pick::read(&api, listing.experiment.as_deref(), &listing.types).await?;
    let after = log_cursor(&listing.after)?.unwrap_or(0);
    let selection = pick.after(after, check_limit(listing.limit)?);
    let (reach, limit) = (selection.reach(), selection.limit as usize);
    let (found, end, pruned_to) = api
        .read(move |tx| Ok((events::list(tx, &selection)?, events::log_end(tx)?, retention::log_pruned_to(tx)?)))
        .await?;
    if let Some(problem) = gone(after, pruned_to) {
        return Err(problem);
    }
    let last = found.last().map_or(after, |(cursor, _)| *cursor);
    // All that was looked at is behind, though little of it was asked for.
    let next = if found.len() < limit && reach < end { reach } else { last }.to_string();
    let items = found
        .iter()
        .map(|(cursor, event)| view(event, Some(*cursor), listing.format))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({"items": items, "next": next})).into_response())
}

pub async fn get(State(api): State<Shared>, Ids(id): Ids<String>) -> Handled {
    let id: EventId = parse_id(&id)?;
    let found = api.read(move |tx| Ok(events::get(tx, id)?)).await?;
    let event = found.ok_or_else(|| Refusal::not_found("event", id))?;
    Ok(Json(view(&event, None, Format::Eppo)?).into_response())
}

/// What became of the event for one endpoint, and why.
pub async fn why(State(api): State<Shared>, Ids((event, endpoint)): Ids<(String, String)>) -> Handled {
    Ok(Json(api.registry.why(parse_id(&event)?, parse_id(&endpoint)?).await?).into_response())
}
