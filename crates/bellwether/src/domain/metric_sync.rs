//! A metric sync: what a set of files declares of fact sources and metrics under a tag, and what became of it. What is
//! declared no more is taken off experiments first, some at a time, and then removed.

use serde::{Deserialize, Serialize};

use super::actor::Actor;
use super::clock::Timestamp;
use super::definition::FactSource;
use super::id::{FactId, FactSourceId, MetricId};
use super::managed::ManagedBy;
use super::metric::Metric;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// What is declared is there; what is declared no more is being removed.
    Pending,
    Success,
    /// Nothing was changed.
    Failed,
}

impl SyncState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Success, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct MetricSync {
    pub id: i64,
    pub sync_tag: String,
    pub state: SyncState,
    /// Of what was declared: the same again is no work.
    pub digest: String,
    /// Why it failed.
    pub errors: Vec<String>,
    pub remaining: Remaining,
    pub actor: Actor,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// What is still to be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    pub metrics: Vec<MetricId>,
    pub sources: Vec<FactSourceId>,
    /// Facts that their sources have no more.
    pub facts: Vec<(FactSourceId, FactId)>,
}

impl Remaining {
    pub fn is_nothing(&self) -> bool {
        self.metrics.is_empty() && self.sources.is_empty() && self.facts.is_empty()
    }
}

/// What is declared under a tag, all of it.
#[derive(Debug, Clone)]
pub struct Declared {
    pub tag: String,
    /// Whether what is there under a declared name, and in nobody's keeping, is taken over.
    pub allow_upgrades: bool,
    pub digest: String,
    /// Their facts have ids by which `metrics` name them; a fact that is there already keeps its own.
    pub sources: Vec<FactSource>,
    pub metrics: Vec<Metric>,
}

impl Declared {
    /// Why this tag may not have what is called so.
    pub fn refuse_owner(&self, kind: &str, name: &str, owner: Option<&ManagedBy>) -> Option<String> {
        match owner {
            Some(owner) if owner.sync_tag == self.tag => None,
            Some(owner) => Some(format!(
                "the {kind} '{name}' is managed by the metric sync '{}'; remove it there, or give this one another name",
                owner.sync_tag
            )),
            None if self.allow_upgrades => None,
            None => Some(format!(
                "there is a {kind} '{name}' that no sync manages; give this one another name, or allow upgrades \
                 (--allow-upgrades, or ?allow_upgrades=true) to have this sync take it over"
            )),
        }
    }
}
