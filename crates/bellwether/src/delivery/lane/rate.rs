//! How many requests a second: a leaky bucket that lets a second's worth pass at once after a rest. Pure.

use std::time::Duration;

/// A point on the lane's monotonic clock.
type Moment = Duration;

pub struct Rate {
    /// Between two requests; `None`: no limit.
    interval: Option<Duration>,
    /// When the bucket is empty again.
    empty_at: Moment,
}

impl Rate {
    pub fn per_second(limit: Option<f64>) -> Self {
        let interval =
            limit.filter(|limit| *limit > 0.0).and_then(|limit| Duration::try_from_secs_f64(1.0 / limit).ok());
        Self { interval, empty_at: Duration::ZERO }
    }

    /// When the next request may go; a moment that has passed means now.
    pub fn next_at(&self) -> Moment {
        let Some(interval) = self.interval else { return Duration::ZERO };
        let burst = Duration::from_secs(1).saturating_sub(interval);
        self.empty_at.saturating_sub(burst)
    }

    pub fn count(&mut self, now: Moment) {
        if let Some(interval) = self.interval {
            self.empty_at = self.empty_at.max(now) + interval;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_second_sees_more_than_twice_the_limit_and_none_is_wasted(limit in 1_u32..200, seconds in 2_u64..20) {
            let mut rate = Rate::per_second(Some(limit.into()));
            let (mut now, end) = (Duration::from_secs(100), Duration::from_secs(100 + seconds));
            let mut sent = 0_u64;
            while now < end {
                if rate.next_at() <= now {
                    rate.count(now);
                    sent += 1;
                } else {
                    now = rate.next_at();
                }
            }
            let fair = u64::from(limit) * seconds;
            prop_assert!(sent >= fair - 1 && sent <= fair + u64::from(limit), "{} of {}", sent, fair);
        }
    }

    #[test]
    fn slow_limits_hold_too() {
        let mut rate = Rate::per_second(Some(0.1));
        let now = Duration::from_secs(5);
        assert!(rate.next_at() <= now);
        rate.count(now);
        assert_eq!(rate.next_at(), Duration::from_secs(15));
    }

    #[test]
    fn without_a_limit_all_may_go() {
        let mut rate = Rate::per_second(None);
        rate.count(Duration::from_secs(1));
        assert_eq!(rate.next_at(), Duration::ZERO);
    }
}
