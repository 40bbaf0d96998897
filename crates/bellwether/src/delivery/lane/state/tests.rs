//! A lane's decisions over days, by a clock that jumps from one moment to the next at which something is due: against
//! receivers that are down, that refuse one event, or that know another secret.

use std::collections::BTreeMap;

use bellwether_webhook::EventType;
use serde_json::json;

use super::*;
use crate::delivery::lane::window::Due;
use crate::delivery::transport::error::ErrorClass;
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EndpointId, EventId, ExperimentId};
use crate::domain::signing::{Keys, Signing};
use crate::domain::topic::Topic;

const WALL: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

pub fn pending(experiment_id: ExperimentId, revision: i64) -> Pending {
    let number = (experiment_id as u128) << 64 | revision as u128;
    Pending {
        id: DeliveryId::of(number),
        is_resent: false,
        attempt_count: 0,
        failure_count: 0,
        due_at: WALL,
        event: Arc::new(Event {
            id: EventId::of(number),
            experiment_id,
            revision,
            topic: Topic::Experiment(EventType::StatusUpdated),
            occurred_at: WALL,
            data: String::new(),
            detailed: String::new(),
        }),
    }
}

fn endpoint(settings: serde_json::Value) -> Arc<Endpoint> {
    let mut fields = json!({"url": "https://example.com"});
    fields.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    Arc::new(Endpoint {
        id: EndpointId::of(1),
        settings: serde_json::from_value(fields).unwrap(),
        signing: Signing::with(Keys { secret: "s3cret-of-theirs".to_owned(), seed: None }),
        state: EndpointState::Enabled,
        disabled_reason: None,
        version: 1,
        created_at: WALL,
        updated_at: WALL,
    })
}

fn status(code: u16) -> Answer {
    Answer::Status { code, retry_after: None, headers: String::new(), body: String::new() }
}

fn refused() -> Answer {
    Answer::Failed { class: ErrorClass::Connect, message: "refused".to_owned() }
}

type Spot = (ExperimentId, i64);

/// What was sent, when, and what came of it.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    second: u64,
    place: Spot,
    is_success: bool,
}

/// A lane with its database, in which everything is on disk at once.
struct Lane {
    state: State,
    now: Duration,
    database: BTreeMap<Spot, Pending>,
    sent: Vec<Sent>,
    exhausted: Vec<Spot>,
    health_changes: Vec<HealthChange>,
}

impl Lane {
    fn with(settings: serde_json::Value) -> Self {
        let now = Now { mono: Duration::ZERO, wall: WALL, lived: Duration::ZERO };
        let state = State::new(endpoint(settings), Health::default(), now);
        let (database, sent, exhausted, health_changes) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        Self { state, now: Duration::ZERO, database, sent, exhausted, health_changes }
    }

    fn wall(&self) -> Timestamp {
        WALL.plus(self.now)
    }

    fn owe(&mut self, experiment: ExperimentId, revision: i64) {
        let pending = pending(experiment, revision);
        self.database.insert((experiment, revision), pending.clone());
        self.state.live.offer(pending, self.now);
    }

    /// Reads pages as `source` does.
    fn read(&mut self) {
        let is_open = self.state.breaker.is_open();
        let wall = self.wall();
        let settings = self.state.endpoint.settings.clone();
        while let Some(wish) = self.state.live.next_page(true) {
            let behind = (wish.after.experiment, wish.after.revision.saturating_add(1))..;
            let ahead = Duration::from_secs(if is_open { DAY } else { 60 });
            let is_wanted = |pending: &&Pending| pending.failure_count == 0 || pending.due_at <= wall.plus(ahead);
            let page: Vec<_> =
                self.database.range(behind).map(|(_, pending)| pending).filter(is_wanted).take(512).cloned().collect();
            let due = |pending: &Pending| match settings.retry_after(pending.failure_count) {
                _ if pending.failure_count == 0 => Due::InOrder(Duration::ZERO),
                Some(delay) if delay > settings.hold() && !is_open => Due::Alone(pending.due_at.since(wall)),
                _ => Due::InOrder(pending.due_at.since(wall)),
            };
            if !self.state.live.page(page, 512, self.now, due) {
                break;
            }
        }
    }

    /// Goes on until `second`, with a receiver that answers each delivery so at each moment.
    fn run_until(&mut self, second: u64, receiver: impl Fn(Spot, u64) -> Answer) {
        let end = Duration::from_secs(second);
        while self.now < end {
            self.read();
            let Some(next) = self.state.next(self.now) else {
                let due = self.state.next_due(&self.state.live, self.now);
                let nap = self.state.gate(self.now).into_iter().chain(due).min();
                // The lanes look into the database every 30 s.
                let nap = nap.unwrap_or(Duration::MAX).clamp(Duration::from_millis(1), Duration::from_secs(30));
                self.now = (self.now + nap).min(end);
                self.state.live.fall_behind();
                continue;
            };
            self.now += Duration::from_millis(5);
            self.answer(&next, &receiver);
        }
    }

    fn answer(&mut self, next: &Next, receiver: &impl Fn(Spot, u64) -> Answer) {
        let place = (next.taken.pending.event.experiment_id, next.taken.pending.event.revision);
        let answer = receiver(place, self.now.as_secs());
        let now = Now { mono: self.now, wall: self.wall(), lived: self.now };
        let settled = self.state.settle(next, &answer, now, &|| 200);
        self.sent.push(Sent { second: self.now.as_secs(), place, is_success: answer.is_success() });
        let stored = self.database.get_mut(&place).expect("only what is owed is sent");
        (stored.attempt_count, stored.failure_count, stored.due_at) =
            (settled.number, settled.failure_count, settled.due_at);
        if settled.state != DeliveryState::Pending {
            self.database.remove(&place);
            self.exhausted.extend((settled.state == DeliveryState::Exhausted).then_some(place));
        }
        if settled.health_change == Some(HealthChange::Recovered { frees: true }) {
            let wall = self.wall();
            self.database.values_mut().for_each(|pending| pending.due_at = pending.due_at.min(wall));
        }
        if settled.health_change.is_some() {
            self.state.live.clear(Limits::of(&self.state.endpoint.settings));
        }
        self.health_changes.extend(settled.health_change);
        self.state.live.recorded(next.taken.pending.id);
    }

    fn accepted(&self) -> Vec<Spot> {
        self.sent.iter().filter(|sent| sent.is_success).map(|sent| sent.place).collect()
    }

    fn accepted_at(&self, place: Spot) -> Option<u64> {
        self.sent.iter().find(|sent| sent.place == place && sent.is_success).map(|sent| sent.second)
    }

    fn attempts(&self, place: Spot) -> usize {
        self.sent.iter().filter(|sent| sent.place == place).count()
    }
}

#[test]
fn an_outage_of_three_days_loses_nothing_of_a_single_experiment_and_keeps_its_order() {
    let mut lane = Lane::with(json!({}));
    lane.owe(1, 1);
    lane.run_until(DAY, |_, _| refused());
    lane.owe(1, 2);
    lane.run_until(3 * DAY, |_, _| refused());
    lane.owe(1, 3);
    lane.run_until(3 * DAY + 600, |_, _| status(204));
    assert_eq!(lane.accepted(), [(1, 1), (1, 2), (1, 3)]);
    let second = lane.accepted_at((1, 3)).unwrap() - 3 * DAY;
    assert!(second <= 300, "it is noticed within the time between two probes, not after {second} s");
    assert!(lane.attempts((1, 1)) > 3 * 24 * 11 && lane.exhausted.is_empty());
}

#[test]
fn a_wrong_secret_that_is_mended_after_two_days_loses_nothing() {
    for code in [400, 401, 403, 422] {
        let mut lane = Lane::with(json!({}));
        for experiment in 1..=6 {
            lane.owe(experiment, 1);
            lane.owe(experiment, 2);
        }
        lane.run_until(2 * DAY, |_, _| status(code));
        assert!(lane.exhausted.is_empty(), "{code}: {:?}", lane.exhausted);
        lane.run_until(2 * DAY + 600, |_, _| status(204));
        let mut accepted = lane.accepted();
        accepted.sort_unstable();
        let all: Vec<_> = (1..=6).flat_map(|experiment| [(experiment, 1), (experiment, 2)]).collect();
        assert_eq!(accepted, all, "{code}");
    }
}

/// Good events come every 10 s, of other experiments; none waits for the one that is always refused.
#[test]
fn one_poisonous_event_among_good_ones_delays_none_of_them() {
    for code in [400, 404, 422, 500, 502, 503] {
        for schedule in [json!([1, 1, 1, 1, 1, 1, 1, 1, 1]), json!([5, 30, 120, 600, 1800, 7200, 18_000])] {
            let mut lane = Lane::with(json!({"retry_schedule": schedule}));
            lane.owe(1, 1);
            let receiver = |place: Spot, _| status(if place == (1, 1) { code } else { 204 });
            lane.run_until(100, receiver);
            for second in (100..2000).step_by(10) {
                lane.owe(second, 1);
                lane.run_until(second as u64 + 10, receiver);
                let at = lane.accepted_at((second, 1));
                assert!(at.is_some_and(|at| at <= second as u64 + 1), "{code}: {at:?} instead of {second}");
            }
            lane.run_until(2 * DAY, receiver);
            assert_eq!(lane.exhausted, [(1, 1)], "{code}: it runs through its schedule");
        }
    }
}

/// The later ones of its own experiment wait for a minute, as for every failing one, and not for ever.
#[test]
fn one_poisonous_event_holds_its_own_experiment_for_a_minute() {
    for code in [422, 500] {
        for schedule in [json!([1, 1, 1, 1, 1, 1, 1, 1, 1]), json!([5, 30, 120, 600, 1800])] {
            let mut lane = Lane::with(json!({"retry_schedule": schedule}));
            let receiver = |place: Spot, _| status(if place == (1, 1) { code } else { 204 });
            (1..=3).for_each(|revision| lane.owe(1, revision));
            lane.run_until(400, receiver);
            let at = [lane.accepted_at((1, 2)), lane.accepted_at((1, 3))];
            assert!(at.iter().all(|at| at.is_some_and(|at| at <= 150)), "{code}: {at:?}");
        }
    }
}

/// Some experiments are refused and others accepted, for half an hour: a part of the receiver is down.
#[test]
fn a_receiver_that_fails_in_part_uses_up_no_schedule_before_its_time() {
    let mut lane = Lane::with(json!({}));
    let receiver =
        |(experiment, _): Spot, second| status(if experiment < 100 && second < HOUR / 2 { 500 } else { 204 });
    (1..=7).for_each(|experiment| lane.owe(experiment, 1));
    let mut late = Vec::new();
    for second in (0..HOUR / 2).step_by(2) {
        let experiment = 100 + i64::try_from(second).unwrap();
        lane.owe(experiment, 1);
        lane.run_until(second + 2, receiver);
    }
    for sent in lane.sent.iter().filter(|sent| sent.place.0 >= 100) {
        let owed = u64::try_from(sent.place.0).unwrap() - 100;
        late.extend((sent.second > owed + 7).then_some(sent.second - owed));
    }
    assert!(lane.exhausted.is_empty(), "{:?}", lane.exhausted);
    // Until the first good one has been tried, the probes come later and later.
    assert!(late.len() <= 20 && late.iter().all(|seconds| *seconds <= 40), "good ones waited: {late:?}");
    lane.run_until(DAY, receiver);
    assert!(lane.database.is_empty() && lane.exhausted.is_empty());
}

#[test]
fn an_endpoint_that_fails_for_five_days_is_given_up_and_one_with_a_refused_event_is_not() {
    let mut dead = Lane::with(json!({}));
    dead.owe(1, 1);
    dead.run_until(5 * DAY + HOUR, |_, _| refused());
    assert!(matches!(dead.health_changes.last(), Some(HealthChange::GivenUp { .. })), "{:?}", dead.health_changes);
    let mut healthy = Lane::with(json!({"retry_schedule": vec![36_000; 30]}));
    healthy.owe(1, 1);
    healthy.run_until(10 * DAY, |_, _| status(422));
    assert_eq!((healthy.attempts((1, 1)), healthy.health_changes), (24, Vec::new()));
}

#[test]
fn own_want_charges_nobody_and_lets_the_lane_rest() {
    let mut lane = Lane::with(json!({}));
    lane.owe(1, 1);
    lane.read();
    for _ in 0..20 {
        let next = lane.state.next(lane.now).expect("it is due");
        let rest = lane.state.untake(&next, lane.now);
        assert!(lane.state.next(lane.now).is_none(), "it rests");
        assert_eq!(lane.state.gate(lane.now), Some(rest));
        lane.now += rest;
    }
    assert_eq!(lane.state.breaker.health, Health::default());
    lane.run_until(10_000, |_, _| status(204));
    assert_eq!((lane.accepted(), lane.attempts((1, 1))), (vec![(1, 1)], 1));
}
