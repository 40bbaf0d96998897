//! A delivery and its attempts.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::clock::Timestamp;
use crate::domain::delivery::{Attempt, Delivery, DeliveryState, Origin};
use crate::domain::id::{DeliveryId, EndpointId, EventId, ExperimentId};

#[derive(Debug, Serialize, JsonSchema)]
pub struct DeliveryView {
    id: DeliveryId,
    event_id: EventId,
    endpoint_id: EndpointId,
    experiment_id: ExperimentId,
    revision: i64,
    state: DeliveryState,
    /// Why it was cancelled.
    reason: Option<String>,
    origin: Origin,
    /// Whether it comes behind live traffic, while it is pending.
    is_behind: bool,
    attempt_count: u32,
    failure_count: u32,
    due_at: Option<Timestamp>,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl DeliveryView {
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id,
            event_id: delivery.event_id,
            endpoint_id: delivery.endpoint_id,
            experiment_id: delivery.experiment_id,
            revision: delivery.revision,
            state: delivery.state,
            reason: delivery.reason.clone(),
            origin: delivery.origin,
            is_behind: delivery.is_behind,
            attempt_count: delivery.attempt_count,
            failure_count: delivery.failure_count,
            due_at: delivery.due_at,
            created_at: delivery.created_at,
            ended_at: delivery.ended_at,
        }
    }
}

/// A delivery with what is sent of it, and its latest attempts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeliveryInFull {
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// Null where the endpoint was deleted, or the event is past retention.
    pub body: Option<String>,
    pub attempts: Vec<AttemptView>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct AttemptView {
    number: u32,
    started_at: Timestamp,
    duration_us: u64,
    status_code: Option<u32>,
    error_class: Option<String>,
    error: Option<String>,
    request_headers: Option<String>,
    response_headers: Option<String>,
    response_body: Option<String>,
}

impl AttemptView {
    pub fn of(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            started_at: attempt.started_at,
            duration_us: attempt.duration_us,
            status_code: attempt.status_code,
            error_class: attempt.error_class,
            error: attempt.error,
            request_headers: attempt.request_headers,
            response_headers: attempt.response_headers,
            response_body: attempt.response_body,
        }
    }
}
