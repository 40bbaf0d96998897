//! The HTTP client of a lane: one request, one answer, within fixed limits of time and size. Follows no redirect,
//! decompresses nothing, and connects only through the guard. Knows neither endpoints nor events.

use std::io::Write;

use bellwether_webhook::{Secret, Signer, SigningKey, header};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};

use super::answer::{Answer, ErrorClass};
use super::connector::Connector;
use super::outbound::{Outbound, Timeouts};
use super::pool::{Connection, Pool};
use super::{http1, http2};
use crate::clock::Timestamp;

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

/// Where a client sends to, and how.
#[derive(Debug, Clone)]
pub struct Target {
    pub url: String,
    /// Requests under way at once, and so connections.
    pub max_in_flight: u32,
    /// Sent with every request. Bellwether's own headers win over them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub credentials: Credentials,
}

/// What webhooks to one endpoint are signed with.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub body: Secret,
    /// For the headers, in this order.
    pub message: Vec<Key>,
}

#[derive(Debug, Clone)]
pub struct Key {
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

#[derive(Debug, thiserror::Error)]
#[error("the URL cannot be used: {0}")]
pub struct UnusableUrl(String);

struct KeySigner {
    secret: Signer,
    signing_key: Option<SigningKey>,
    until: Option<Timestamp>,
}

/// A client bound to one target, with its own connections.
pub struct Client {
    pool: Pool,
    uri: Uri,
    /// Those that every request has.
    headers: HeaderMap,
    /// The same as they go out over HTTP/1.1, behind the line that begins every request.
    beginning: Vec<u8>,
    body: Signer,
    keys: Vec<KeySigner>,
    timeouts: Timeouts,
}

/// A message as it goes out at a moment.
struct Signed<'a> {
    message: &'a Message<'a>,
    timestamp: i64,
    signatures: String,
    body: String,
}

/// An answer whose head has come.
enum Asked {
    Http1(http1::Connection, http1::Head),
    Http2(Response<Incoming>),
}

impl Client {
    /// Opens no connection yet.
    pub fn connect(target: Target, outbound: &Outbound) -> Result<Self, UnusableUrl> {
        let limit = usize::try_from(target.max_in_flight.max(1)).unwrap_or(1);
        // The URL's standard form: names in ASCII, everything escaped that must be.
        let url = url::Url::parse(&target.url).map_err(|error| UnusableUrl(error.to_string()))?;
        let uri: Uri = url.as_str().parse().map_err(|error: http::uri::InvalidUri| UnusableUrl(error.to_string()))?;
        let connector = Connector::to(&url, outbound.clone());
        let connector = connector.ok_or_else(|| UnusableUrl("it names no host".to_owned()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in target.headers.into_iter().filter(|(name, _)| !FRAMING.contains(name)) {
            headers.append(name, value);
        }
        for name in [ID, TIMESTAMP, SIGNATURE, REVISION, ATTEMPT] {
            headers.remove(name);
        }
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = HeaderValue::from_static(concat!("Bellwether/", env!("CARGO_PKG_VERSION")));
        headers.insert(http::header::USER_AGENT, agent);
        let keys = target.credentials.message.into_iter().map(|key| KeySigner {
            secret: Signer::new(&key.secret),
            signing_key: key.signing_key,
            until: key.until,
        });
        Ok(Self {
            pool: Pool::of(connector, limit),
            beginning: beginning(&url, &headers),
            uri,
            headers,
            body: Signer::new(&target.credentials.body),
            keys: keys.collect(),
            timeouts: outbound.timeouts,
        })
    }

    /// Sends `message`, signed as of `now`.
    pub async fn send(&self, message: &Message<'_>, now: Timestamp) -> Answer {
        let signed = self.sign(message, now);
        let ends_at = tokio::time::Instant::now() + self.timeouts.whole;
        let exchange = async {
            let permit = self.pool.permit().await.map_err(|error| Answer::of_error(&error))?;
            Ok((self.ask(&signed).await?, permit))
        };
        let (asked, _permit) = match tokio::time::timeout_at(ends_at, exchange).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(failed)) => return failed,
            Err(_) => {
                let seconds = self.timeouts.whole.as_secs_f64();
                return Answer::failed(ErrorClass::TimeoutAnswer, format!("no status came within {seconds} s"));
            }
        };
        let left = ends_at.saturating_duration_since(tokio::time::Instant::now());
        let limit = self.timeouts.body.min(left);
        match asked {
            Asked::Http2(response) => Answer::of_response(response, limit).await,
            Asked::Http1(mut connection, mut head) => {
                let answer = Answer::of_head(&mut connection, &mut head, limit).await;
                if let Some(connection) = connection.kept(&head) {
                    self.pool.put(connection);
                }
                answer
            }
        }
    }

    /// Over a connection that waits, or else a fresh one. One that waited may be ended by the other side in just this
    /// moment: nothing has come back then, and the request goes over another. It may be received twice, as any may.
    async fn ask(&self, signed: &Signed<'_>) -> Result<Asked, Answer> {
        if let Some(connection) = self.pool.take()
            && let Some(asked) = self.ask_over(connection, signed, true).await?
        {
            return Ok(asked);
        }
        let connection = self.pool.connect().await.map_err(|error| Answer::of_error(&error))?;
        match self.ask_over(connection, signed, false).await? {
            Some(asked) => Ok(asked),
            None => Err(Answer::failed(ErrorClass::Exchange, "the connection was closed before a status came")),
        }
    }

    /// `None`: the connection `has_waited`, and was ended before anything came back.
    async fn ask_over(
        &self,
        connection: Connection,
        signed: &Signed<'_>,
        has_waited: bool,
    ) -> Result<Option<Asked>, Answer> {
        match connection {
            Connection::Http1(mut connection) => match connection.ask(&self.http1_request(signed)).await {
                Ok(head) => Ok(Some(Asked::Http1(connection, head))),
                Err(http1::Failure::Broken { is_unanswered: true, .. }) if has_waited => Ok(None),
                Err(http1::Failure::Broken { error, .. }) => Err(Answer::of_error(&error)),
                Err(http1::Failure::Malformed(message)) => Err(Answer::failed(ErrorClass::MalformedAnswer, message)),
            },
            Connection::Http2(mut connection) => {
                let request = self.http2_request(signed);
                let request = request.map_err(|error| Answer::failed(ErrorClass::Request, error.to_string()))?;
                match connection.ask(request).await {
                    Ok(response) => Ok(Some(Asked::Http2(response))),
                    Err(error) if has_waited && http2::is_unanswered(&error) => Ok(None),
                    Err(error) => Err(Answer::of_error(&error)),
                }
            }
        }
    }

    fn sign<'a>(&self, message: &'a Message<'a>, now: Timestamp) -> Signed<'a> {
        let signature = self.body.sign_data(message.data.as_bytes());
        let body = bellwether_webhook::body(message.event, message.data, &signature);
        let signatures = self.signatures(message.id, now, body.as_bytes());
        Signed { message, timestamp: now.as_seconds(), signatures, body }
    }

    fn http1_request(&self, signed: &Signed<'_>) -> Vec<u8> {
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

    fn http2_request(&self, signed: &Signed<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
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
