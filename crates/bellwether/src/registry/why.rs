//! Why an event was sent to an endpoint, was not, or is not yet: the answer for each pair of the two, from what is stored.
//! It changes nothing, and says the same on every node.

use schemars::JsonSchema;
use serde::Serialize;

use super::recovery::unmet_then;
use super::{Registry, Result};
use crate::domain::clock::Timestamp;
use crate::domain::delivery::{Delivery, DeliveryState};
use crate::domain::endpoint::{Endpoint, EndpointState, Ordering, Settings};
use crate::domain::error::{FieldError, Refusal};
use crate::domain::event::Event;
use crate::domain::filter::Clause;
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, EndpointId, EventId};
use crate::domain::topic::Topic;
use crate::store::lanes::{self, LaneRow};
use crate::store::{Tx, changes, deliveries, endpoints, events, undelivered};

/// What became of an event for an endpoint.
#[derive(Debug)]
pub struct Why {
    pub event_id: EventId,
    pub endpoint_id: EndpointId,
    pub verdict: Verdict,
    /// The same in words.
    pub detail: String,
    /// All deliveries of the event to the endpoint; the verdict is of the last.
    pub deliveries: Vec<Delivery>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
#[schemars(rename = "DeliveryVerdict")]
pub enum Verdict {
    /// The endpoint did not want it then, by this clause.
    Filtered {
        clause: Clause,
    },
    /// There was no such endpoint yet.
    NotSubscribed,
    /// It was wanted, and the record of its delivery is gone by retention, or it came in the moment of an edit.
    NoRecord,
    Waiting(Waits),
    Delivered {
        at: Option<Timestamp>,
    },
    Exhausted {
        attempts: u32,
    },
    Cancelled {
        reason: String,
    },
}

/// What a pending delivery waits for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Waits {
    /// Until somebody enables it.
    EndpointDisabled { reason: Option<String> },
    /// Until somebody edits it: nothing can be sent as it is stored.
    EndpointUnusable { field: String, reason: String },
    /// The receiver asked for a pause.
    Pause { until: Timestamp },
    /// The endpoint fails; one delivery at a time is tried, each time another.
    Breaker { next_probe_at: Timestamp, failing_since: Option<Timestamp>, last_tried: Option<DeliveryId> },
    /// Its own next attempt.
    Retry { until: Timestamp },
    /// An earlier delivery of the same experiment that is not accepted yet.
    Order { behind: DeliveryId, revision: i64 },
    /// Its turn, within the endpoint's limits.
    Turn { max_in_flight: u32, rate_limit: Option<f64>, pending: u64 },
}

impl Registry {
    /// Why `event` was, is or was not owed to `endpoint`.
    pub async fn why(&self, event: EventId, endpoint: EndpointId) -> Result<Why> {
        let context = self.context.clone();
        self.db()
            .read(move |tx| {
                let vault = &context.setup.vault;
                let event = events::get(tx, event)?.ok_or_else(|| Refusal::not_found("event", event))?;
                let endpoint =
                    endpoints::get(tx, vault, endpoint)?.ok_or_else(|| Refusal::not_found("endpoint", endpoint))?;
                let deliveries: Vec<Delivery> = deliveries::list_of_event(tx, event.id)?
                    .into_iter()
                    .filter(|delivery| delivery.endpoint_id == endpoint.id)
                    .collect();
                let problem = context.setup.sendable.problem(&endpoint.settings, &endpoint.signing);
                let (verdict, detail) = match deliveries.last() {
                    Some(delivery) => of_delivery(tx, &endpoint, delivery, problem, context.setup.clock.now())?,
                    None => of_absence(tx, &endpoint, &event)?,
                };
                Ok(Why { event_id: event.id, endpoint_id: endpoint.id, verdict, detail, deliveries })
            })
            .await
    }
}

fn of_absence(tx: &mut dyn Tx, endpoint: &Endpoint, event: &Event) -> Result<(Verdict, String)> {
    if event.occurred_at < endpoint.created_at {
        let detail = format!("the endpoint was created at {}, after the event; 'replay' sends it", endpoint.created_at);
        return Ok((Verdict::NotSubscribed, detail));
    }
    let settings = settings_then(tx, endpoint, event.occurred_at)?;
    let remembered = events::remembered(tx, event.id)?;
    Ok(match unmet_then(tx, &settings, event, remembered)? {
        Some(clause) => {
            let name = serde_json::to_value(clause).ok().and_then(|name| name.as_str().map(str::to_owned));
            let detail = format!("'{}' of the filter in force then did not let it through", name.unwrap_or_default());
            (Verdict::Filtered { clause }, detail)
        }
        None => {
            let detail =
                "it was wanted, but nothing is recorded of it: it is past retention, or came in the moment of an edit";
            (Verdict::NoRecord, detail.to_owned())
        }
    })
}

/// What the endpoint wanted at `at`: what it wants now, with later edits taken back.
fn settings_then(tx: &mut dyn Tx, endpoint: &Endpoint, at: Timestamp) -> Result<Settings> {
    let mut settings = endpoint.settings.clone();
    let mut after = String::new();
    let mut later = Vec::new();
    loop {
        let page = changes::list_of_endpoint(tx, endpoint.id, &after, 250)?;
        let Some(last) = page.last() else { break };
        after = last.id.to_string();
        later.extend(page.into_iter().filter(|change| change.occurred_at > at).flat_map(|change| change.changes));
    }
    for edit in later.into_iter().rev() {
        match edit.field.as_str() {
            "events" => settings.events = serde_json::from_value::<Vec<Topic>>(edit.from).unwrap_or_default(),
            "filter" => settings.filter = serde_json::from_value(edit.from).unwrap_or_default(),
            _ => {}
        }
    }
    Ok(settings)
}

fn of_delivery(
    tx: &mut dyn Tx,
    endpoint: &Endpoint,
    delivery: &Delivery,
    problem: Option<FieldError>,
    now: Timestamp,
) -> Result<(Verdict, String)> {
    Ok(match delivery.state {
        DeliveryState::Delivered => {
            (Verdict::Delivered { at: delivery.ended_at }, "the receiver accepted it".to_owned())
        }
        DeliveryState::Exhausted => {
            let detail = "every attempt of the schedule failed; 'resend' or 'recover' sends it again".to_owned();
            (Verdict::Exhausted { attempts: delivery.attempt_count }, detail)
        }
        DeliveryState::Cancelled => {
            let reason = delivery.reason.clone().unwrap_or_default();
            (Verdict::Cancelled { reason: reason.clone() }, format!("it was cancelled: {reason}"))
        }
        DeliveryState::Pending => {
            let lane = lanes::get(tx, endpoint.id)?;
            let waits = match problem.filter(|_| endpoint.state == EndpointState::Enabled) {
                Some(FieldError { field, message }) => Waits::EndpointUnusable { field, reason: message },
                None => waits(tx, endpoint, delivery, lane.as_ref(), now)?,
            };
            let detail = waits.in_words();
            (Verdict::Waiting(waits), detail)
        }
    })
}

fn waits(
    tx: &mut dyn Tx,
    endpoint: &Endpoint,
    delivery: &Delivery,
    lane: Option<&LaneRow>,
    now: Timestamp,
) -> Result<Waits> {
    if endpoint.state != EndpointState::Enabled {
        return Ok(Waits::EndpointDisabled { reason: endpoint.disabled_reason.clone() });
    }
    let health = lane.map(|lane| &lane.health);
    if let Some(until) = health.and_then(|health| health.paused_until).filter(|until| *until > now) {
        return Ok(Waits::Pause { until });
    }
    if let Some((next_probe_at, health)) = health.and_then(|health| Some((health.probe_at?, health))) {
        let Health { failing_since, last_tried, .. } = *health;
        return Ok(Waits::Breaker { next_probe_at, failing_since, last_tried });
    }
    if let Some(until) = delivery.due_at.filter(|due_at| delivery.failure_count > 0 && *due_at > now) {
        return Ok(Waits::Retry { until });
    }
    if endpoint.settings.ordering == Ordering::Experiment
        && let Some(position) = delivery.position()
        && let Some((behind, revision)) = undelivered::held_back_by(tx, &position)?
    {
        return Ok(Waits::Order { behind, revision });
    }
    Ok(Waits::Turn {
        max_in_flight: endpoint.settings.max_in_flight,
        rate_limit: endpoint.settings.rate_limit,
        pending: undelivered::count_pending(tx, endpoint.id)?,
    })
}

impl Waits {
    fn in_words(&self) -> String {
        match self {
            Self::EndpointDisabled { reason } => {
                format!("the endpoint is disabled ({}); enable it", reason.as_deref().unwrap_or("by hand"))
            }
            Self::EndpointUnusable { field, reason } => {
                format!("nothing can be sent to the endpoint as it is stored ({field}: {reason}); edit it")
            }
            Self::Pause { until } => format!("the receiver asked to be left alone until {until}"),
            Self::Breaker { next_probe_at, last_tried, .. } => {
                let last = last_tried.map_or_else(String::new, |last| format!("; the last one was {last}"));
                format!(
                    "the endpoint fails; one delivery at a time is tried, each time another{last}, the next at {next_probe_at}"
                )
            }
            Self::Retry { until } => format!("its last attempt failed; the next is due at {until}"),
            Self::Order { revision, .. } => {
                format!("revision {revision} of the same experiment is not accepted yet, and comes first")
            }
            Self::Turn { pending, .. } => format!("its turn; {pending} are pending to this endpoint"),
        }
    }
}
