//! When a failed delivery is tried again: pure functions of the schedule, a random number, and what the receiver asks for.

use std::time::{Duration, UNIX_EPOCH};

use crate::domain::clock::Timestamp;

/// `base` with ±20 % jitter, so that what failed together does not come back together. `random` is any number.
pub fn with_jitter(base: Duration, random: u128) -> Duration {
    let per_mille = 800 + u32::try_from(random % 401).unwrap_or(200);
    base * per_mille / 1000
}

/// What `Retry-After` asks for, as seconds or as a date; nothing if it is neither.
pub fn asked_delay(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds still mean very long.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(date.as_micros()).ok()?).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let asked = |text| asked_delay(text, now).map(|delay| delay.as_secs());
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked(" 0 "), Some(0));
        assert_eq!(asked("Mon, 23 Nov 2026 12:05:00 GMT"), Some(300));
        assert_eq!(asked("Mon, 23 Nov 2026 11:00:00 GMT"), Some(0), "a date that has passed");
        assert!(asked("99999999999999999999999").unwrap() > 1_000_000);
        for text in ["", "-5", "1.5", "soon", "2026-11-23T12:05:00Z"] {
            assert_eq!(asked(text), None, "{text}");
        }
    }
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stays_within_a_fifth(seconds in 1_u64..36_000, random: u128) {
            let base = Duration::from_secs(seconds);
            let delay = with_jitter(base, random);
            prop_assert!(delay >= base * 8 / 10 && delay <= base * 12 / 10);
        }
    }

    #[test]
    fn both_ends_are_reached() {
        let base = Duration::from_secs(10);
        assert_eq!(with_jitter(base, 0), Duration::from_secs(8));
        assert_eq!(with_jitter(base, 400), Duration::from_secs(12));
    }
}
