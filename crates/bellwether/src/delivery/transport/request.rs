//! A webhook as it goes out: its headers and body, signed at a moment, for HTTP/1.1 and HTTP/2, and as it is shown to people.
//! Knows neither connections nor answers.

use std::io::Write;
use std::sync::Arc;

use bellwether_webhook::{Secret, Signer, SigningKey, header};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;

use crate::domain::clock::Timestamp;
use crate::domain::hidden::HIDDEN;
use crate::domain::sentence::{Chat, Sentence};

const ID: HeaderName = HeaderName::from_static(header::ID);
const TIMESTAMP: HeaderName = HeaderName::from_static(header::TIMESTAMP);
const SIGNATURE: HeaderName = HeaderName::from_static(header::SIGNATURE);
const REVISION: HeaderName = HeaderName::from_static(header::REVISION);
const ATTEMPT: HeaderName = HeaderName::from_static(header::ATTEMPT);
/// Headers that frame the message. They are HTTP's own, whoever asks for them.
const FRAMING: [HeaderName; 8] = [
    http::header::CONNECTION,
    http::header::CONTENT_LENGTH,
    http::header::EXPECT,
    http::header::HOST,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
];

/// What webhooks to one endpoint are signed with.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub body: Secret,
    /// For the headers, in this order.
    pub message: Vec<MessageKey>,
}

#[derive(Debug, Clone)]
pub struct MessageKey {
    pub secret: Secret,
    pub signing_key: Option<SigningKey>,
    /// From when on it signs no more.
    pub until: Option<Timestamp>,
}

/// One webhook to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub id: &'a str,
    pub event: &'a str,
    /// The exact bytes of `data`.
    pub data: &'a str,
    pub revision: Option<i64>,
    /// Counted from 1.
    pub attempt: u32,
}

struct KeySigner {
    secret: Signer,
    signing_key: Option<SigningKey>,
    until: Option<Timestamp>,
}

/// What all requests to one target have in common.
pub struct Template {
    uri: Uri,
    headers: HeaderMap,
    /// The same as they go out over HTTP/1.1, behind the line that begins every request.
    beginning: Vec<u8>,
    /// Headers that were asked for; their values may be tokens.
    own: Vec<HeaderName>,
    body: Signer,
    keys: Vec<KeySigner>,
    /// In place of data.
    sentences: Option<Sentences>,
}

/// How events are told to people.
pub struct Sentences {
    pub chat: Chat,
    /// What links begin with.
    pub links: Option<Arc<str>>,
}

/// A message as it goes out at a moment.
pub struct Signed<'a> {
    message: &'a Message<'a>,
    timestamp: i64,
    signatures: String,
    body: String,
}

impl Template {
    pub fn new(
        url: &url::Url,
        uri: Uri,
        asked: &[(HeaderName, HeaderValue)],
        credentials: Credentials,
        sentences: Option<Sentences>,
    ) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in asked.iter().filter(|(name, _)| !FRAMING.contains(name)) {
            headers.append(name, value.clone());
        }
        for name in [ID, TIMESTAMP, SIGNATURE, REVISION, ATTEMPT] {
            headers.remove(name);
        }
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = HeaderValue::from_static(concat!("Bellwether/", env!("CARGO_PKG_VERSION")));
        headers.insert(http::header::USER_AGENT, agent);
        let keys = credentials.message.into_iter().map(|key| KeySigner {
            secret: Signer::new(&key.secret),
            signing_key: key.signing_key,
            until: key.until,
        });
        Self {
            beginning: beginning(url, &headers),
            own: asked.iter().map(|(name, _)| name.clone()).collect(),
            uri,
            headers,
            body: Signer::new(&credentials.body),
            keys: keys.collect(),
            sentences,
        }
    }

    pub fn sign<'a>(&self, message: &'a Message<'a>, now: Timestamp) -> Signed<'a> {
        let body = match &self.sentences {
            None => {
                let signature = self.body.sign_data(message.data.as_bytes());
                bellwether_webhook::body(message.event, message.data, &signature)
            }
            Some(Sentences { chat, links }) => chat.body(&Sentence::of(message.event, message.data), links.as_deref()),
        };
        let signatures = self.signatures(message.id, now, body.as_bytes());
        Signed { message, timestamp: now.as_seconds(), signatures, body }
    }

    pub fn http1(&self, signed: &Signed<'_>) -> Vec<u8> {
        let Signed { message, timestamp, signatures, body } = signed;
        let mut request = Vec::with_capacity(self.beginning.len() + signatures.len() + body.len() + 256);
        request.extend_from_slice(&self.beginning);
        let Message { id, attempt, revision, .. } = message;
        // Writing to memory does not fail.
        let _ = write!(
            request,
            "{ID}: {id}\r\n{TIMESTAMP}: {timestamp}\r\n{SIGNATURE}: {signatures}\r\n{ATTEMPT}: {attempt}\r\n"
        );
        if let Some(revision) = revision {
            let _ = write!(request, "{REVISION}: {revision}\r\n");
        }
        let _ = write!(request, "content-length: {}\r\n\r\n", body.len());
        request.extend_from_slice(body.as_bytes());
        request
    }

    pub fn http2(&self, signed: &Signed<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
        let Signed { message, timestamp, signatures, body } = signed;
        let mut headers = self.headers.clone();
        headers.insert(ID, message.id.parse()?);
        headers.insert(TIMESTAMP, (*timestamp).into());
        headers.insert(SIGNATURE, signatures.parse()?);
        headers.insert(ATTEMPT, message.attempt.into());
        if let Some(revision) = message.revision {
            headers.insert(REVISION, revision.into());
        }
        let mut request = Request::post(self.uri.clone()).body(Full::new(Bytes::from(body.clone())))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// One of each kind for every key in force, separated by spaces.
    fn signatures(&self, id: &str, now: Timestamp, body: &[u8]) -> String {
        let mut signatures = String::new();
        for key in self.keys.iter().filter(|key| key.until.is_none_or(|until| now < until)) {
            let secret = key.secret.sign_message(id, now.as_seconds(), body);
            let signing_key = key.signing_key.as_ref().map(|key| key.sign_message(id, now.as_seconds(), body));
            for signature in std::iter::once(secret).chain(signing_key) {
                if !signatures.is_empty() {
                    signatures.push(' ');
                }
                signatures.push_str(&signature);
            }
        }
        signatures
    }

    /// The headers of a request as it was sent, for people: what may be a token is left out.
    pub fn shown(&self, signed: &Signed<'_>) -> String {
        let request = self.http1(signed);
        let head = request.len() - signed.body.len();
        let text = String::from_utf8_lossy(&request[..head]);
        // The first line is that of the request, and the URL's query may be a token.
        let lines = text.lines().skip(1).filter(|line| !line.is_empty());
        let shown = lines.map(|line| match line.split_once(": ") {
            Some((name, _)) if self.own.iter().any(|own| own.as_str() == name) => format!("{name}: {HIDDEN}\n"),
            _ => format!("{line}\n"),
        });
        shown.collect()
    }
}

/// The line that begins every request over HTTP/1.1, and the headers that all have.
fn beginning(url: &url::Url, headers: &HeaderMap) -> Vec<u8> {
    let mut bytes = format!("POST {}", url.path()).into_bytes();
    if let Some(query) = url.query() {
        bytes.extend(format!("?{query}").bytes());
    }
    bytes.extend(format!(" HTTP/1.1\r\nhost: {}", url.host_str().unwrap_or_default()).bytes());
    if let Some(port) = url.port() {
        bytes.extend(format!(":{port}").bytes());
    }
    bytes.extend(b"\r\n");
    for (name, value) in headers {
        bytes.extend(name.as_str().bytes());
        bytes.extend(b": ");
        bytes.extend(value.as_bytes());
        bytes.extend(b"\r\n");
    }
    bytes
}
