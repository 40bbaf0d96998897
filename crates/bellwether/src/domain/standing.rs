//! Where an experiment stands by its runs so far: what its end is decided by, whether that comes by date or by results.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::results::Results;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// When the last successful run was made: of what happened until then its figures are.
    pub known_at: Option<Timestamp>,
    /// Subjects in all active variations together, by that run.
    pub subjects: u64,
    /// In words, what the primary metric decides by that run, where the plan allows to look early.
    pub decided: Option<String>,
    /// When the last run was made that failed, and why it did; `None` once one has succeeded.
    pub failed_at: Option<Timestamp>,
    pub failure: String,
}

impl Standing {
    /// By what a successful run found that was made at `made_at`.
    pub fn by(results: &Results, made_at: Timestamp) -> Self {
        Self {
            known_at: Some(made_at),
            subjects: results.traffic.variations.iter().map(|variation| variation.subjects).sum(),
            decided: results.decided.clone(),
            failed_at: None,
            failure: String::new(),
        }
    }
}
