//! Why an event was sent to an endpoint, was not, or is not yet.

use schemars::JsonSchema;
use serde::Serialize;

use super::delivery::DeliveryView;
use crate::domain::id::{EndpointId, EventId};
use crate::registry::{Verdict, Why};

#[derive(Debug, Serialize, JsonSchema)]
pub struct WhyView {
    event_id: EventId,
    endpoint_id: EndpointId,
    verdict: Verdict,
    detail: String,
    deliveries: Vec<DeliveryView>,
}

impl WhyView {
    pub fn of(why: Why) -> Self {
        Self {
            event_id: why.event_id,
            endpoint_id: why.endpoint_id,
            verdict: why.verdict,
            detail: why.detail,
            deliveries: why.deliveries.iter().map(DeliveryView::of).collect(),
        }
    }
}
