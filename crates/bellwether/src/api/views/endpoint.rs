//! An endpoint, its rotation and its lane. Never a header's value; the URL's query only in the answer to its making, and a
//! secret only in the answer to what made or set it: the making of the endpoint, or a rotation.

use bellwether_webhook::SigningKey;
use schemars::JsonSchema;
use serde::Serialize;

use super::delivery::AttemptView;
use crate::domain::clock::Timestamp;
use crate::domain::endpoint::{Endpoint, EndpointState, Settings};
use crate::domain::error::FieldError;
use crate::domain::health::Health;
use crate::domain::id::{EndpointId, EventId, NodeId};
use crate::domain::signing;
use crate::store::endpoints::Listed;
use crate::store::lanes::LaneRow;

#[derive(Debug, Serialize, JsonSchema)]
pub struct EndpointView {
    id: EndpointId,
    #[serde(flatten)]
    settings: Settings,
    enabled: bool,
    disabled_reason: Option<String>,
    /// Of the key that signs now, where the endpoint asks for such signatures.
    public_key: Option<String>,
    rotation: Option<RotationView>,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl EndpointView {
    pub fn of(endpoint: &Endpoint) -> Self {
        let seed = endpoint.signing.current.seed.filter(|_| endpoint.settings.asymmetric_signature);
        Self {
            id: endpoint.id,
            settings: endpoint.settings.shown(),
            enabled: endpoint.state == EndpointState::Enabled,
            disabled_reason: endpoint.disabled_reason.clone(),
            public_key: seed.map(public_key),
            rotation: RotationView::of(endpoint),
            version: endpoint.version,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

fn public_key(seed: [u8; 32]) -> String {
    SigningKey::from_bytes(&seed).public_key().to_string()
}

/// Where a change of the secret stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum RotationView {
    Open { next_public_key: Option<String>, warning: &'static str },
    Promoted { old_secret_signs_headers_until: Timestamp },
}

impl RotationView {
    fn of(endpoint: &Endpoint) -> Option<Self> {
        let signing = &endpoint.signing;
        if let Some(next) = &signing.next {
            let seed = next.seed.filter(|_| endpoint.settings.asymmetric_signature);
            return Some(Self::Open {
                next_public_key: seed.map(public_key),
                warning: "the headers are signed by the old secret and the new one, the body by the old one; give the receiver the new one, then promote it",
            });
        }
        let (_, until) = signing.previous.last()?;
        Some(Self::Promoted { old_secret_signs_headers_until: *until })
    }
}

/// One in a list, which may be one that cannot be read.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ListedEndpoint {
    Read(Box<EndpointView>),
    Unreadable { id: EndpointId, unreadable: String },
}

impl ListedEndpoint {
    pub fn of(listed: &Listed) -> Self {
        match listed {
            Listed::Read(endpoint) => Self::Read(Box::new(EndpointView::of(endpoint))),
            Listed::Unreadable { id, reason } => Self::Unreadable { id: *id, unreadable: reason.clone() },
        }
    }
}

/// An endpoint with a secret that was made or set just now: no later answer tells it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndpointWithSecret {
    #[serde(flatten)]
    endpoint: EndpointView,
    warnings: Vec<String>,
    secret: String,
}

impl EndpointWithSecret {
    /// Just made: its URL is told whole, too.
    pub fn made(endpoint: &Endpoint) -> Self {
        let mut made = Self::rotated(endpoint);
        made.endpoint.settings.url.clone_from(&endpoint.settings.url);
        made
    }

    /// The new secret, where a rotation has begun or ended at once.
    pub fn rotated(endpoint: &Endpoint) -> Self {
        let keys = endpoint.signing.next.as_ref().unwrap_or(&endpoint.signing.current);
        Self {
            endpoint: EndpointView::of(endpoint),
            warnings: signing::warning(&keys.secret).into_iter().collect(),
            secret: keys.secret.clone(),
        }
    }
}

/// An endpoint with how it fares.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndpointInFull {
    #[serde(flatten)]
    pub endpoint: EndpointView,
    pub lane: Option<LaneView>,
    pub pending: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct LaneView {
    #[schemars(extend("enum" = ["sending", "paused", "failing", "unusable", "disabled"]))]
    is: &'static str,
    until: Option<Timestamp>,
    reason: Option<String>,
    failures_in_a_row: u32,
    failing_since: Option<Timestamp>,
    failed_with: Option<String>,
    node: Option<NodeId>,
}

impl LaneView {
    /// `problem`: what stands in the way of sending to the endpoint as it is stored.
    pub fn of(endpoint: &Endpoint, lane: &LaneRow, problem: Option<FieldError>, now: Timestamp) -> Self {
        let health = &lane.health;
        let (is, until) = match &problem {
            Some(_) if endpoint.state == EndpointState::Enabled => ("unusable", None),
            _ => lane_state(endpoint.state, health, now),
        };
        let reason = match is {
            "unusable" => problem.map(|problem| format!("nothing can be sent as it is stored: {problem}; edit it")),
            "paused" => Some("the receiver asked to be left alone with Retry-After".to_owned()),
            "failing" => Some(format!(
                "{} requests in a row have failed, the last one with '{}'; one delivery at a time is tried",
                health.failure_count,
                health.failed_with.as_deref().unwrap_or("?")
            )),
            "disabled" => endpoint.disabled_reason.clone(),
            _ => None,
        };
        Self {
            is,
            until,
            reason,
            failures_in_a_row: health.failure_count,
            failing_since: health.failing_since,
            failed_with: health.failed_with.clone(),
            node: lane.node_id,
        }
    }
}

/// Whether an endpoint is sent to just now; if not, how that is called, and until when it is so.
pub fn lane_state(state: EndpointState, health: &Health, now: Timestamp) -> (&'static str, Option<Timestamp>) {
    let paused_until = health.paused_until.filter(|until| *until > now);
    match (state, paused_until, health.probe_at) {
        (EndpointState::Enabled, Some(until), _) => ("paused", Some(until)),
        (EndpointState::Enabled, None, Some(at)) => ("failing", Some(at)),
        (EndpointState::Enabled, None, None) => ("sending", None),
        _ => ("disabled", None),
    }
}

/// What came of a ping.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PingView {
    pub webhook_id: EventId,
    pub is_success: bool,
    pub attempt: AttemptView,
}
