//! A lane: the ordered stream of deliveries to one endpoint. One task owns it, so nothing in it needs a lock, and a
//! delivery needs no claim. A lane knows only its own endpoint: a dead one costs the others nothing.
//!
//! What is decided stands in `state`; here requests are made, the database is read, and what came of it is reported.

pub mod breaker;
pub mod judgement;
pub mod mailbox;
pub mod rate;
pub mod retry;
pub mod source;
mod state;
pub mod window;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Shared;
use super::monitor::Meter;
use super::traced;
use super::transport::answer::Answer;
use super::transport::client::{Client, Exchanged};
use super::transport::error::ErrorClass;
use super::transport::target;
use crate::domain::clock::Timestamp;
use crate::domain::delivery::{Attempt, DeliveryState, Outcome};
use crate::domain::endpoint::{Endpoint, EndpointState};
use crate::domain::health::{Health, HealthChange};
use crate::domain::id::{DeliveryId, LaneNumber};
use crate::kill_point;
use crate::platform::telemetry::Held;
use crate::registry::Report;
use crate::store::pending::{Owed, Pending};
use mailbox::Inbox;
use source::Source;
use state::{Next, Now, State};
use window::Limits;

/// How soon a lane whose node may not send looks whether it may again.
const PERMIT_LOOK: Duration = Duration::from_millis(250);

pub enum Message {
    Offer(Pending),
    /// Hints were lost, or may have been.
    FallBehind,
    Recorded(Vec<DeliveryId>),
    /// The endpoint, and how it fares, as they are stored now.
    Endpoint(Arc<Endpoint>, Health),
    /// Send nothing more; end when all that is in flight is answered and on disk.
    Stop,
}

/// What a lane begins with.
pub struct Start {
    pub endpoint: Arc<Endpoint>,
    pub number: LaneNumber,
    /// What its outcomes are written under.
    pub fence: i64,
    pub health: Health,
}

pub struct Lane {
    shared: Arc<Shared>,
    fence: i64,
    receiver: Receiver,
    state: State,
    live: Source,
    behind: Source,
    /// Polled by the lane's own task: handing each request to another would cost more than most of what it does.
    in_flight: FuturesUnordered<BoxFuture<'static, Sent>>,
    meter: Arc<Meter>,
    /// Its success closes the breaker; when that is on disk, all that waits is due.
    reviving: Option<DeliveryId>,
    /// Its failure opened the breaker, and that is not on disk yet.
    opening: Option<DeliveryId>,
    /// What is stored of the health is what it is; an edit may have crossed with an outcome on its way.
    is_health_told: bool,
    is_stopping: bool,
}

/// An attempt that was answered.
struct Sent {
    next: Next,
    exchanged: Exchanged,
    started_at: Timestamp,
    duration: Duration,
}

impl Lane {
    pub fn new(shared: Arc<Shared>, start: Start) -> Self {
        let Start { endpoint, number, fence, health } = start;
        let source = |is_behind| Source::new(shared.clone(), Owed { endpoint: endpoint.id, lane: number, is_behind });
        let now = now(&shared);
        Self {
            receiver: receiver(&endpoint, &shared),
            live: source(false),
            behind: source(true),
            in_flight: FuturesUnordered::new(),
            meter: shared.monitor.meter(endpoint.id),
            reviving: None,
            opening: None,
            is_health_told: true,
            is_stopping: false,
            state: State::new(endpoint, health, now),
            shared,
            fence,
        }
    }

    pub async fn run(mut self, mut messages: Inbox) {
        loop {
            if self.is_sending() {
                let (format, is_open) = (self.endpoint().settings.format.of_event(), self.state.breaker.is_open());
                self.live.read_page(&mut self.state.live, format, is_open);
                self.behind.read_page(&mut self.state.behind, format, is_open);
            }
            self.send_what_is_due();
            if self.is_stopping && self.in_flight.is_empty() && self.state.unrecorded() == 0 {
                return;
            }
            let nap = self.nap();
            tokio::select! {
                Some(sent) = self.in_flight.next() => self.settle_all(sent),
                message = messages.recv() => match message {
                    Some(message) => self.receive(message),
                    None => return,
                },
                page = self.live.page() => {
                    let State { endpoint, live, breaker, .. } = &mut self.state;
                    self.live.take_page(live, page, endpoint, breaker.is_open());
                }
                page = self.behind.page() => {
                    let State { endpoint, behind, breaker, .. } = &mut self.state;
                    self.behind.take_page(behind, page, endpoint, breaker.is_open());
                }
                // Made only where it is waited for.
                () = async { self.shared.clock.sleep(nap.unwrap_or_default()).await }, if nap.is_some() => {}
            }
        }
    }

    fn endpoint(&self) -> &Arc<Endpoint> {
        &self.state.endpoint
    }

    fn is_sending(&self) -> bool {
        !self.is_stopping
            && self.endpoint().state == EndpointState::Enabled
            && matches!(self.receiver, Receiver::Usable(_))
    }

    /// How long there is nothing to do unless something happens; `None`: for ever.
    fn nap(&self) -> Option<Duration> {
        if !self.is_sending() {
            return None;
        }
        let (state, now) = (&self.state, self.shared.clock.monotonic());
        // What could be sent waits for this, and nothing else would wake the lane.
        let permit = if self.shared.permit.holds() { Duration::ZERO } else { PERMIT_LOOK };
        let gate = state.gate(now).map(|gate| gate.max(permit));
        // Before that, being due does not count.
        let is_waiting = gate.is_some();
        let due = [&state.live, &state.behind].map(|window| state.next_due(window, now).filter(|_| !is_waiting));
        let looks = [self.live.next_look(&state.live, now), self.behind.next_look(&state.behind, now)];
        let naps = due.into_iter().chain(looks).flatten().chain(gate);
        naps.min().map(|nap| nap.max(Duration::from_millis(1)))
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Offer(pending) => self.state.live.offer(pending, self.shared.clock.monotonic()),
            Message::FallBehind => {
                self.state.live.fall_behind();
                self.state.behind.fall_behind();
            }
            Message::Recorded(ids) => self.forget(ids),
            Message::Endpoint(endpoint, health) => self.set_up(endpoint, health),
            Message::Stop => self.is_stopping = true,
        }
    }

    fn forget(&mut self, ids: Vec<DeliveryId>) {
        for id in ids {
            self.state.live.recorded(id);
            self.state.behind.recorded(id);
            if self.opening == Some(id) {
                self.opening = None;
            }
            if self.reviving == Some(id) {
                self.reviving = None;
                self.begin_anew();
            }
        }
    }

    fn begin_anew(&mut self) {
        let limits = Limits::of(&self.endpoint().settings);
        self.live.clear(&mut self.state.live, limits);
        self.behind.clear(&mut self.state.behind, limits);
    }

    /// Goes on with the endpoint as it is now: what waits may have been cancelled meanwhile, or is to wait differently,
    /// and the database knows.
    fn set_up(&mut self, endpoint: Arc<Endpoint>, stored: Health) {
        self.receiver = receiver(&endpoint, &self.shared);
        // A test that succeeded closes the breaker where it is stored.
        let is_closed = self.state.breaker.is_open() && !stored.is_open() && self.opening.is_none();
        self.state.set_up(endpoint, stored, is_closed, now(&self.shared));
        self.is_health_told = false;
        self.begin_anew();
    }

    fn send_what_is_due(&mut self) {
        let Receiver::Usable(client) = &self.receiver else { return };
        let client = client.clone();
        while self.is_sending() && self.shared.permit.holds() {
            let Some(next) = self.state.next(self.shared.clock.monotonic()) else { return };
            let (client, clock) = (client.clone(), self.shared.clock.clone());
            let format = self.endpoint().settings.format.of_event();
            let endpoint = self.endpoint().id;
            let held = self.meter.begin();
            self.in_flight.push(Box::pin(async move {
                let _held = held;
                let started_at = clock.now();
                let start = clock.monotonic();
                let pending = &next.taken.pending;
                let request = async {
                    let id = pending.event.id.text();
                    let message = target::message(&pending.event, &id, format, pending.attempt_count + 1);
                    kill_point!("request.before");
                    traced::exchange(&client, endpoint, &message, started_at, false).await
                };
                // A request that panics must not take the lane, and all that it has under way, along.
                let exchanged = AssertUnwindSafe(request).catch_unwind().await;
                let exchanged = exchanged.unwrap_or_else(|_| {
                    let message = "the request could not be made; the server's log says why";
                    let answer = Answer::failed(ErrorClass::Request, message);
                    Exchanged { answer, request_headers: String::new() }
                });
                let duration = clock.monotonic().saturating_sub(start);
                Sent { next, exchanged, started_at, duration }
            }));
        }
    }

    /// This answer, and all others that are there.
    fn settle_all(&mut self, first: Sent) {
        self.settle(first);
        while let Some(Some(sent)) = self.in_flight.next().now_or_never() {
            self.settle(sent);
        }
    }

    /// Has decided what an answer means, and the outcome written.
    fn settle(&mut self, sent: Sent) {
        kill_point!("answer.unrecorded");
        let Sent { next, exchanged, started_at, duration } = sent;
        let answer = &exchanged.answer;
        self.meter.answered(answer.class(), duration);
        let now = now(&self.shared);
        if let Some(want) = answer.own_want() {
            let rest = self.state.untake(&next, now.mono);
            tracing::warn!(
                endpoint = %self.endpoint().id, seconds = rest.as_secs_f64(),
                "nothing can be sent for want of the server's own: {want}"
            );
            return;
        }
        let ids = self.shared.ids.clone();
        let settled = self.state.settle(&next, answer, now, &|| ids.next());
        let id = next.taken.pending.id;
        match settled.health_change {
            Some(HealthChange::Recovered { .. }) => {
                self.reviving = Some(id);
                // Until that is on disk, what has failed keeps to its schedule.
                self.begin_anew();
            }
            Some(HealthChange::Failing { .. }) => {
                self.opening = Some(id);
                // What has let its experiment pass takes its place again, and what is due late may be tried before.
                self.begin_anew();
                self.meter.breaker_openings.add(1);
            }
            _ => {}
        }
        if settled.is_gone {
            // The registry will say so; until then nothing more is sent.
            let endpoint = Endpoint { state: EndpointState::Disabled, ..(**self.endpoint()).clone() };
            self.state.endpoint = Arc::new(endpoint);
        }
        let source = if next.is_behind { &self.behind } else { &self.live };
        let outcome = Outcome {
            position: source.owed.position(next.taken.pending.cursor()),
            attempt: attempt(settled.number, started_at, duration, exchanged),
            state: settled.state,
            failure_count: settled.failure_count,
            due_at: settled.due_at,
            ended_at: (settled.state != DeliveryState::Pending).then_some(now.wall),
        };
        let health = (settled.has_new_health || !self.is_health_told).then(|| self.state.breaker.health.clone());
        self.is_health_told = true;
        let is_pressing = self.state.is_pressing();
        let (endpoint_id, fence, endpoint_version) = (self.endpoint().id, self.fence, self.endpoint().version);
        let health_change = settled.health_change;
        let report =
            Box::new(Report { endpoint_id, fence, endpoint_version, outcome, health, health_change, is_pressing });
        self.shared.monitor.unrecorded.add(1);
        // The recorder outlives every lane.
        let _ = self.shared.reports.send(report);
    }
}

/// Who is sent to; or, counted as long as this is held and told where people look, nobody: nothing can be sent as the endpoint
/// is stored, by an earlier version perhaps.
enum Receiver {
    Usable(Arc<Client>),
    Unusable(#[expect(dead_code, reason = "held for what its drop does")] Held),
}

fn receiver(endpoint: &Endpoint, shared: &Shared) -> Receiver {
    match target::client(endpoint, &shared.outbound) {
        Ok(client) => Receiver::Usable(client),
        Err(problem) => {
            let (registry, id, reason) = (shared.registry.clone(), endpoint.id, problem.to_string());
            tracing::error!(%problem, endpoint = %id, "the endpoint cannot be sent to; edit it");
            tokio::spawn(async move {
                if let Err(error) = registry.note_unusable(id, reason).await {
                    tracing::warn!(%error, endpoint = %id, "that it cannot be sent to is not in its history");
                }
            });
            Receiver::Unusable(shared.monitor.unusable.hold())
        }
    }
}

fn now(shared: &Shared) -> Now {
    Now { mono: shared.clock.monotonic(), wall: shared.clock.now(), lived: shared.registry.lived() }
}

pub fn attempt(number: u32, started_at: Timestamp, duration: Duration, exchanged: Exchanged) -> Attempt {
    let Exchanged { answer, request_headers } = exchanged;
    let is_success = answer.is_success();
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    let base = Attempt {
        number,
        started_at,
        duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        status_code: None,
        error_class: answer.class().map(|class| class.as_str().to_owned()),
        error: None,
        request_headers: said(request_headers),
        response_headers: None,
        response_body: None,
    };
    match answer {
        Answer::Status { code, headers, body, .. } => Attempt {
            status_code: Some(code.into()),
            error: (!is_success)
                .then(|| format!("the receiver answered {code}; a status from 200 to 299 is a success")),
            response_headers: said(headers),
            response_body: said(body),
            ..base
        },
        Answer::Failed { message, .. } => Attempt { error: Some(message), ..base },
    }
}
