//! What a lane decides: which delivery is sent next, when, and where one stands after its answer. Pure: no clock, no network,
//! no store. Time, chance and answers come in.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Breaker, Noted};
use super::judgement::{self, Answered, Onward};
use super::rate::Rate;
use super::window::{Limits, Retry, Taken, Window};
use crate::delivery::transport::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::{Endpoint, EndpointState};
use crate::domain::health::{Health, HealthChange};
use crate::store::pending::Pending;

/// A point on the lane's monotonic clock.
type Moment = Duration;

/// While live deliveries never end, one in so many that are sent is of those that come behind.
const BEHIND_TURN: u32 = 8;
/// Answered and not yet on disk: with what is in flight, the most that a crash sends again. An endpoint that takes many
/// requests at once gets so many for each of them, for else it waits for the disk more than for its receiver.
const UNRECORDED: usize = 256;
const UNRECORDED_FOR_EACH: usize = 32;
const MOST_UNRECORDED: usize = 2048;
/// How long a lane rests that could not send for want of the server's own: so long, and twice as long each time.
const FIRST_REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(30);

pub struct State {
    pub endpoint: Arc<Endpoint>,
    pub live: Window,
    pub behind: Window,
    pub breaker: Breaker,
    rate: Rate,
    in_flight: usize,
    /// Live deliveries sent since the last that came behind.
    turns: u32,
    /// The server was short of something of its own: until when the lane rests, and how often in a row that was so.
    rest: Option<(Moment, u32)>,
}

/// What is to be sent.
#[derive(Debug, Clone)]
pub struct Next {
    pub taken: Taken,
    /// It is of those that come behind.
    pub is_behind: bool,
    /// It is sent while the breaker is open.
    pub is_probe: bool,
}

/// When an answer came, by both clocks, and how long the installation has lived.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub mono: Moment,
    pub wall: Timestamp,
    pub lived: Duration,
}

/// Where a delivery stands after an answer, and what that means for its endpoint.
#[derive(Debug)]
pub struct Settled {
    /// Of the attempt.
    pub number: u32,
    pub state: DeliveryState,
    pub failure_count: u32,
    pub due_at: Timestamp,
    pub health_change: Option<HealthChange>,
    /// The receiver wants nothing any more.
    pub is_gone: bool,
    /// The endpoint's health has changed.
    pub has_new_health: bool,
}

impl State {
    pub fn new(endpoint: Arc<Endpoint>, health: Health, now: Now) -> Self {
        let limits = Limits::of(&endpoint.settings);
        Self {
            live: Window::new(limits),
            behind: Window::new(limits),
            breaker: Breaker::resume(health, now.mono, now.wall),
            rate: Rate::per_second(endpoint.settings.rate_limit),
            in_flight: 0,
            turns: 0,
            rest: None,
            endpoint,
        }
    }

    /// Goes on with the endpoint as it is stored now. `is_closed`: its breaker was closed by hand, as `stored` says.
    pub fn set_up(&mut self, endpoint: Arc<Endpoint>, stored: Health, is_closed: bool, now: Now) {
        if self.endpoint.state != EndpointState::Enabled || is_closed {
            self.breaker.take_over(stored, now.mono, now.wall);
        } else if self.endpoint.version != endpoint.version {
            self.breaker.try_at_once();
        }
        self.rate = Rate::per_second(endpoint.settings.rate_limit);
        self.rest = None;
        self.endpoint = endpoint;
    }

    pub fn window(&mut self, is_behind: bool) -> &mut Window {
        if is_behind { &mut self.behind } else { &mut self.live }
    }

    pub fn unrecorded(&self) -> usize {
        self.live.unrecorded() + self.behind.unrecorded()
    }

    /// Answers are to be written soon, or the lane will have to wait for them: it goes on sending while the first half of
    /// what it may have unrecorded is written.
    pub fn is_pressing(&self) -> bool {
        2 * self.unrecorded() >= self.most_unrecorded()
    }

    fn max_in_flight(&self) -> usize {
        usize::try_from(self.endpoint.settings.max_in_flight).unwrap_or(usize::MAX)
    }

    fn most_unrecorded(&self) -> usize {
        self.max_in_flight().saturating_mul(UNRECORDED_FOR_EACH).clamp(UNRECORDED, MOST_UNRECORDED)
    }

    fn is_full(&self) -> bool {
        let most = if self.breaker.is_open() { 1 } else { self.max_in_flight() };
        self.in_flight >= most || self.unrecorded() >= self.most_unrecorded()
    }

    /// From when on the next request may go, if there is one to send.
    fn opens_at(&self) -> Moment {
        let has_fresh = self.breaker.is_open() && self.breaker.has_one_suspect() && {
            let has_fresh = |window: &Window| window.best_probe(|pending| Some(pending.attempt_count)) == Some(0);
            has_fresh(&self.live) || has_fresh(&self.behind)
        };
        let rest = self.rest.map_or(Duration::ZERO, |(until, _)| until);
        self.breaker.opens_at(has_fresh).max(self.rate.next_at()).max(rest)
    }

    /// How long it is until something could be sent; `None`: nothing waits for that alone.
    pub fn gate(&self, now: Moment) -> Option<Duration> {
        if self.is_full() {
            return None;
        }
        let has_due = |window: &Window| {
            if self.breaker.is_open() {
                window.best_probe(|pending| self.breaker.may_try(pending, now).then_some(())).is_some()
            } else {
                window.has_due(now)
            }
        };
        (has_due(&self.live) || has_due(&self.behind)).then(|| self.opens_at().saturating_sub(now))
    }

    /// How long it is until something is due by its own time; `None` where that is not what the lane waits for.
    pub fn next_due(&self, window: &Window, now: Moment) -> Option<Duration> {
        let due = if self.breaker.is_open() { self.breaker.next_asked(now) } else { window.next_due() };
        due.filter(|_| !self.is_full()).map(|at| at.saturating_sub(now))
    }

    /// The next to send, if one may go at `now`.
    pub fn next(&mut self, now: Moment) -> Option<Next> {
        if self.is_full() {
            return None;
        }
        let is_probe = self.breaker.is_open();
        if is_probe && self.breaker.lets_pass() {
            self.live.release_held(now);
            self.behind.release_held(now);
        }
        if self.opens_at() > now {
            return None;
        }
        let (taken, is_behind) = if is_probe { self.take_probe(now)? } else { self.take(now)? };
        self.rate.count(now);
        self.in_flight += 1;
        Some(Next { taken, is_behind, is_probe })
    }

    /// Those that come behind when nothing else is due, and now and then when live deliveries never end.
    fn take(&mut self, now: Moment) -> Option<(Taken, bool)> {
        let is_their_turn = self.turns >= BEHIND_TURN;
        let first = if is_their_turn { self.behind.take(now).map(|taken| (taken, true)) } else { None };
        let taken = first
            .or_else(|| self.live.take(now).map(|taken| (taken, false)))
            .or_else(|| self.behind.take(now).map(|taken| (taken, true)))?;
        self.turns = if taken.1 { 0 } else { self.turns.saturating_add(1) };
        Some(taken)
    }

    fn take_probe(&mut self, now: Moment) -> Option<(Taken, bool)> {
        let rank = |pending: &Pending| self.breaker.may_try(pending, now).then(|| self.breaker.rank(pending));
        let (live, behind) = (self.live.best_probe(rank), self.behind.best_probe(rank));
        let is_behind = live.is_none_or(|live| behind.is_some_and(|behind| behind < live));
        let window = if is_behind { &mut self.behind } else { &mut self.live };
        Some((window.take_probe(rank)?, is_behind))
    }

    /// No request was made for want of something of the server's own, which is nobody's fault: all is as before, and the
    /// lane rests a little. Tells for how long.
    pub fn untake(&mut self, next: &Next, now: Moment) -> Duration {
        self.in_flight -= 1;
        let times = self.rest.map_or(0, |(_, times)| times);
        let rest = FIRST_REST.saturating_mul(1 << times.min(10)).min(LONGEST_REST);
        // What was under way beside it, and failed for the same reason, does not make the rest longer.
        if self.rest.is_none_or(|(until, _)| until <= now) {
            self.rest = Some((now + rest, times + 1));
        }
        self.window(next.is_behind).untake(&next.taken, now);
        rest
    }

    /// Decides what an answer means, and lets the next of its experiment go.
    pub fn settle(&mut self, next: &Next, answer: &Answer, now: Now, random: &dyn Fn() -> u128) -> Settled {
        self.in_flight -= 1;
        self.rest = None;
        let Next { taken, is_behind, is_probe } = next;
        let before = self.breaker.health.clone();
        let answered = Answered {
            pending: &taken.pending,
            answer,
            is_probe: *is_probe,
            is_charged: self.breaker.charges(taken.pending.id),
            probes: self.breaker.probes,
            now: now.wall,
            lived: now.lived,
            random,
        };
        let mut judgement = judgement::reach(&answered, &self.endpoint.settings, &mut self.breaker.health);
        let (is_success, blames_event) = (answer.is_success(), answer.may_be_of_event());
        self.breaker.probes += u32::from(*is_probe && !is_success && judgement.pause.is_none());
        let noted =
            Noted { pending: &taken.pending, is_probe: *is_probe, is_success, blames_event, pause: judgement.pause };
        self.breaker.note(noted, now.mono, now.wall);
        if let Some(HealthChange::Recovered { frees }) = &mut judgement.health_change {
            *frees = self.breaker.close(now.mono);
        }
        let delay = match judgement.place {
            Onward::Retry { after, .. } => Some(after),
            // Due as it was: the lane waits, and so does all of its experiment, also after a restart.
            Onward::Ended(_) | Onward::Front { .. } => None,
        };
        let number = taken.pending.attempt_count + 1;
        let due_at = delay.map_or(taken.pending.due_at, |delay| now.wall.plus(delay));
        let failure_count = judgement.failure_count;
        let pending = Pending { attempt_count: number, failure_count, due_at, ..taken.pending.clone() };
        let state = match judgement.place {
            Onward::Ended(state) => state,
            _ => DeliveryState::Pending,
        };
        match judgement.place {
            Onward::Ended(_) => self.breaker.forget(pending.id),
            Onward::Retry { after, is_asked: true } => self.breaker.ask(pending.id, now.mono + after),
            _ => {}
        }
        let window = self.window(*is_behind);
        match judgement.place {
            Onward::Ended(_) => window.settle(taken, None, now.mono),
            Onward::Retry { after, .. } => window.settle(taken, Some(Retry { pending, delay: after }), now.mono),
            Onward::Front { is_holding } => window.put_back(taken, pending, is_holding, now.mono),
        }
        let has_new_health = self.breaker.health != before;
        let (health_change, is_gone) = (judgement.health_change, judgement.is_gone);
        Settled { number, state, failure_count, due_at, health_change, is_gone, has_new_health }
    }
}

#[cfg(test)]
pub(in crate::delivery) mod tests;
