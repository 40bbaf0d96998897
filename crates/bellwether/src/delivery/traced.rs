//! A span for every request to a receiver: for which endpoint and event, and what came of it. No URL is in it, nor is the trace
//! told to the receiver: whose process it is part of is not theirs to know.

use tracing::field::Empty;
use tracing::{Instrument, debug_span};

use super::transport::answer::Answer;
use super::transport::client::{Client, Exchanged, Message};
use crate::domain::clock::Timestamp;
use crate::domain::id::EndpointId;

/// `is_shown`: the headers that were sent are wanted even of a success.
pub async fn exchange(
    client: &Client,
    endpoint: EndpointId,
    message: &Message<'_>,
    now: Timestamp,
    is_shown: bool,
) -> Exchanged {
    let span = debug_span!(
        "attempt",
        otel.kind = "client",
        otel.status_code = Empty,
        bellwether.endpoint = %endpoint,
        bellwether.event = message.id,
        bellwether.event_type = message.event,
        bellwether.attempt = message.attempt,
        http.response.status_code = Empty,
        error.type = Empty,
    );
    let exchanged = client.exchange(message, now, is_shown).instrument(span.clone()).await;
    if let Answer::Status { code, .. } = &exchanged.answer {
        span.record("http.response.status_code", code);
    }
    if let Some(class) = exchanged.answer.class() {
        span.record("error.type", class.as_str());
        span.record("otel.status_code", "ERROR");
    }
    exchanged
}
