//! How long to wait before a lane that failed is set up anew: longer each time, for it may fail by what it meets again.

use std::time::Duration;

const SHORTEST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Who fails no more for so long begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub struct Restarts {
    /// The last wait, and when it was asked for.
    last: Option<(Duration, Duration)>,
}

impl Restarts {
    /// The wait after a failure at `now`.
    pub fn next(&mut self, now: Duration) -> Duration {
        let last = self.last.filter(|(_, at)| now.saturating_sub(*at) < FORGOTTEN_AFTER);
        let wait = last.map_or(SHORTEST_WAIT, |(wait, _)| (wait * 2).min(LONGEST_WAIT));
        self.last = Some((wait, now));
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_are_forgotten() {
        let mut restarts = Restarts::default();
        let waits: Vec<_> = (0..10).map(|second| restarts.next(Duration::from_secs(second)).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!(restarts.next(Duration::from_secs(1000)), SHORTEST_WAIT);
    }
}
