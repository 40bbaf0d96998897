//! What must hold when all is over, and the figures.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::api::Api;
use bellwether_bench::receiver::{Arrival, Receiver};
use serde_json::Value;

use crate::writers::Changes;
use crate::{EXPERIMENTS, log};

/// A crash sends again at most what was in flight, and what was answered and not yet on disk.
const MOST_DUPLICATES_A_KILL: usize = 8 + 256;

/// What the database says at the end.
pub struct Ledgers {
    /// Experiment and its revision.
    revisions: Vec<(i64, i64)>,
    /// How many deliveries are in each state.
    deliveries: HashMap<String, usize>,
}

impl Ledgers {
    pub async fn read(api: &Api, experiments: &[i64]) -> Result<Self, Problem> {
        let mut revisions = Vec::new();
        for id in experiments {
            let experiment = api.get(&format!("/experiments/{id}")).await?;
            revisions.push((*id, experiment["revision"].as_i64().ok_or("no revision")?));
        }
        let mut deliveries = HashMap::new();
        let mut after = String::new();
        loop {
            let page = api.get(&format!("/deliveries?limit=250&after={after}")).await?;
            for delivery in page["items"].as_array().ok_or("no items")? {
                *deliveries.entry(delivery["state"].as_str().ok_or("no state")?.to_owned()).or_default() += 1;
            }
            let Value::String(next) = &page["next"] else { return Ok(Self { revisions, deliveries }) };
            after.clone_from(next);
        }
    }
}

/// Everything that was seen, from all sides.
pub struct Observed {
    pub changes: Changes,
    /// Experiment, revision and id of each event.
    pub log: Vec<(i64, i64, String)>,
    pub received: Vec<Arrival>,
    /// Why requests were refused.
    pub refused: Vec<String>,
    pub ledgers: Ledgers,
    /// Nothing came after everything had come.
    pub is_quiet: bool,
    pub took: Duration,
}

/// Waits until each event of the log has come.
pub async fn wait_for(receiver: &Receiver, log: &[(i64, i64, String)]) {
    let mut count = receiver.count();
    loop {
        let arrivals = receiver.arrivals();
        let there: HashSet<&str> = arrivals.iter().map(|arrival| arrival.id.as_str()).collect();
        let missing = log.iter().filter(|(_, _, id)| !there.contains(id.as_str())).count();
        if missing == 0 {
            return;
        }
        let goal = arrivals.len() + missing;
        count.wait_for(|count| *count >= goal).await.expect("the receiver stays up");
    }
}

impl Observed {
    fn duplicates(&self) -> usize {
        let distinct: HashSet<&str> = self.received.iter().map(|arrival| arrival.id.as_str()).collect();
        self.received.len() - distinct.len()
    }

    pub fn figures(&self) -> String {
        format!(
            "{} kills in {:.1} s: {} changes accepted, {} left without an answer, {} events, {} received, {} of them duplicates",
            self.changes.kills,
            self.took.as_secs_f64(),
            self.changes.accepted.len(),
            self.changes.unanswered,
            self.log.len(),
            self.received.len(),
            self.duplicates()
        )
    }

    pub fn judge(&self) {
        self.judge_log();
        self.judge_receipts();
        let delivered = HashMap::from([("delivered".to_owned(), self.log.len())]);
        assert_eq!(self.ledgers.deliveries, delivered, "each event is delivered, and nothing is owed or given up");
        assert!(self.is_quiet, "a restart with nothing owed sent something");
        let most = MOST_DUPLICATES_A_KILL * self.changes.kills;
        assert!(self.duplicates() <= most, "{} duplicates, at most {most} are allowed", self.duplicates());
    }

    /// The log holds what was accepted, without gaps, and besides at most what nobody got an answer for.
    fn judge_log(&self) {
        let next = log::judge(&self.changes.accepted, &self.log);
        for (experiment, revision) in &self.ledgers.revisions {
            assert_eq!(
                next.get(experiment),
                Some(&(revision + 1)),
                "experiment {experiment} is not where its log ends"
            );
        }
        let unasked = self.log.len() - EXPERIMENTS - self.changes.accepted.len();
        assert!(
            unasked <= self.changes.unanswered,
            "{unasked} events nobody knows of; {} requests had no answer",
            self.changes.unanswered
        );
    }

    /// Each event came, verified; the first receipts of an experiment's events are in order; nothing else came.
    fn judge_receipts(&self) {
        assert_eq!(self.refused, Vec::<String>::new(), "the receiver could not verify all requests");
        let logged: HashMap<&str, (i64, i64)> =
            self.log.iter().map(|(experiment, revision, id)| (id.as_str(), (*experiment, *revision))).collect();
        assert_eq!(logged.len(), self.log.len(), "an id stands twice in the log");
        let mut received = HashSet::new();
        let mut last = HashMap::new();
        for arrival in &self.received {
            let told = (arrival.experiment_id, arrival.revision);
            assert_eq!(logged.get(arrival.id.as_str()), Some(&told), "{} is not in the log as it came", arrival.id);
            if received.insert(arrival.id.as_str()) {
                let before = last.insert(arrival.experiment_id, arrival.revision).unwrap_or(0);
                assert_eq!(arrival.revision, before + 1, "experiment {} came out of order", arrival.experiment_id);
            }
        }
        assert_eq!(received.len(), logged.len(), "not every event came");
    }
}
