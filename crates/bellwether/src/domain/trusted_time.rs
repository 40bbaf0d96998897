//! The time that changes by date go by. A wall clock that jumps ahead makes many of them due at once, and none can be taken
//! back; so after a jump, time goes on from where it was for an hour, at its usual pace, and somebody may set the clock right.

use std::time::Duration;

use super::clock::Timestamp;

/// How far the wall clock may get ahead of the monotonic one before that is a jump.
const LARGEST_DRIFT: Duration = Duration::from_mins(5);
/// How long ago a process may have lived for a start to go by what the clock says.
const LONGEST_ABSENCE: Duration = Duration::from_hours(7 * 24);
/// How long the clock is not believed after a jump.
pub const DOUBT: Duration = Duration::from_hours(1);

/// What is known of the clock.
#[derive(Debug, Clone)]
pub struct TrustedTime {
    wall: Timestamp,
    monotonic: Duration,
    doubt: Option<Doubt>,
}

/// A jump that is not believed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// What the time was before it.
    pub before: Timestamp,
    /// What the clock says it became.
    pub after: Timestamp,
    since: Duration,
}

impl TrustedTime {
    /// At the start of a process. `last_seen` is what the wall clock said when one last lived.
    pub fn starting(last_seen: Option<Timestamp>, wall: Timestamp, monotonic: Duration) -> Self {
        let absent = last_seen.filter(|last_seen| wall.since(*last_seen) > LONGEST_ABSENCE);
        let doubt = absent.map(|before| Doubt { before, after: wall, since: monotonic });
        Self { wall, monotonic, doubt }
    }

    /// What time it is, by what both clocks say now.
    pub fn at(&mut self, wall: Timestamp, monotonic: Duration) -> Timestamp {
        let passed = monotonic.saturating_sub(self.monotonic);
        let expected = self.wall.plus(passed);
        if wall.since(expected) > LARGEST_DRIFT {
            let before = self.doubt.map_or(expected, |doubt| doubt.now(monotonic));
            self.doubt = Some(Doubt { before, after: wall, since: monotonic });
        }
        (self.wall, self.monotonic) = (wall, monotonic);
        self.doubt = self.doubt.filter(|doubt| monotonic.saturating_sub(doubt.since) < DOUBT);
        // A clock that was set back is believed: by it nothing comes too early.
        self.doubt.map_or(wall, |doubt| doubt.now(monotonic).min(wall))
    }

    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }
}

impl Doubt {
    fn now(&self, monotonic: Duration) -> Timestamp {
        self.before.plus(monotonic.saturating_sub(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_jump_ahead_is_believed_an_hour_later_and_not_before() {
        let mut time = TrustedTime::starting(None, START, after(0));
        assert_eq!(time.at(START.plus(after(60)), after(60)), START.plus(after(60)));
        let jumped = |seconds: u64| START.plus(after(seconds + 86_400));
        assert_eq!(time.at(jumped(70), after(70)), START.plus(after(70)), "time goes on from where it was");
        assert_eq!(time.at(jumped(3000), after(3000)), START.plus(after(3000)));
        assert!(time.doubt().is_some());
        assert_eq!(time.at(jumped(3670), after(3670)), jumped(3670), "an hour later the clock is believed");
        assert!(time.doubt().is_none());
    }

    #[test]
    fn drift_and_a_clock_that_was_set_back_are_believed_at_once() {
        let mut time = TrustedTime::starting(None, START, after(0));
        assert_eq!(time.at(START.plus(after(360)), after(60)), START.plus(after(360)));
        assert_eq!(time.at(START.minus(after(9000)), after(120)), START.minus(after(9000)));
        let mut set_right = TrustedTime::starting(None, START, after(0));
        set_right.at(START.plus(after(86_400)), after(10));
        assert_eq!(set_right.at(START.plus(after(20)), after(20)), START.plus(after(20)));
    }

    #[test]
    fn a_second_jump_does_not_make_the_first_one_true() {
        let mut time = TrustedTime::starting(None, START, after(0));
        time.at(START.plus(after(86_400)), after(10));
        assert_eq!(time.at(START.plus(after(2 * 86_400)), after(20)), START.plus(after(20)));
    }

    #[test]
    fn a_start_after_more_than_a_week_waits_an_hour_too() {
        let week_and_more = START.plus(after(8 * 86_400));
        let mut time = TrustedTime::starting(Some(START), week_and_more, after(5));
        assert_eq!(time.at(week_and_more.plus(after(60)), after(65)), START.plus(after(60)));
        assert_eq!(time.at(week_and_more.plus(after(3600)), after(3605)), week_and_more.plus(after(3600)));
        let mut soon = TrustedTime::starting(Some(START), START.plus(after(6 * 86_400)), after(5));
        assert_eq!(soon.at(START.plus(after(6 * 86_400)), after(5)), START.plus(after(6 * 86_400)));
    }
}
