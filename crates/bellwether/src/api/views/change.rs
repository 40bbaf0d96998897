//! The history of an experiment, of an endpoint, and of a definition.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::actor::Actor;
use crate::domain::change::{Change, EndpointChange};
use crate::domain::clock::Timestamp;
use crate::domain::configuration::FieldChange;
use crate::domain::id::EndpointChangeId;

#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangeView {
    revision: i64,
    #[serde(flatten)]
    told: HistoryEntry,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct EndpointChangeView {
    id: EndpointChangeId,
    #[serde(flatten)]
    told: HistoryEntry,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionView {
    version: i64,
    #[serde(flatten)]
    told: HistoryEntry,
}

/// What every entry of a history tells.
#[derive(Debug, Serialize, JsonSchema)]
struct HistoryEntry {
    action: String,
    actor: Actor,
    occurred_at: Timestamp,
    changes: Vec<FieldChange>,
    reason: String,
}

impl ChangeView {
    pub fn of(change: &Change) -> Self {
        let Change { revision, action, actor, occurred_at, changes, reason } = change.clone();
        Self { revision, told: HistoryEntry { action, actor, occurred_at, changes, reason } }
    }
}

impl VersionView {
    /// Of a definition, whose changes are counted by versions.
    pub fn of(change: &Change) -> Self {
        let Change { revision, action, actor, occurred_at, changes, reason } = change.clone();
        Self { version: revision, told: HistoryEntry { action, actor, occurred_at, changes, reason } }
    }
}

impl EndpointChangeView {
    pub fn of(change: &EndpointChange) -> Self {
        let EndpointChange { id, action, actor, occurred_at, changes, reason } = change.clone();
        Self { id, told: HistoryEntry { action, actor, occurred_at, changes, reason } }
    }
}
