//! A lane: the ordered stream of deliveries to one endpoint. One task owns it, so nothing in it needs a lock, and a
//! delivery needs no claim. A lane knows only its own endpoint: a dead one costs the others nothing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Shared;
use super::answer::{Answer, ErrorClass};
use super::client::Client;
use super::mailbox::Inbox;
use super::monitor::Meter;
use super::rate::Rate;
use super::source::Source;
use super::target;
use super::verdict::{self, Answered, Place};
use super::window::{Limits, Taken};
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, EndpointState};
use crate::health::{Health, LONGEST_PAUSE, LONGEST_PROBE, Turn};
use crate::id::{DeliveryId, LaneNumber};
use crate::kill_point;
use crate::registry::Report;
use crate::store::deliveries::DeliveryState;
use crate::store::outcomes::{Attempt, Outcome};
use crate::store::pending::{Owed, Pending};

/// While live deliveries never end, one in so many that are sent is of those that come behind.
const BEHIND_TURN: u32 = 8;
/// How soon a lane whose node may not send looks whether it may again.
const LICENSE_LOOK: Duration = Duration::from_millis(250);
/// Answered and not yet on disk: with what is in flight, the most that a crash sends again. An endpoint that takes many
/// requests at once gets so many for each of them, for else it waits for the disk more than for its receiver.
const UNRECORDED: usize = 256;
const UNRECORDED_FOR_EACH: usize = 32;
const MOST_UNRECORDED: usize = 2048;

pub enum Message {
    Offer(Pending),
    /// Hints were lost, or may have been.
    FallBehind,
    Recorded(Vec<DeliveryId>),
    Endpoint(Arc<Endpoint>),
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
    endpoint: Arc<Endpoint>,
    fence: i64,
    client: Option<Arc<Client>>,
    live: Source,
    behind: Source,
    /// Polled by the lane's own task: handing each request to another would cost more than most of what it does.
    in_flight: FuturesUnordered<BoxFuture<'static, Sent>>,
    rate: Rate,
    meter: Arc<Meter>,
    health: Health,
    /// Probes that have failed since the breaker opened.
    probes: u32,
    /// Nothing is sent before: the receiver asked for a pause, or the next probe is not due.
    resume_at: Option<Duration>,
    /// Its success closes the breaker; when that is on disk, all that waits is due.
    reviving: Option<DeliveryId>,
    /// What is stored of the health is what it is; an edit may have crossed with an outcome on its way.
    is_health_told: bool,
    /// Sent since the last one of those that come behind.
    turns: u32,
    is_stopping: bool,
}

/// An attempt that was answered.
struct Sent {
    taken: Taken,
    is_behind: bool,
    is_probe: bool,
    answer: Answer,
    started_at: Timestamp,
    duration: Duration,
}

impl Lane {
    pub fn new(shared: Arc<Shared>, start: Start) -> Self {
        let Start { endpoint, number, fence, health } = start;
        let source = |is_behind| {
            let owed = Owed { endpoint: endpoint.id, lane: number, is_behind };
            Source::new(shared.clone(), owed, Limits::of(&endpoint.settings))
        };
        let (now, wall) = (shared.clock.monotonic(), shared.clock.now());
        let ahead = |at: Option<Timestamp>, longest: Duration| at.map(|at| now + at.since(wall).min(longest));
        // Wall time was stored; from here on only the monotonic clock counts, whatever the other does.
        let resume_at = ahead(health.probe_at, LONGEST_PROBE).max(ahead(health.paused_until, LONGEST_PAUSE));
        Self {
            client: target::connect(&endpoint, &shared.outbound),
            live: source(false),
            behind: source(true),
            in_flight: FuturesUnordered::new(),
            rate: Rate::per_second(endpoint.settings.rate_limit),
            meter: shared.monitor.meter(endpoint.id),
            health,
            probes: 0,
            resume_at,
            reviving: None,
            is_health_told: true,
            turns: 0,
            is_stopping: false,
            shared,
            endpoint,
            fence,
        }
    }

    pub async fn run(mut self, mut messages: Inbox) {
        loop {
            if self.is_sending() {
                let format = self.endpoint.settings.format;
                self.live.read_page(format);
                self.behind.read_page(format);
            }
            self.send_what_is_due();
            if self.is_stopping && self.in_flight.is_empty() && self.unrecorded() == 0 {
                return;
            }
            let nap = self.nap();
            tokio::select! {
                Some(sent) = self.in_flight.next() => self.settle_all(sent),
                message = messages.recv() => match message {
                    Some(message) => self.receive(message),
                    None => return,
                },
                page = self.live.page() => self.live.take_page(page, &self.endpoint),
                page = self.behind.page() => self.behind.take_page(page, &self.endpoint),
                () = tokio::time::sleep(nap.unwrap_or_default()), if nap.is_some() => {}
            }
        }
    }

    fn is_sending(&self) -> bool {
        !self.is_stopping && self.endpoint.state == EndpointState::Enabled && self.client.is_some()
    }

    fn unrecorded(&self) -> usize {
        self.live.window.unrecorded() + self.behind.window.unrecorded()
    }

    fn max_in_flight(&self) -> usize {
        usize::try_from(self.endpoint.settings.max_in_flight).unwrap_or(usize::MAX)
    }

    fn most_unrecorded(&self) -> usize {
        self.max_in_flight().saturating_mul(UNRECORDED_FOR_EACH).clamp(UNRECORDED, MOST_UNRECORDED)
    }

    fn is_full(&self) -> bool {
        self.in_flight.len() >= self.max_in_flight() || self.unrecorded() >= self.most_unrecorded()
    }

    /// How long there is nothing to do unless something happens; `None`: for ever.
    fn nap(&self) -> Option<Duration> {
        if !self.is_sending() {
            return None;
        }
        let now = self.shared.clock.monotonic();
        let is_full = self.is_full() || (self.health.is_open() && !self.in_flight.is_empty());
        let has_due = self.live.window.has_due(now) || self.behind.window.has_due(now);
        // What is due waits for this, and nothing else would wake the lane.
        let gate = (has_due && !is_full).then(|| {
            let open_at = self.rate.next_at().max(self.resume_at.unwrap_or_default());
            let license = if self.shared.license.holds() { Duration::ZERO } else { LICENSE_LOOK };
            open_at.saturating_sub(now).max(license)
        });
        // Before that, being due does not count.
        let waits = is_full || gate.is_some();
        let sources = [self.live.nap(now, waits), self.behind.nap(now, waits)];
        sources.into_iter().flatten().chain(gate).min().map(|nap| nap.max(Duration::from_millis(1)))
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Offer(pending) => self.live.window.offer(pending, self.shared.clock.monotonic()),
            Message::FallBehind => {
                self.live.window.fall_behind();
                self.behind.window.fall_behind();
            }
            Message::Recorded(ids) => self.forget(ids),
            Message::Endpoint(endpoint) => self.set_up(endpoint),
            Message::Stop => self.is_stopping = true,
        }
    }

    fn forget(&mut self, ids: Vec<DeliveryId>) {
        for id in ids {
            self.live.recorded(id);
            self.behind.recorded(id);
            if self.reviving == Some(id) {
                self.reviving = None;
                self.begin_anew();
            }
        }
    }

    fn begin_anew(&mut self) {
        self.live.clear(Limits::of(&self.endpoint.settings));
        self.behind.clear(Limits::of(&self.endpoint.settings));
    }

    /// Goes on with the endpoint as it is now: what waits may have been cancelled meanwhile, or is to wait differently,
    /// and the database knows. Whoever edits an endpoint that fails wants to know at once whether it is mended.
    fn set_up(&mut self, endpoint: Arc<Endpoint>) {
        self.client = target::connect(&endpoint, &self.shared.outbound);
        self.rate = Rate::per_second(endpoint.settings.rate_limit);
        if self.endpoint.state != EndpointState::Enabled {
            (self.health, self.probes) = (Health::default(), 0);
        }
        if self.endpoint.version != endpoint.version {
            self.resume_at = None;
            self.health.paused_until = None;
        }
        self.is_health_told = false;
        self.endpoint = endpoint;
        self.begin_anew();
    }

    fn send_what_is_due(&mut self) {
        let Some(client) = self.client.clone() else { return };
        while self.is_sending() && !self.is_full() && self.shared.license.holds() {
            let now = self.shared.clock.monotonic();
            let is_probe = self.health.is_open();
            if self.resume_at.is_some_and(|at| at > now) || (is_probe && !self.in_flight.is_empty()) {
                return;
            }
            if self.rate.next_at() > now {
                return;
            }
            let Some((taken, is_behind)) = self.take(now) else { return };
            self.resume_at = None;
            self.rate.count(now);
            let (client, clock, format) = (client.clone(), self.shared.clock.clone(), self.endpoint.settings.format);
            let held = self.meter.begin();
            self.in_flight.push(Box::pin(async move {
                let _held = held;
                let started_at = clock.now();
                let start = clock.monotonic();
                let request = async {
                    let id = taken.pending.event.id.text();
                    let message = target::message(&taken.pending.event, &id, format, taken.pending.attempt_count + 1);
                    kill_point!("request.before");
                    client.send(&message, started_at).await
                };
                // A request that panics must not take the lane, and all that it has under way, along.
                let answer = AssertUnwindSafe(request).catch_unwind().await;
                let answer = answer.unwrap_or_else(|_| {
                    Answer::failed(ErrorClass::Request, "the request could not be made; the server's log says why")
                });
                let duration = clock.monotonic().saturating_sub(start);
                Sent { taken, is_behind, is_probe, answer, started_at, duration }
            }));
        }
    }

    /// The next to send, and whether it is of those that come behind: these when nothing else is due, and now and then
    /// when live deliveries never end.
    fn take(&mut self, now: Duration) -> Option<(Taken, bool)> {
        let is_their_turn = self.turns >= BEHIND_TURN;
        let first = if is_their_turn { self.behind.take(now).map(|taken| (taken, true)) } else { None };
        let taken = first
            .or_else(|| self.live.take(now).map(|taken| (taken, false)))
            .or_else(|| self.behind.take(now).map(|taken| (taken, true)))?;
        self.turns = if taken.1 { 0 } else { self.turns.saturating_add(1) };
        Some(taken)
    }

    /// This answer, and all others that are there.
    fn settle_all(&mut self, first: Sent) {
        self.settle(first);
        while let Some(Some(sent)) = self.in_flight.next().now_or_never() {
            self.settle(sent);
        }
    }

    /// Decides what an answer means, lets the next of the experiment go, and has the outcome written.
    fn settle(&mut self, sent: Sent) {
        kill_point!("answer.unrecorded");
        let Sent { taken, is_behind, is_probe, answer, started_at, duration } = sent;
        self.meter.answered(answer.class(), duration);
        let (now, mono) = (self.shared.clock.now(), self.shared.clock.monotonic());
        let before = self.health.clone();
        let random = || self.shared.ids.next();
        let answered =
            Answered { pending: &taken.pending, answer: &answer, is_probe, probes: self.probes, now, random: &random };
        let verdict = verdict::reach(&answered, &self.endpoint.settings, &mut self.health);
        self.follow(&verdict, is_probe, now, mono);
        let number = taken.pending.attempt_count + 1;
        let (state, delay) = match verdict.place {
            Place::Ended(state) => (state, None),
            Place::Retry(delay) => (DeliveryState::Pending, Some(delay)),
            // Due as it was: the lane waits, and so does all of its experiment, also after a restart.
            Place::Front => (DeliveryState::Pending, None),
        };
        let due_at = delay.map_or(taken.pending.due_at, |delay| now.plus(delay));
        let failure_count = verdict.failure_count;
        let pending = Pending { attempt_count: number, failure_count, due_at, ..taken.pending.clone() };
        let id = pending.id;
        let source = if is_behind { &mut self.behind } else { &mut self.live };
        match verdict.place {
            Place::Ended(_) => source.window.settle(&taken, None, mono),
            Place::Retry(delay) => source.window.settle(&taken, Some((pending, delay)), mono),
            Place::Front => source.window.put_back(&taken, pending),
        }
        match verdict.turn {
            Some(Turn::Recovered) => self.reviving = Some(id),
            Some(Turn::Failing { .. }) => self.meter.breaker_openings.add(1),
            _ => {}
        }
        let outcome = Outcome {
            key: source.owed.key(taken.pending.place()),
            attempt: attempt(number, started_at, duration, answer),
            state,
            failure_count,
            due_at,
            ended_at: (state != DeliveryState::Pending).then_some(now),
        };
        let health = (self.health != before || !self.is_health_told).then(|| self.health.clone());
        self.is_health_told = true;
        // The lane goes on sending while the first half of what it may have unrecorded is written.
        let is_pressing = 2 * self.unrecorded() >= self.most_unrecorded();
        let (endpoint_id, fence, endpoint_version) = (self.endpoint.id, self.fence, self.endpoint.version);
        let turn = verdict.turn;
        let report = Box::new(Report { endpoint_id, fence, endpoint_version, outcome, health, turn, is_pressing });
        self.shared.monitor.unrecorded.add(1);
        // The recorder outlives every lane.
        let _ = self.shared.reports.send(report);
    }

    /// What the answer means for the lane as a whole.
    fn follow(&mut self, verdict: &verdict::Verdict, is_probe: bool, now: Timestamp, mono: Duration) {
        if verdict.is_gone {
            // The registry will say so; until then nothing more is sent.
            self.endpoint = Arc::new(Endpoint { state: EndpointState::Disabled, ..(*self.endpoint).clone() });
            return;
        }
        if verdict.turn == Some(Turn::Recovered) {
            self.resume_at = self.health.paused_until.map(|until| mono + until.since(now));
        }
        match self.health.probe_at {
            Some(at) => {
                self.probes += u32::from(is_probe && verdict.pause.is_none());
                self.resume_at = self.resume_at.max(Some(mono + at.since(now)));
            }
            None => self.probes = 0,
        }
        if let Some(pause) = verdict.pause {
            self.resume_at = self.resume_at.max(Some(mono + pause));
        }
    }
}

pub fn attempt(number: u32, started_at: Timestamp, duration: Duration, answer: Answer) -> Attempt {
    let is_success = answer.is_success();
    let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let class = answer.class().map(|class| class.as_str().to_owned());
    let base = Attempt {
        number,
        started_at,
        duration_us,
        status_code: None,
        error_class: class,
        error: None,
        response_body: None,
    };
    match answer {
        Answer::Status { code, body, .. } => Attempt {
            status_code: Some(code.into()),
            error: (!is_success)
                .then(|| format!("the receiver answered {code}; a status from 200 to 299 is a success")),
            response_body: Some(body).filter(|body| !body.is_empty()),
            ..base
        },
        Answer::Failed { message, .. } => Attempt { error: Some(message), ..base },
    }
}
