//! How an endpoint fares: its failures in a row, the breaker, and the pauses that its receiver asks for. Pure: what a
//! request came to goes in, and what follows for the lane comes out. Waiting is the lane's, by a clock that never jumps.

use std::time::Duration;

use crate::clock::Timestamp;

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
    /// The first failure since the last success.
    pub failing_since: Option<Timestamp>,
    /// The class of the last failure.
    pub failed_with: Option<String>,
    /// When the next probe is due, while the breaker is open.
    pub probe_at: Option<Timestamp>,
    /// Until when the receiver asked to be left alone.
    pub paused_until: Option<Timestamp>,
}

/// What an answer changes for the endpoint as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
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
    pub fn succeeded(&mut self, now: Timestamp) -> Option<Turn> {
        let was_open = self.is_open();
        *self = Self { paused_until: self.paused_until.filter(|until| *until > now), ..Self::default() };
        was_open.then_some(Turn::Recovered { frees: true })
    }

    /// `probes` have failed since the breaker opened, this one included if it was one. What does not count is no evidence
    /// against the endpoint: it never opens the breaker.
    pub fn failed(&mut self, with: &str, counts: bool, probes: u32, now: Timestamp) -> Option<Turn> {
        self.failure_count = self.failure_count.saturating_add(u32::from(counts));
        let since = *self.failing_since.get_or_insert(now);
        self.failed_with = Some(with.to_owned());
        let was_open = self.is_open();
        if was_open || self.failure_count >= FAILURES_TO_OPEN {
            self.probe_at = Some(now.plus(probe_after(probes)));
        }
        if self.is_open() && now.since(since) >= GIVE_UP_AFTER {
            let days = GIVE_UP_AFTER.as_secs() / 86_400;
            return Some(Turn::GivenUp {
                reason: format!("it has failed for {days} days without a success, the last time with '{with}'"),
            });
        }
        (self.is_open() && !was_open).then(|| Turn::Failing {
            reason: format!("{} requests in a row have failed, the last one with '{with}'", self.failure_count),
        })
    }

    /// The receiver asked to be left alone for `pause`; it never shortens a pause.
    pub fn paused(&mut self, pause: Duration, now: Timestamp) {
        let until = now.plus(pause.min(LONGEST_PAUSE));
        self.paused_until = Some(self.paused_until.map_or(until, |held| held.max(until)));
    }
}

/// How long after the `probes`-th failed probe the next one is due, 0 being the breaker's opening.
pub fn probe_after(probes: u32) -> Duration {
    FIRST_PROBE.saturating_mul(1 << probes.min(10)).min(LONGEST_PROBE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);

    #[test]
    fn five_failures_in_a_row_open_the_breaker_once() {
        let mut health = Health::default();
        for _ in 0..4 {
            assert_eq!(health.failed("connect", true, 0, START), None);
            assert!(!health.is_open());
        }
        assert!(
            matches!(health.failed("connect", true, 0, START), Some(Turn::Failing { reason }) if reason.contains("connect"))
        );
        assert_eq!(health.probe_at, Some(START.plus(Duration::from_secs(5))));
        assert_eq!(health.failed("tls", true, 1, START), None, "it was told already");
        assert_eq!(health.succeeded(START), Some(Turn::Recovered { frees: true }));
        assert_eq!(health, Health::default());
        assert_eq!(health.succeeded(START), None);
    }

    #[test]
    fn a_success_in_between_begins_anew() {
        let mut health = Health::default();
        for round in 0..20 {
            assert_eq!(health.failed("status", true, 0, START), None, "round {round}");
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
            health.failed("dns", true, 0, START);
        }
        let almost = START.plus(GIVE_UP_AFTER.checked_sub(Duration::from_secs(1)).unwrap());
        assert_eq!(health.failed("dns", true, 1, almost), None);
        assert!(matches!(health.failed("dns", true, 2, START.plus(GIVE_UP_AFTER)), Some(Turn::GivenUp { .. })));
    }

    #[test]
    fn what_does_not_count_neither_opens_the_breaker_nor_gives_the_endpoint_up() {
        let mut health = Health::default();
        for day in 0..30 {
            assert_eq!(health.failed("status", false, 0, START.plus(Duration::from_hours(24 * day))), None);
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
