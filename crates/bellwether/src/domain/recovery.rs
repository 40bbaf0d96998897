//! A recovery: what somebody asked to have sent again, and how far that has come.

use schemars::JsonSchema;
use serde::Serialize;

use super::actor::Actor;
use super::clock::Timestamp;
use super::id::{EndpointId, ExperimentId, RecoveryId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryKind {
    /// Exhausted deliveries become pending, with a fresh schedule.
    Recover,
    /// Events become owed that the endpoint never got.
    Replay,
}

impl RecoveryKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recover => "recover",
            Self::Replay => "replay",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Recover, Self::Replay].into_iter().find(|kind| kind.as_str() == text)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryState {
    Running,
    Done,
    /// Somebody asked it to go no further; what it had moved stays moved.
    Stopped,
}

impl RecoveryState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Stopped].into_iter().find(|state| state.as_str() == text)
    }
}

#[derive(Debug, Clone)]
pub struct Recovery {
    pub id: RecoveryId,
    pub endpoint_id: EndpointId,
    pub kind: RecoveryKind,
    /// What happened earlier is left alone.
    pub since: Timestamp,
    pub state: RecoveryState,
    /// How far it has come, in the order of experiment and revision.
    pub place: (ExperimentId, i64),
    /// Deliveries, or events, that were looked at.
    pub examined: u64,
    /// Those of them that are owed now.
    pub moved: u64,
    pub actor: Actor,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}
