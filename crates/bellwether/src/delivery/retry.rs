//! When a failed delivery is tried again: a pure function of the schedule and a random number.

use std::time::Duration;

/// `base` with ±20 % jitter, so that what failed together does not come back together. `random` is any number.
pub fn with_jitter(base: Duration, random: u128) -> Duration {
    let per_mille = 800 + u32::try_from(random % 401).unwrap_or(200);
    base * per_mille / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
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
