//! How far a run is, for those who wait for it.

use schemars::JsonSchema;
use serde::Serialize;

/// How far a run is that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Progress {
    pub steps_done: u64,
    /// `None` until it is known. Where something fails and is tried in another way, it grows.
    pub steps_expected: Option<u64>,
    /// The one that is under way.
    pub step: Option<String>,
}

impl Progress {
    /// By what was expected, never fewer than have begun.
    pub fn of(steps_done: u64, expected: Option<u64>, step: Option<String>) -> Self {
        let begun = steps_done + u64::from(step.is_some());
        Self { steps_done, steps_expected: expected.map(|expected| expected.max(begun)), step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_fewer_are_expected_than_have_begun() {
        let expected = |done, step: Option<&str>| Progress::of(done, Some(5), step.map(str::to_owned)).steps_expected;
        assert_eq!((expected(2, Some("x")), expected(5, None), expected(5, Some("x"))), (Some(5), Some(5), Some(6)));
        assert_eq!(Progress::of(1, None, None).steps_expected, None);
    }
}
