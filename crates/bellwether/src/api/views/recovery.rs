//! A recovery, and how far it has come.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::id::{EndpointId, RecoveryId};
use crate::domain::recovery::{Recovery, RecoveryKind, RecoveryState};

#[derive(Debug, Serialize, JsonSchema)]
pub struct RecoveryView {
    id: RecoveryId,
    endpoint_id: EndpointId,
    kind: RecoveryKind,
    since: Timestamp,
    state: RecoveryState,
    examined: u64,
    moved: u64,
    actor: Actor,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl RecoveryView {
    pub fn of(recovery: &Recovery) -> Self {
        Self {
            id: recovery.id,
            endpoint_id: recovery.endpoint_id,
            kind: recovery.kind,
            since: recovery.since,
            state: recovery.state,
            examined: recovery.examined,
            moved: recovery.moved,
            actor: recovery.actor.clone(),
            created_at: recovery.created_at,
            ended_at: recovery.ended_at,
        }
    }
}
