//! What must hold when all is over, and the figures.

use std::collections::HashMap;
use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::api::Api;
use bellwether_bench::receiver::Arrival;
use bellwether_testkit::event_log;
use bellwether_testkit::receipts::{self, Logged, duplicates};
use bellwether_testkit::writers::Changes;
use serde_json::Value;

use crate::scene::EXPERIMENTS;

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
        let revisions = revisions(api, experiments).await?;
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

/// The event log, once it has come to where every experiment is: on PostgreSQL that is a little after the commits.
pub async fn whole_log(api: &Api, experiments: &[i64]) -> Result<Vec<Logged>, Problem> {
    loop {
        let ends = revisions(api, experiments).await?;
        let log = api.event_log().await?;
        let is_there = |end: &(i64, i64)| log.iter().any(|(experiment, revision, _)| (*experiment, *revision) == *end);
        if ends.iter().all(is_there) {
            return Ok(log);
        }
    }
}

async fn revisions(api: &Api, experiments: &[i64]) -> Result<Vec<(i64, i64)>, Problem> {
    let mut revisions = Vec::new();
    for id in experiments {
        let experiment = api.get(&format!("/experiments/{id}")).await?;
        revisions.push((*id, experiment["revision"].as_i64().ok_or("no revision")?));
    }
    Ok(revisions)
}

/// Everything that was seen, from all sides.
pub struct Observed {
    pub changes: Changes,
    pub kills: usize,
    /// Experiment, revision and id of each event.
    pub log: Vec<Logged>,
    pub received: Vec<Arrival>,
    /// Why requests were refused.
    pub refused: Vec<String>,
    pub ledgers: Ledgers,
    /// Nothing came after everything had come.
    pub is_quiet: bool,
    pub took: Duration,
}

impl Observed {
    pub fn figures(&self) -> String {
        format!(
            "{} kills in {:.1} s: {} changes accepted, {} left without an answer, {} events, {} received, {} of them duplicates",
            self.kills,
            self.took.as_secs_f64(),
            self.changes.accepted.len(),
            self.changes.unanswered,
            self.log.len(),
            self.received.len(),
            duplicates(&self.received)
        )
    }

    pub fn judge(&self) {
        self.judge_log();
        receipts::judge(&self.received, &self.refused, &self.log, 1);
        let delivered = HashMap::from([("delivered".to_owned(), self.log.len())]);
        assert_eq!(self.ledgers.deliveries, delivered, "each event is delivered, and nothing is owed or given up");
        assert!(self.is_quiet, "a restart with nothing owed sent something");
        let most = MOST_DUPLICATES_A_KILL * self.kills;
        assert!(
            duplicates(&self.received) <= most,
            "{} duplicates, at most {most} are allowed",
            duplicates(&self.received)
        );
    }

    /// The log holds what was accepted, without gaps, and besides at most what nobody got an answer for.
    fn judge_log(&self) {
        let next = event_log::judge(&self.changes.accepted, &self.log);
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
}
