//! How a lane behaves while its endpoint fails: when it may send, which delivery it tries next, and whether a failure is
//! charged. Pure: what a request came to goes in. What is stored of it is the endpoint's health.
//!
//! An outage uses up nobody's schedule, and no single delivery holds an endpoint: while the breaker is open, a failure is
//! charged only to a delivery that others have passed with success, and the next to be tried is always another.

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::domain::clock::Timestamp;
use crate::domain::health::{Health, LONGEST_PAUSE, LONGEST_PROBE};
use crate::domain::id::{DeliveryId, ExperimentId};
use crate::store::pending::Pending;

/// A point on the lane's monotonic clock.
type Moment = Duration;

/// Deliveries of which it is known when they were last tried. Who is forgotten is not charged once more than it could be.
const MOST_TRIED: usize = 4096;
/// A breaker that closes again so soon is flapping: then what failed keeps to its schedule, or a receiver that refuses some
/// and accepts others would use up the schedules of the refused in no time.
const FLAPPING: Duration = Duration::from_hours(1);

/// Which deliveries have failed since the last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspects {
    None,
    One(DeliveryId),
    Many,
}

pub struct Breaker {
    pub health: Health,
    /// Probes that have failed since it opened.
    pub probes: u32,
    /// The receiver asked to be left alone until then.
    paused_until: Option<Moment>,
    /// While it is open.
    probe_at: Option<Moment>,
    /// Answers, counted.
    answers: u64,
    /// The count at the last success.
    succeeded: u64,
    /// The count when each was last tried and failed.
    tried: FxHashMap<DeliveryId, u64>,
    /// Until when the receiver asked not to be sent each again.
    asked: FxHashMap<DeliveryId, Moment>,
    suspects: Suspects,
    last_probe: Option<ExperimentId>,
    /// The last failure may be one of its event alone.
    blames_event: bool,
    closed_at: Option<Moment>,
}

/// What is noted of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Noted<'a> {
    pub pending: &'a Pending,
    pub is_probe: bool,
    pub is_success: bool,
    /// The failure may be one of this event alone.
    pub blames_event: bool,
    /// For how long this answer asks to be left alone.
    pub pause: Option<Duration>,
}

impl Breaker {
    /// Goes on with what is stored. Wall time was stored; from here on only the monotonic clock counts, whatever the other
    /// does.
    pub fn resume(health: Health, now: Moment, wall: Timestamp) -> Self {
        let mut breaker = Self {
            health: Health::default(),
            probes: 0,
            paused_until: None,
            probe_at: None,
            answers: 0,
            succeeded: 0,
            tried: FxHashMap::default(),
            asked: FxHashMap::default(),
            suspects: Suspects::None,
            last_probe: None,
            blames_event: false,
            closed_at: None,
        };
        breaker.take_over(health, now, wall);
        breaker
    }

    /// Goes on with a health that was changed by hand.
    pub fn take_over(&mut self, health: Health, now: Moment, wall: Timestamp) {
        let ahead = |at: Option<Timestamp>, longest: Duration| at.map(|at| now + at.since(wall).min(longest));
        self.probe_at = ahead(health.probe_at, LONGEST_PROBE);
        self.paused_until = ahead(health.paused_until, LONGEST_PAUSE);
        if !health.is_open() {
            (self.probes, self.suspects) = (0, Suspects::None);
        } else if self.suspects == Suspects::None {
            // Who failed before is not known any more.
            self.suspects = Suspects::Many;
        }
        self.health = health;
    }

    /// The endpoint was edited: whoever does so wants to know at once whether it is mended.
    pub fn try_at_once(&mut self) {
        (self.probe_at, self.paused_until, self.health.paused_until) = (None, None, None);
    }

    pub fn is_open(&self) -> bool {
        self.health.is_open()
    }

    /// From when on something may be sent. `has_fresh`: there is what was never tried. If only one delivery has failed until
    /// now, it is not known yet whether the endpoint fails or that one, and whoever knows no better is not to wait.
    pub fn opens_at(&self, has_fresh: bool) -> Moment {
        let probe_at = self.probe_at.filter(|_| self.is_open() && !(has_fresh && self.has_one_suspect()));
        self.paused_until.max(probe_at).unwrap_or_default()
    }

    pub fn has_one_suspect(&self) -> bool {
        matches!(self.suspects, Suspects::One(_))
    }

    /// The lower, the sooner it is tried: each time one of another experiment, those that were never tried first, then the
    /// one that was tried longest ago.
    pub fn rank(&self, pending: &Pending) -> (bool, u64) {
        let known = self.tried.get(&pending.id).copied();
        let tried = known.unwrap_or(u64::from(pending.attempt_count > 0));
        (self.last_probe == Some(pending.event.experiment_id), tried)
    }

    /// Whether a failure of `id` is charged to it.
    pub fn charges(&self, id: DeliveryId) -> bool {
        !self.is_open() || self.tried.get(&id).is_some_and(|tried| self.succeeded > *tried)
    }

    /// Whether what is held back by a failing delivery may pass it when its time is up, though the breaker is open: the
    /// receiver answers, and may fail at this one event.
    pub fn lets_pass(&self) -> bool {
        self.blames_event
    }

    /// An answer came, and `health` is what it was turned into by it.
    pub fn note(&mut self, noted: Noted<'_>, now: Moment, wall: Timestamp) {
        let Noted { pending, is_probe, is_success, blames_event, pause } = noted;
        self.answers += 1;
        // Only what this answer says moves these: what is stored by the wall clock may be far off by now.
        self.paused_until = self.paused_until.max(pause.map(|pause| now + pause.min(LONGEST_PAUSE)));
        self.probe_at = self.probe_at.filter(|_| self.is_open());
        if !is_success && pause.is_none() {
            let probe_at = self.health.probe_at.map(|at| now + at.since(wall).min(LONGEST_PROBE));
            self.probe_at = self.probe_at.max(probe_at);
        }
        let experiment = pending.event.experiment_id;
        if is_success {
            self.succeeded = self.answers;
            self.tried.remove(&pending.id);
            self.suspects = Suspects::None;
        } else {
            self.blames_event = blames_event;
            if self.tried.len() >= MOST_TRIED {
                self.tried.clear();
            }
            self.tried.insert(pending.id, self.answers);
            self.suspects = match self.suspects {
                Suspects::None => Suspects::One(pending.id),
                Suspects::One(other) if other == pending.id => Suspects::One(other),
                _ => Suspects::Many,
            };
        }
        self.last_probe = is_probe.then_some(experiment).or(self.last_probe).filter(|_| self.is_open());
        if !self.is_open() {
            self.probes = 0;
        }
    }

    /// The receiver asked that this one is not sent again before.
    pub fn ask(&mut self, id: DeliveryId, until: Moment) {
        if self.asked.len() >= MOST_TRIED {
            self.asked.clear();
        }
        self.asked.insert(id, until);
    }

    /// Whether it may be tried now, also before its schedule says so.
    pub fn may_try(&self, pending: &Pending, now: Moment) -> bool {
        self.asked.get(&pending.id).is_none_or(|until| *until <= now)
    }

    /// When the next may be tried of those for which the receiver asked for a time.
    pub fn next_asked(&self, now: Moment) -> Option<Moment> {
        self.asked.values().copied().filter(|until| *until > now).min()
    }

    /// A delivery has ended; nothing is to be remembered of it.
    pub fn forget(&mut self, id: DeliveryId) {
        self.tried.remove(&id);
        self.asked.remove(&id);
    }

    /// It has just closed. Whether all that failed is due at once: `false` if it is flapping.
    pub fn close(&mut self, now: Moment) -> bool {
        let last = self.closed_at.replace(now);
        last.is_none_or(|last| now.saturating_sub(last) >= FLAPPING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::lane::state::tests::pending;

    fn noted(pending: &Pending, is_success: bool) -> Noted<'_> {
        Noted { pending, is_probe: true, is_success, blames_event: false, pause: None }
    }

    const WALL: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);
    const NOW: Moment = Duration::from_secs(1000);

    fn open() -> Breaker {
        let health =
            Health { probe_at: Some(WALL.plus(Duration::from_secs(40))), failure_count: 5, ..Health::default() };
        Breaker::resume(health, NOW, WALL)
    }

    #[test]
    fn the_never_tried_come_first_then_the_one_tried_longest_ago_each_time_of_another_experiment() {
        let mut breaker = open();
        let mut waiting: Vec<Pending> = (1..=3).map(|experiment| pending(experiment, 1)).collect();
        let mut order = Vec::new();
        for _ in 0..7 {
            waiting.sort_by_key(|pending| breaker.rank(pending));
            waiting[0].attempt_count += 1;
            order.push(waiting[0].event.experiment_id);
            breaker.note(noted(&waiting[0], false), NOW, WALL);
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 3, 1]);
        waiting.push(pending(4, 1));
        waiting.sort_by_key(|pending| breaker.rank(pending));
        assert_eq!(waiting[0].event.experiment_id, 4);
    }

    #[test]
    fn while_it_is_open_only_a_success_of_another_makes_a_failure_count() {
        let mut breaker = open();
        let (bad, good) = (pending(1, 1), pending(2, 1));
        assert!(!breaker.charges(bad.id));
        breaker.note(noted(&bad, false), NOW, WALL);
        assert!(!breaker.charges(bad.id));
        breaker.note(noted(&good, true), NOW, WALL);
        assert!(breaker.charges(bad.id) && !breaker.charges(pending(3, 1).id));
        breaker.health = Health::default();
        assert!(breaker.charges(pending(3, 1).id), "closed");
    }

    #[test]
    fn one_that_fails_alone_does_not_keep_others_waiting_for_the_next_probe() {
        let mut breaker = Breaker::resume(Health::default(), NOW, WALL);
        let bad = pending(1, 1);
        breaker.health = open().health;
        breaker.note(noted(&bad, false), NOW, WALL);
        assert_eq!(breaker.opens_at(true), Duration::ZERO);
        assert_eq!(breaker.opens_at(false), NOW + Duration::from_secs(40));
        breaker.note(noted(&pending(2, 1), false), NOW, WALL);
        assert_eq!(breaker.opens_at(true), NOW + Duration::from_secs(40), "two have failed: it is the endpoint");
    }

    /// What was stored while the wall clock was ahead by months silences nobody when it is set right.
    #[test]
    fn a_wall_clock_that_was_ahead_silences_no_lane() {
        let ahead = WALL.plus(Duration::from_hours(60 * 24));
        let mut breaker = Breaker::resume(Health::default(), NOW, ahead);
        breaker.health.paused(Duration::from_secs(60), ahead);
        let one = pending(1, 1);
        let pause = Some(Duration::from_secs(60));
        breaker.note(Noted { pause, is_probe: false, ..noted(&one, false) }, NOW, ahead);
        assert_eq!(breaker.opens_at(false), NOW + Duration::from_secs(60));
        let later = NOW + Duration::from_secs(61);
        breaker.health.succeeded(WALL);
        breaker.note(noted(&one, true), later, WALL);
        assert!(breaker.opens_at(false) <= later && breaker.health.paused_until.is_none());
    }

    #[test]
    fn what_was_asked_to_wait_is_not_tried_before_though_it_is_read_again() {
        let mut breaker = open();
        let asked = pending(1, 1);
        breaker.ask(asked.id, NOW + Duration::from_secs(600));
        assert!(!breaker.may_try(&asked, NOW) && breaker.may_try(&pending(2, 1), NOW));
        assert_eq!(breaker.next_asked(NOW), Some(NOW + Duration::from_secs(600)));
        assert!(breaker.may_try(&asked, NOW + Duration::from_secs(600)));
    }

    #[test]
    fn what_failed_is_due_at_once_unless_it_closes_again_and_again() {
        let mut breaker = open();
        assert!(breaker.close(NOW));
        assert!(!breaker.close(NOW + Duration::from_secs(600)));
        assert!(breaker.close(NOW + Duration::from_hours(3)));
    }
}
