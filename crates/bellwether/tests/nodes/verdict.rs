//! What must hold when all is over, and the figures.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bellwether_bench::receiver::Arrival;

use crate::log;
use crate::nodes::ENDPOINTS;
use crate::writers::Changes;

/// A lost node's lanes are sent again what was in flight, and what was answered and not yet on disk.
const MOST_DUPLICATES: usize = (8 + 256) * ENDPOINTS;
/// A node is called dead after 6 s; the issue of it all allows 10 until its lanes are taken over. Busy machines are slower.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);

/// Everything that was seen, from all sides.
pub struct Observed {
    pub changes: Changes,
    /// Experiment, revision and id of each event.
    pub log: Vec<(i64, i64, String)>,
    pub arrivals: Vec<Arrival>,
    pub refused: Vec<String>,
    pub pending: usize,
    /// The longest that an endpoint was told nothing.
    pub silence: Duration,
}

impl Observed {
    pub fn duplicates(&self) -> usize {
        let distinct: HashSet<(u32, &str)> =
            self.arrivals.iter().map(|arrival| (arrival.endpoint, arrival.id.as_str())).collect();
        self.arrivals.len() - distinct.len()
    }

    pub fn figures(&self) -> String {
        format!(
            "{} changes accepted, {} without an answer, {} events to {ENDPOINTS} endpoints, {} received, {} of them duplicates",
            self.changes.accepted.len(),
            self.changes.unanswered,
            self.log.len(),
            self.arrivals.len(),
            self.duplicates()
        )
    }

    pub fn judge(&self) {
        log::judge(&self.changes.accepted, &self.log);
        self.judge_receipts();
        assert_eq!(self.pending, 0, "something is still owed");
        assert!(self.duplicates() <= MOST_DUPLICATES, "{} duplicates", self.duplicates());
        assert!(self.silence <= LONGEST_SILENCE, "an endpoint was told nothing for {:?}", self.silence);
    }

    fn judge_receipts(&self) {
        assert_eq!(self.refused, Vec::<String>::new(), "the receiver could not verify all requests");
        let mut received = HashSet::new();
        let mut last = HashMap::new();
        for arrival in &self.arrivals {
            if received.insert((arrival.endpoint, arrival.id.as_str())) {
                let before = last.insert((arrival.endpoint, arrival.experiment_id), arrival.revision).unwrap_or(0);
                assert_eq!(
                    arrival.revision,
                    before + 1,
                    "experiment {} came to endpoint {} out of order",
                    arrival.experiment_id,
                    arrival.endpoint
                );
            }
        }
        assert_eq!(received.len(), self.log.len() * ENDPOINTS, "not every event came to every endpoint");
    }
}
