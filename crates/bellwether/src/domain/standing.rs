//! Where an experiment stands by its runs so far: what its end is decided by, whether that comes by date or by results.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::results::Results;
use super::summary::Summary;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// When the last successful run was made: of what happened until then its figures are.
    pub known_at: Option<Timestamp>,
    /// Subjects in all active variations together, by that run.
    pub subjects: u64,
    /// What that run found, in short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// In words, what the primary metric decides by that run, where the plan allows to look early.
    pub decided: Option<String>,
    /// When the last run was made that failed, and why it did; `None` once one has succeeded.
    pub failed_at: Option<Timestamp>,
    pub failure: String,
    /// The experiment's end as the last run knew it; `None` also if what it was made by has changed since.
    pub of_end: Option<Timestamp>,
    /// When a final run was asked for, and for which end.
    pub final_asked: Option<(Timestamp, Timestamp)>,
}

impl Standing {
    /// After a successful run that was made at `made_at`. `is_current`: by what the experiment is now.
    pub fn succeeded(&self, results: &Results, made_at: Timestamp, end: Option<Timestamp>, is_current: bool) -> Self {
        Self {
            known_at: Some(made_at),
            subjects: results.traffic.variations.iter().map(|variation| variation.subjects).sum(),
            summary: Some(Summary::of(results)),
            decided: results.decided.clone().filter(|_| is_current),
            failed_at: None,
            failure: String::new(),
            of_end: end.filter(|_| is_current),
            final_asked: self.final_asked,
        }
    }

    /// After one that failed; what was known stays known.
    pub fn failed(&self, reason: String, made_at: Timestamp, end: Option<Timestamp>, is_current: bool) -> Self {
        let of_end = end.filter(|_| is_current);
        Self { failed_at: Some(made_at), failure: reason, of_end, ..self.clone() }
    }
}
