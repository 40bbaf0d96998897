//! The HTTP client of a lane: one request, one answer, within fixed limits of time and size. Follows no redirect,
//! decompresses nothing, and connects only through the guard. Knows neither endpoints nor events.

use std::time::Duration;

use bellwether_webhook::{Secret, Signer, SigningKey, header};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::answer::{Answer, ErrorClass};
use super::connector::Connector;
use super::outbound::{Outbound, Timeouts};
use crate::clock::Timestamp;

/// How long a connection without work is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most that the head of an answer may have, in bytes and in headers.
const MOST_HEAD: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;
/// What a receiver may send ahead of being read, for each answer and for all on one connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// How soon a dead connection of HTTP/2 is noticed while answers are awaited on it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
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
    pool: PooledClient<Connector, Full<Bytes>>,
    uri: Uri,
    /// Those that every request has.
    headers: HeaderMap,
    body: Signer,
    keys: Vec<KeySigner>,
    timeouts: Timeouts,
}

impl Client {
    /// Opens no connection yet.
    pub fn connect(target: Target, outbound: &Outbound) -> Result<Self, UnusableUrl> {
        let limit = usize::try_from(target.max_in_flight.max(1)).unwrap_or(1);
        let pool = PooledClient::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(limit)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(MOST_HEAD)
            .http1_max_headers(MOST_HEADERS)
            .http2_max_header_list_size(u32::try_from(MOST_HEAD).unwrap_or(u32::MAX))
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(Connector::with_limit(outbound.clone(), limit));
        // The URL's standard form: names in ASCII, everything escaped that must be.
        let url = url::Url::parse(&target.url).map_err(|error| UnusableUrl(error.to_string()))?;
        let uri = url.as_str().parse().map_err(|error: http::uri::InvalidUri| UnusableUrl(error.to_string()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in target.headers.into_iter().filter(|(name, _)| !FRAMING.contains(name)) {
            headers.append(name, value);
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
            pool,
            uri,
            headers,
            body: Signer::new(&target.credentials.body),
            keys: keys.collect(),
            timeouts: outbound.timeouts,
        })
    }

    /// Sends `message`, signed as of `now`.
    pub async fn send(&self, message: &Message<'_>, now: Timestamp) -> Answer {
        let request = match self.request(message, now) {
            Ok(request) => request,
            Err(error) => return Answer::failed(ErrorClass::Request, error.to_string()),
        };
        let ends_at = tokio::time::Instant::now() + self.timeouts.whole;
        let response = match tokio::time::timeout_at(ends_at, self.pool.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Answer::of_error(&error),
            Err(_) => {
                let seconds = self.timeouts.whole.as_secs_f64();
                return Answer::failed(ErrorClass::TimeoutAnswer, format!("no status came within {seconds} s"));
            }
        };
        let left = ends_at.saturating_duration_since(tokio::time::Instant::now());
        Answer::read(response, self.timeouts.body.min(left)).await
    }

    fn request(&self, message: &Message<'_>, now: Timestamp) -> Result<Request<Full<Bytes>>, http::Error> {
        let signature = self.body.sign_data(message.data.as_bytes());
        let body = bellwether_webhook::body(message.event, message.data, &signature);
        let timestamp = now.as_seconds();
        let mut headers = self.headers.clone();
        headers.insert(ID, message.id.parse()?);
        headers.insert(TIMESTAMP, timestamp.into());
        let signatures = self.signatures(message.id, now, body.as_bytes());
        headers.insert(SIGNATURE, signatures.parse()?);
        headers.insert(ATTEMPT, message.attempt.into());
        match message.revision {
            Some(revision) => headers.insert(REVISION, revision.into()),
            None => headers.remove(REVISION),
        };
        let mut request = Request::post(self.uri.clone()).body(Full::new(Bytes::from(body)))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// One of each kind for every key in force, separated by spaces.
    fn signatures(&self, id: &str, now: Timestamp, body: &[u8]) -> String {
        let in_force = self.keys.iter().filter(|key| key.until.is_none_or(|until| now < until));
        let signatures = in_force.flat_map(|key| {
            let secret = key.secret.sign_message(id, now.as_seconds(), body);
            let signing_key = key.signing_key.as_ref().map(|key| key.sign_message(id, now.as_seconds(), body));
            std::iter::once(secret).chain(signing_key)
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}
