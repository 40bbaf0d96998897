//! From an endpoint and an event, as the domain has them, to what the client sends, and where to.

use std::sync::Arc;

use bellwether_webhook::{EmptySecret, Secret, SigningKey};
use http::header::{HeaderName, HeaderValue};

use super::client::{Client, Credentials, Key, Message, Target};
use super::outbound::Outbound;
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, Format};
use crate::event::Event;
use crate::signing::{Keys, Signing};

/// A client for `endpoint`. `None`, and a line in the log, if it cannot be sent to as it is stored.
pub fn connect(endpoint: &Endpoint, outbound: &Outbound) -> Option<Arc<Client>> {
    let unusable = |error: String| {
        tracing::error!(%error, endpoint = %endpoint.id, "the endpoint cannot be sent to; edit it");
    };
    let target = target(endpoint).inspect_err(|error| unusable(error.to_string())).ok()?;
    let client = Client::connect(target, outbound).inspect_err(|error| unusable(error.to_string())).ok()?;
    Some(Arc::new(client))
}

fn target(endpoint: &Endpoint) -> Result<Target, EmptySecret> {
    let settings = &endpoint.settings;
    // All of them were checked when they were stored.
    let header = |(name, value): (&String, &String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    Ok(Target {
        url: settings.url.clone(),
        max_in_flight: settings.max_in_flight,
        headers: settings.headers.iter().filter_map(header).collect(),
        credentials: credentials(&endpoint.signing, settings.asymmetric_signature)?,
    })
}

fn credentials(signing: &Signing, is_asymmetric: bool) -> Result<Credentials, EmptySecret> {
    let key = |keys: &Keys, until: Option<Timestamp>| {
        let signing_key = keys.seed.filter(|_| is_asymmetric).map(|seed| SigningKey::from_bytes(&seed));
        Ok(Key { secret: Secret::parse(&keys.secret)?, signing_key, until })
    };
    let all = signing.in_headers().map(|(keys, until)| key(keys, until)).collect::<Result<_, _>>()?;
    Ok(Credentials { body: Secret::parse(&signing.current.secret)?, message: all })
}

/// `event` in the format that the endpoint wants. `id` is the event's, as text.
pub fn message<'a>(event: &'a Event, id: &'a str, format: Format, attempt: u32) -> Message<'a> {
    Message { id, event: event.topic.as_str(), data: event.data_in(format), revision: event.shown_revision(), attempt }
}
