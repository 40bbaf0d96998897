//! What must hold of the event log, however often the server was lost.

use std::collections::{HashMap, HashSet};

/// The log holds every accepted change (experiment, revision), each revision once and without gaps. Gives, for each
/// experiment, the revision after its last.
pub fn judge(accepted: &[(i64, i64)], log: &[(i64, i64, String)]) -> HashMap<i64, i64> {
    let logged: HashSet<(i64, i64)> = log.iter().map(|(experiment, revision, _)| (*experiment, *revision)).collect();
    let distinct: HashSet<(i64, i64)> = accepted.iter().copied().collect();
    assert_eq!(distinct.len(), accepted.len(), "a revision was given to two changes");
    let lost: Vec<_> = distinct.difference(&logged).collect();
    assert!(lost.is_empty(), "accepted, but not in the log (experiment, revision): {lost:?}");
    let mut next = HashMap::new();
    for (experiment, revision, _) in log {
        let expected = next.entry(*experiment).or_insert(1);
        assert_eq!(revision, expected, "the log of experiment {experiment} has a gap, or is out of order");
        *expected += 1;
    }
    next
}
