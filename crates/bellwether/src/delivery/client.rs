//! The HTTP client of a lane: one request, one answer, within fixed limits of time and size. Follows no redirect,
//! decompresses nothing, and connects only through the guard.

use std::sync::Arc;
use std::time::Duration;

use bellwether_webhook::{Secret, Signer, header};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::guard::{ConnectError, Guard};
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, Format};
use crate::event::Event;

/// For the whole of a request, connecting and reading the answer included.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(15);
/// No more of an answer is read.
const MOST_READ: usize = 16 * 1024;
/// No more of an answer is kept.
const MOST_STORED: usize = 4 * 1024;
/// How long a connection without work is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What came back for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Status { code: u16, retry_after: Option<String>, body: String },
    Failed { class: &'static str, message: String },
}

impl Answer {
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Status { code: 200..=299, .. })
    }

    /// The class of the failure.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Failed { class, .. } => class,
        }
    }
}

/// A client bound to one endpoint, with its own connections.
pub struct Client {
    pool: PooledClient<HttpsConnector<Guard>, Full<Bytes>>,
    uri: Uri,
    format: Format,
    signer: Signer,
}

impl Client {
    /// Fails if the URL, which was checked when it was stored, is none for the HTTP library.
    pub fn for_endpoint(
        endpoint: &Endpoint,
        guard: Guard,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Self, http::uri::InvalidUri> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*tls).clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(guard);
        let pool = PooledClient::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(usize::try_from(endpoint.settings.max_in_flight).unwrap_or(8))
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connector);
        let url = url::Url::parse(&endpoint.settings.url).map(String::from).unwrap_or_default();
        Ok(Self {
            pool,
            uri: url.parse()?,
            format: endpoint.settings.format,
            signer: Signer::new(&Secret::parse(&endpoint.signing.current.secret).unwrap_or_else(|_| unreachable!())),
        })
    }

    /// Sends `event`, signed as of `now`. `attempt` counts from 1.
    pub async fn send(&self, event: &Event, attempt: u32, now: Timestamp) -> Answer {
        let request = match self.request(event, attempt, now) {
            Ok(request) => request,
            Err(error) => return Answer::Failed { class: "request", message: error.to_string() },
        };
        match tokio::time::timeout(WHOLE_TIMEOUT, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Failed {
                class: "timeout",
                message: format!("no complete answer within {} s", WHOLE_TIMEOUT.as_secs()),
            },
        }
    }

    fn request(&self, event: &Event, attempt: u32, now: Timestamp) -> Result<Request<Full<Bytes>>, http::Error> {
        let data = event.data_in(self.format);
        let body = bellwether_webhook::body(event.topic.as_str(), data, &self.signer.sign_data(data.as_bytes()));
        let id = event.id.to_string();
        let timestamp = now.as_seconds();
        Request::post(self.uri.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::USER_AGENT, concat!("Bellwether/", env!("CARGO_PKG_VERSION")))
            .header(header::ID, &id)
            .header(header::TIMESTAMP, timestamp)
            .header(header::SIGNATURE, self.signer.sign_message(&id, timestamp, body.as_bytes()))
            .header(header::REVISION, event.revision)
            .header(header::ATTEMPT, attempt)
            .body(Full::new(Bytes::from(body)))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = match self.pool.request(request).await {
            Ok(response) => response,
            Err(error) => return classify(&error),
        };
        let code = response.status().as_u16();
        let retry_after = response.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let mut body = response.into_body();
        let mut read = Vec::new();
        // The status has come and decides; of the body no more is read than is needed to keep the connection.
        while read.len() < MOST_READ {
            match body.frame().await {
                Some(Ok(frame)) => read.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes)),
                Some(Err(_)) | None => break,
            }
        }
        read.truncate(MOST_STORED);
        // U+0000 cannot be stored as text in PostgreSQL.
        Answer::Status { code, retry_after, body: String::from_utf8_lossy(&read).replace('\0', "\u{fffd}") }
    }
}

/// The class of a failure, by the types of its causes, never by their words.
fn classify(error: &hyper_util::client::legacy::Error) -> Answer {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut message = String::new();
    let mut class = if error.is_connect() { "connect" } else { "exchange" };
    while let Some(current) = cause {
        if let Some(refused) = current.downcast_ref::<ConnectError>() {
            return Answer::Failed { class: refused.class, message: refused.message.clone() };
        }
        let wraps_tls = current
            .downcast_ref::<std::io::Error>()
            .and_then(|io| io.get_ref())
            .is_some_and(|inner| inner.is::<rustls::Error>());
        if wraps_tls || current.is::<rustls::Error>() {
            class = "tls";
        }
        message = current.to_string();
        cause = current.source();
    }
    Answer::Failed { class, message }
}

/// TLS as every lane uses it: the web's certificate authorities.
pub fn tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
