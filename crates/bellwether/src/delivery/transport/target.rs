//! From an endpoint and an event, as the domain has them, to what the client sends, and where to. What an endpoint is checked
//! by when it is written is this too, so that nothing is accepted that could not be sent.

use std::sync::Arc;

use bellwether_webhook::{Secret, SigningKey};
use http::header::{HeaderName, HeaderValue};

use super::client::{Client, Credentials, Message, MessageKey, Target};
use super::outbound::Outbound;
use crate::domain::clock::Timestamp;
use crate::domain::endpoint::{Endpoint, Sendable, Settings};
use crate::domain::error::FieldError;
use crate::domain::event::{Event, Format};
use crate::domain::signing::{Keys, Signing};

/// A client for `endpoint`, or why it cannot be sent to as it is stored.
pub fn client(endpoint: &Endpoint, outbound: &Outbound) -> Result<Arc<Client>, FieldError> {
    of(&endpoint.settings, &endpoint.signing, outbound).map(Arc::new)
}

fn of(settings: &Settings, signing: &Signing, outbound: &Outbound) -> Result<Client, FieldError> {
    let header = |(name, value): (&String, &String)| {
        let wrong = |reason: String| FieldError { field: format!("headers.{name}"), message: reason };
        let parsed = HeaderName::try_from(name).map_err(|error| wrong(error.to_string()))?;
        Ok((parsed, HeaderValue::try_from(value).map_err(|error| wrong(error.to_string()))?))
    };
    let own = settings.tls.as_ref().map(|own| outbound.tls_with(own)).transpose();
    let target = Target {
        url: settings.url.clone(),
        max_in_flight: settings.max_in_flight,
        headers: settings.headers.iter().map(header).collect::<Result<_, FieldError>>()?,
        chat: settings.format.chat(),
        credentials: credentials(signing, settings.asymmetric_signature)?,
        tls: own.map_err(|(field, message)| FieldError { field: field.to_owned(), message })?,
    };
    Client::connect(target, outbound)
        .map_err(|error| FieldError { field: "url".to_owned(), message: error.to_string() })
}

fn credentials(signing: &Signing, is_asymmetric: bool) -> Result<Credentials, FieldError> {
    let secret = |keys: &Keys| {
        Secret::parse(&keys.secret)
            .map_err(|error| FieldError { field: "secret".to_owned(), message: error.to_string() })
    };
    let key = |keys: &Keys, until: Option<Timestamp>| {
        let signing_key = keys.seed.filter(|_| is_asymmetric).map(|seed| SigningKey::from_bytes(&seed));
        Ok(MessageKey { secret: secret(keys)?, signing_key, until })
    };
    let all = signing.in_headers().map(|(keys, until)| key(keys, until)).collect::<Result<_, FieldError>>()?;
    Ok(Credentials { body: secret(&signing.current)?, message: all })
}

impl Sendable for Outbound {
    fn problem(&self, settings: &Settings, signing: &Signing) -> Option<FieldError> {
        of(settings, signing, self).err()
    }
}

/// `event` in the format that the endpoint wants. `id` is the event's, as text.
pub fn message<'a>(event: &'a Event, id: &'a str, format: Format, attempt: u32) -> Message<'a> {
    Message { id, event: event.topic.as_str(), data: event.data_in(format), revision: event.shown_revision(), attempt }
}
