//! `webhook.ping`: one request to an endpoint, at once, for whoever wants to know whether it arrives. It is in no log, is not
//! tried again, and is sent whether or not the endpoint is enabled.

use bellwether_webhook::ObjectWriter;

use super::lane::attempt;
use super::traced;
use super::transport::client::Message;
use super::transport::outbound::Outbound;
use super::transport::target;
use crate::domain::delivery::Attempt;
use crate::domain::endpoint::Endpoint;
use crate::domain::error::FieldError;
use crate::domain::id::EventId;
use crate::registry::Registry;

#[derive(Clone)]
pub struct Pings {
    registry: Registry,
    outbound: Outbound,
}

impl Pings {
    pub fn over(registry: Registry, outbound: Outbound) -> Self {
        Self { registry, outbound }
    }

    /// How many connections to receivers there may be, of lanes and pings together, and how many there are.
    pub fn connections(&self) -> (usize, usize) {
        self.outbound.connections()
    }

    /// Sends a ping and waits for what comes of it, within the limits of every request. An error if the endpoint cannot
    /// be sent to as it is stored. Also gives the `webhook-id` it had.
    pub async fn send(&self, endpoint: &Endpoint) -> Result<(EventId, Attempt), FieldError> {
        let client = target::client(endpoint, &self.outbound)?;
        let id = EventId::of(self.registry.ids().next());
        let mut data = ObjectWriter::begin();
        data.string("endpoint_id", &endpoint.id.to_string());
        let (data, text) = (data.finish(), id.to_string());
        let message = Message { id: &text, event: "webhook.ping", data: &data, revision: None, attempt: 1 };
        let clock = self.registry.clock();
        let (started_at, start) = (clock.now(), clock.monotonic());
        let exchanged = traced::exchange(&client, endpoint.id, &message, started_at, true).await;
        Ok((id, attempt(1, started_at, clock.monotonic().saturating_sub(start), exchanged)))
    }
}
