//! How an endpoint fares: its failures in a row, the breaker, and the pauses that its receiver asks for. Pure: what a
//! request came to goes in, and what follows for the lane comes out. Waiting is the lane's, by a clock that never jumps.

use std::time::Duration;

use super::clock::Timestamp;
use super::id::DeliveryId;

/// Failures in a row that open the breaker.
pub const FAILURES_TO_OPEN: u32 = 5;
const FIRST_PROBE: Duration = Duration::from_secs(5);
/// Between two probes, at most.
pub const LONGEST_PROBE: Duration = Duration::from_secs(300);
/// The longest pause that a receiver may ask for.
pub const LONGEST_PAUSE: Duration = Duration::from_hours(10);
/// An endpoint that has failed for so long without a success is disabled.
pub const GIVE_UP_AFTER: Duration = Duration::from_hours(24 * 5);

/// What is stored of it, so that a restart or another node goes on from there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    pub failure_count: u32,
    /// The first failure since the last success: when, and how long the installation had lived then, in seconds.
    pub failing_since: Option<Timestamp>,
    pub failing_lived: Option<u64>,
    /// The class of the last failure.
    pub failed_with: Option<String>,
    /// When the next probe is due, while the breaker is open.
    pub probe_at: Option<Timestamp>,
    /// Until when the receiver asked to be left alone.
    pub paused_until: Option<Timestamp>,
    /// The delivery that failed last.
    pub last_tried: Option<DeliveryId>,
}

/// A failure, as the endpoint's health is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    pub delivery: DeliveryId,
    /// Its class.
    pub with: &'a str,
    /// Whether it is evidence against the endpoint. What is not never opens the breaker.
    pub counts: bool,
    /// Probes that have failed since the breaker opened, this one included if it was one.
    pub probes: u32,
    pub at: Timestamp,
    /// How long the installation has lived. It, and not the wall clock, says when an endpoint is given up.
    pub lived: Duration,
}

/// What an answer changes for the endpoint as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthChange {
    /// The breaker opened.
    Failing { reason: String },
    /// The breaker closed. `frees`: all that failed is due at once.
    Recovered { frees: bool },
    /// It is to be disabled.
    GivenUp { reason: String },
}

impl Health {
    pub fn is_open(&self) -> bool {
        self.probe_at.is_some()
    }

    /// What was in flight may still succeed after another answer asked for a pause; the pause holds.
    pub fn succeeded(&mut self, now: Timestamp) -> Option<HealthChange> {
        let was_open = self.is_open();
        // One that is further ahead than any can be was made by a wall clock that has jumped.
        let is_pause = |until: &Timestamp| *until > now && *until <= now.plus(LONGEST_PAUSE);
        *self = Self { paused_until: self.paused_until.filter(is_pause), ..Self::default() };
        was_open.then_some(HealthChange::Recovered { frees: true })
    }

    pub fn failed(&mut self, failure: Failure<'_>) -> Option<HealthChange> {
        let Failure { delivery, with, counts, probes, at, lived } = failure;
        self.failure_count = self.failure_count.saturating_add(u32::from(counts));
        if self.failure_count > 0 {
            self.failing_since.get_or_insert(at);
            self.failing_lived.get_or_insert(lived.as_secs());
        }
        self.failed_with = Some(with.to_owned());
        self.last_tried = Some(delivery);
        let was_open = self.is_open();
        if was_open || self.failure_count >= FAILURES_TO_OPEN {
            self.probe_at = Some(at.plus(probe_after(probes)));
        }
        let failing_for = lived.as_secs().saturating_sub(self.failing_lived.unwrap_or(lived.as_secs()));
        if self.is_open() && failing_for >= GIVE_UP_AFTER.as_secs() {
            let days = GIVE_UP_AFTER.as_secs() / 86_400;
            return Some(HealthChange::GivenUp {
                reason: format!("it has failed for {days} days without a success, the last time with '{with}'"),
            });
        }
        (self.is_open() && !was_open).then(|| HealthChange::Failing {
            reason: format!("{} requests in a row have failed, the last one with '{with}'", self.failure_count),
        })
    }

    /// The receiver asked to be left alone for `pause`; it never shortens a pause.
    pub fn paused(&mut self, pause: Duration, now: Timestamp) {
        let until = now.plus(pause.min(LONGEST_PAUSE));
        self.paused_until = Some(
            self.paused_until.filter(|held| *held <= now.plus(LONGEST_PAUSE)).map_or(until, |held| held.max(until)),
        );
    }
}

/// How long after the `probes`-th failed probe the next one is due, 0 being the breaker's opening.
pub fn probe_after(probes: u32) -> Duration {
    FIRST_PROBE.saturating_mul(1 << probes.min(10)).min(LONGEST_PROBE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both clocks begin at zero hours.
    fn failure(with: &str, counts: bool, probes: u32, hours: u64) -> Failure<'_> {
        let lived = Duration::from_hours(hours);
        Failure { delivery: DeliveryId::of(1), with, counts, probes, at: START.plus(lived), lived }
    }

    const START: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);

    #[test]
    fn five_failures_in_a_row_open_the_breaker_once() {
        let mut health = Health::default();
        for _ in 0..4 {
            assert_eq!(health.failed(failure("connect", true, 0, 0)), None);
            assert!(!health.is_open());
        }
        assert!(
            matches!(health.failed(failure("connect", true, 0, 0)), Some(HealthChange::Failing { reason }) if reason.contains("connect"))
        );
        assert_eq!(health.probe_at, Some(START.plus(Duration::from_secs(5))));
        assert_eq!(health.failed(failure("tls", true, 1, 0)), None, "it was told already");
        assert_eq!(health.succeeded(START), Some(HealthChange::Recovered { frees: true }));
        assert_eq!(health, Health::default());
        assert_eq!(health.succeeded(START), None);
    }

    #[test]
    fn a_success_in_between_begins_anew() {
        let mut health = Health::default();
        for round in 0..20 {
            assert_eq!(health.failed(failure("status", true, 0, 0)), None, "round {round}");
            assert_eq!(health.succeeded(START), None);
        }
    }

    #[test]
    fn probes_come_at_most_five_minutes_apart() {
        let waits: Vec<_> = (0..9).map(|probes| probe_after(probes).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(probe_after(u32::MAX), LONGEST_PROBE);
    }

    #[test]
    fn five_days_without_a_success_are_enough() {
        let mut health = Health::default();
        for _ in 0..FAILURES_TO_OPEN {
            health.failed(failure("dns", true, 0, 0));
        }
        assert_eq!(health.failed(failure("dns", true, 1, 119)), None);
        let jump = Failure { at: START.plus(Duration::from_hours(60 * 24)), ..failure("dns", true, 1, 119) };
        assert_eq!(health.failed(jump), None, "the wall clock has jumped");
        assert!(matches!(health.failed(failure("dns", true, 2, 120)), Some(HealthChange::GivenUp { .. })));
    }

    #[test]
    fn what_does_not_count_neither_opens_the_breaker_nor_gives_the_endpoint_up() {
        let mut health = Health::default();
        for day in 0..30 {
            assert_eq!(health.failed(failure("status", false, 0, 24 * day)), None);
        }
        assert!(!health.is_open() && health.failure_count == 0);
    }

    #[test]
    fn a_pause_is_bounded_and_never_shortened() {
        let mut health = Health::default();
        health.paused(Duration::from_hours(20), START);
        assert_eq!(health.paused_until, Some(START.plus(LONGEST_PAUSE)));
        health.paused(Duration::from_secs(1), START);
        health.succeeded(START);
        assert_eq!(health.paused_until, Some(START.plus(LONGEST_PAUSE)));
    }
}
