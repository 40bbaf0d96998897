//! `GET /metrics`: what the process has counted and what the database says, in Prometheus's text format. Every figure is
//! explained in docs/operating.md. What is counted where is not decided here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;

use super::answer::Answer;
use super::views::endpoint::lane_state;
use super::{Api, Shared};
use crate::delivery::monitor::MOST_ENDPOINTS;
use crate::domain::clock::Timestamp;
use crate::domain::endpoint::EndpointState;
use crate::domain::health::Health;
use crate::domain::run::RunState;
use crate::platform::descriptors::Descriptors;
use crate::platform::telemetry::Exposition;
use crate::store::overview::{self, Backlog};
use crate::store::{StoreError, Tx};

/// For how long a look into the database serves further scrapes.
const KEPT_FOR: Duration = Duration::from_secs(5);
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);
/// What endpoints are called that are not counted apart.
const OTHER: &str = "other";
const LANE_STATES: [&str; 4] = ["sending", "paused", "failing", "disabled"];

/// The last look into the database, and when it was. Scrapes that come meanwhile wait for it.
#[derive(Default)]
pub struct Looks(Mutex<Option<(Duration, Arc<Overview>)>>);

pub struct Overview {
    pub backlogs: Vec<Backlog>,
    pub lanes: Vec<(EndpointState, Health)>,
    pub runs: Vec<(RunState, u64)>,
    pub nodes: u64,
}

pub async fn expose(State(api): State<Shared>) -> Answer<MetricsText> {
    let mut page = Exposition::default();
    page.gauge("bellwether_build_info", "1; the version is a label.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    counted(&api, &mut page);
    page.gauge("bellwether_clock_doubted", "Whether changes by date do not go by what the clock says just now.")
        .sample(&[], u8::from(api.registry.clock_doubt().is_some()));
    let overview = api.look().await;
    page.gauge("bellwether_database_up", "Whether the database could be read for this page.")
        .sample(&[], u8::from(overview.is_some()));
    if let Some(overview) = overview {
        stored(&overview, api.registry.clock().now(), &mut page);
    }
    Ok(MetricsText(page.finish()))
}

/// The page, in Prometheus's text format.
pub struct MetricsText(String);

impl IntoResponse for MetricsText {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, Exposition::CONTENT_TYPE)], self.0).into_response()
    }
}

impl Api {
    /// What the database says, at most a few seconds old; nothing if it does not answer.
    pub async fn look(&self) -> Option<Arc<Overview>> {
        let mut last = self.looks.0.lock().await;
        let now = self.registry.clock().monotonic();
        if let Some((_, overview)) = last.as_ref().filter(|(at, _)| now.saturating_sub(*at) < KEPT_FOR) {
            return Some(overview.clone());
        }
        let reading = self.registry.db().read(|tx: &mut dyn Tx| {
            Ok::<_, StoreError>(Overview {
                backlogs: overview::backlogs(tx)?,
                lanes: overview::lane_states(tx)?,
                runs: overview::open_runs(tx)?,
                nodes: overview::count_nodes(tx)?,
            })
        });
        match tokio::time::timeout(DATABASE_TIMEOUT, reading).await {
            Ok(Ok(overview)) => {
                let overview = Arc::new(overview);
                *last = Some((now, overview.clone()));
                Some(overview)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database cannot be read for metrics");
                None
            }
            Err(_) => {
                tracing::warn!("the database does not answer in time for metrics");
                None
            }
        }
    }
}

/// What this process has counted since its start.
fn counted(api: &Api, page: &mut Exposition) {
    let (tally, monitor) = (api.registry.tally(), &api.monitor);
    let meters = monitor.meters();
    let meters: Vec<_> = meters
        .iter()
        .map(|(endpoint, meter)| (endpoint.map_or_else(|| OTHER.to_owned(), |id| id.to_string()), meter))
        .collect();
    let mut attempts = page.counter("bellwether_attempts_total", "Requests made, by what they came to.");
    for (endpoint, meter) in &meters {
        for (class, count) in meter.attempts() {
            attempts.sample(&[("endpoint", endpoint), ("class", class)], count);
        }
    }
    let mut durations = page.histogram("bellwether_attempt_duration_seconds", "From sending to the end of the answer.");
    for (endpoint, meter) in meters.iter().filter(|(_, meter)| meter.attempts().next().is_some()) {
        durations.durations(&[("endpoint", endpoint)], &meter.durations);
    }
    let mut in_flight = page.gauge("bellwether_requests_in_flight", "Requests under way.");
    for (endpoint, meter) in &meters {
        in_flight.sample(&[("endpoint", endpoint)], meter.in_flight());
    }
    let mut openings = page.counter("bellwether_breaker_openings_total", "How often an endpoint began to fail.");
    for (endpoint, meter) in &meters {
        openings.sample(&[("endpoint", endpoint)], meter.breaker_openings.get());
    }
    page.gauge("bellwether_outcomes_unrecorded", "Answers that are not in the database yet.")
        .sample(&[], monitor.unrecorded.get());
    page.counter("bellwether_outcomes_recorded_total", "Answers that were written to the database.")
        .sample(&[], monitor.recorded.get());
    page.counter("bellwether_outcomes_refused_total", "Answers left out, for another node had taken the lane over.")
        .sample(&[], tally.outcomes_refused.get());
    page.gauge("bellwether_endpoints_unusable", "Endpoints that nothing can be sent to as they are stored.")
        .sample(&[], monitor.unusable.get() + monitor.unreadable.get());
    let (most, open) = api.pings.connections();
    page.gauge("bellwether_outbound_connections", "Connections to receivers.").sample(&[], open);
    page.gauge("bellwether_outbound_connections_limit", "Connections to receivers that there may be.")
        .sample(&[], most);
    page.gauge("bellwether_descriptors_limit", "Files and sockets that this process may have open.")
        .sample(&[], Descriptors::raised().limit);
    let mut events = page.counter("bellwether_events_recorded_total", "Changes accepted: each is one event.");
    for (topic, count) in tally.events() {
        events.sample(&[("type", topic.as_str())], count);
    }
    let mut runs = page.counter("bellwether_runs_ended_total", "Runs of the data pipeline that ended.");
    for (state, count) in tally.runs() {
        runs.sample(&[("state", state)], count);
    }
    page.counter("bellwether_hints_lost_total", "Hints dropped; lanes then looked into the database.")
        .sample(&[], api.registry.hints_lost());
    page.counter("bellwether_keys_refused_total", "Requests with a key that is not in force.")
        .sample(&[], api.guesses.count());
    page.gauge("bellwether_event_streams", "Readers that follow the event log.").sample(&[], api.streams_open());
}

/// What the database says; with several nodes, the same on each.
fn stored(overview: &Overview, now: Timestamp, page: &mut Exposition) {
    // Those that owe, oldest endpoint first; what has no place of its own is added up.
    let mut pending: BTreeMap<(String, &str), u64> = BTreeMap::new();
    let mut oldest: BTreeMap<String, Duration> = BTreeMap::new();
    for (place, backlog) in overview.backlogs.iter().enumerate() {
        let name = if place < MOST_ENDPOINTS { backlog.endpoint_id.to_string() } else { OTHER.to_owned() };
        *pending.entry((name.clone(), "live")).or_default() += backlog.live;
        *pending.entry((name.clone(), "behind")).or_default() += backlog.behind;
        if let Some(id) = backlog.oldest {
            let age = oldest.entry(name).or_default();
            *age = now.since(id.made_at()).max(*age);
        }
    }
    let mut deliveries = page.gauge("bellwether_pending_deliveries", "Deliveries owed and not yet accepted.");
    for ((endpoint, queue), count) in &pending {
        deliveries.sample(&[("endpoint", endpoint), ("queue", queue)], count);
    }
    let mut ages = page.gauge("bellwether_oldest_pending_seconds", "Age of the oldest live delivery that is pending.");
    for (endpoint, age) in &oldest {
        ages.sample(&[("endpoint", endpoint)], age.as_secs_f64());
    }
    let states: Vec<_> = overview.lanes.iter().map(|(state, health)| lane_state(*state, health, now).0).collect();
    let mut lanes = page.gauge("bellwether_lanes", "Endpoints, by whether they are sent to.");
    for state in LANE_STATES {
        lanes.sample(&[("state", state)], states.iter().filter(|found| **found == state).count());
    }
    let mut runs = page.gauge("bellwether_runs", "Runs that have not ended.");
    for state in [RunState::Queued, RunState::Running] {
        let count = overview.runs.iter().find(|(found, _)| *found == state).map_or(0, |(_, count)| *count);
        runs.sample(&[("state", state.as_str())], count);
    }
    page.gauge("bellwether_nodes", "Processes that share the database.").sample(&[], overview.nodes.max(1));
}
