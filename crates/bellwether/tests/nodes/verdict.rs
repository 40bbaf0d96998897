//! What must hold when all is over, and the figures.

use std::time::Duration;

use bellwether_bench::receiver::Arrival;
use bellwether_testkit::event_log;
use bellwether_testkit::receipts::{self, Logged};
use bellwether_testkit::writers::Changes;

use crate::nodes::ENDPOINTS;

/// A lost node's lanes are sent again what was in flight, and what was answered and not yet on disk.
const MOST_DUPLICATES: usize = (8 + 256) * ENDPOINTS;
/// As the docs say; a node is called dead after 6 s.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// Everything that was seen, from all sides.
pub struct Observed {
    pub changes: Changes,
    /// Experiment, revision and id of each event.
    pub log: Vec<Logged>,
    pub arrivals: Vec<Arrival>,
    pub refused: Vec<String>,
    pub pending: usize,
    /// The longest that an endpoint was told nothing.
    pub silence: Duration,
}

impl Observed {
    pub fn duplicates(&self) -> usize {
        receipts::duplicates(&self.arrivals)
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
        event_log::judge(&self.changes.accepted, &self.log);
        receipts::judge(&self.arrivals, &self.refused, &self.log, ENDPOINTS);
        assert_eq!(self.pending, 0, "something is still owed");
        assert!(self.duplicates() <= MOST_DUPLICATES, "{} duplicates", self.duplicates());
        assert!(self.silence <= LONGEST_SILENCE, "an endpoint was told nothing for {:?}", self.silence);
    }
}
