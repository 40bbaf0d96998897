//! The server's event stream, followed for as long as may be: where it breaks off, it is gone on with from where it was.

use std::fmt::Display;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time;

use super::logged::Logged;
use super::messages::{Message, Messages};
use crate::cli::api_client::ApiError;
use crate::delivery::transport::connector::Connector;
use crate::delivery::transport::outbound::Outbound;

/// Three heartbeats: the server, or the way to it, is gone.
const LONGEST_SILENCE: Duration = Duration::from_secs(45);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LARGEST_REFUSAL: usize = 64 * 1024;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub struct Subscription {
    connector: Connector,
    server: String,
    /// Path and query.
    target: String,
    host: HeaderValue,
    authorization: HeaderValue,
    /// Behind what was read last.
    position: Option<HeaderValue>,
}

/// Why the stream cannot be read, or be read on.
struct Failure {
    reason: String,
    /// Asking again would not help.
    is_final: bool,
}

fn lost(reason: impl Display) -> Failure {
    Failure { reason: reason.to_string(), is_final: false }
}

fn ended(reason: impl Display) -> Failure {
    Failure { reason: reason.to_string(), is_final: true }
}

/// A stream that is open.
struct Reading {
    body: Incoming,
    messages: Messages,
    /// The connection ends when this is dropped.
    _sender: SendRequest<Empty<Bytes>>,
}

impl Subscription {
    pub fn to(server: &str, query: &str, key: &str, outbound: Outbound) -> Result<Self, String> {
        let url = super::checked(server)?;
        let bearer = HeaderValue::try_from(format!("Bearer {key}"));
        let mut authorization = bearer.map_err(|_| "--key has characters that no key has; paste it alone")?;
        authorization.set_sensitive(true);
        let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        Ok(Self {
            connector: Connector::to(&url, outbound)?,
            server: server.to_owned(),
            target: format!("{}/api/v1/events/stream?{query}", url.path().trim_end_matches('/')),
            host: HeaderValue::try_from(host).map_err(|error| error.to_string())?,
            authorization,
            position: None,
        })
    }

    /// Hands on what comes, and gives the reason why there is no more. `begun` is called when the stream is open at last; a
    /// server that is not there in the beginning is not waited for.
    pub async fn follow(mut self, events: mpsc::Sender<Logged>, begun: impl FnOnce()) -> String {
        let mut reading = match self.open().await {
            Ok(reading) => reading,
            Err(failure) => return failure.reason,
        };
        begun();
        loop {
            let failure = self.read(&mut reading, &events).await;
            reading = match self.reopen(failure).await {
                Ok(reading) => reading,
                Err(reason) => return reason,
            };
        }
    }

    /// Until the stream ends.
    async fn read(&mut self, reading: &mut Reading, events: &mpsc::Sender<Logged>) -> Failure {
        loop {
            if let Err(failure) = self.read_one(reading, events).await {
                return failure;
            }
        }
    }

    async fn read_one(&mut self, reading: &mut Reading, events: &mpsc::Sender<Logged>) -> Result<(), Failure> {
        let message = reading.next().await?;
        if let Some(event) = event(&message)? {
            events.send(event).await.map_err(|_| ended("nobody takes the events"))?;
        }
        // A heartbeat has one too: it moves on where nothing was for us.
        if let Some(position) = message.id.and_then(|id| HeaderValue::try_from(id).ok()) {
            self.position = Some(position);
        }
        Ok(())
    }

    /// Opens it again, as often as it takes; an error is the reason why that is of no use.
    async fn reopen(&self, mut failure: Failure) -> Result<Reading, String> {
        let mut pause = SHORTEST_PAUSE;
        let mut is_told = false;
        loop {
            if failure.is_final {
                return Err(failure.reason);
            }
            time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.open().await {
                Ok(reading) => {
                    if is_told {
                        eprintln!("{} is there again; going on from where it was", self.server);
                    }
                    return Ok(reading);
                }
                Err(next) if !next.is_final && !is_told => {
                    eprintln!("the stream of {} has ended; trying to go on: {}", self.server, next.reason);
                    is_told = true;
                    failure = next;
                }
                Err(next) => failure = next,
            }
        }
    }

    async fn open(&self) -> Result<Reading, Failure> {
        let opening = time::timeout(LONGEST_SILENCE, self.ask());
        opening.await.unwrap_or_else(|_| Err(lost(format_args!("{} does not answer", self.server))))
    }

    async fn ask(&self) -> Result<Reading, Failure> {
        let unreachable = |error: &dyn Display| {
            lost(format_args!("{} cannot be reached: {error}; is it running, and is --server right?", self.server))
        };
        let connected = self.connector.connect(true).await.map_err(|error| unreachable(&error))?;
        let handshake = http1::handshake(TokioIo::new(connected.stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| unreachable(&error))?;
        let slot = connected.slot;
        tokio::spawn(async move {
            let _slot = slot;
            // Whoever reads the body learns of its end.
            let _ = connection.await;
        });
        let request = Request::get(&self.target)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::ACCEPT, "text/event-stream");
        let request = self.position.iter().fold(request, |request, id| request.header(LAST_EVENT_ID, id));
        let request = request.body(Empty::new()).map_err(ended)?;
        let (head, body) = sender.send_request(request).await.map_err(|error| unreachable(&error))?.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
        match head.status {
            StatusCode::OK if kind.starts_with("text/event-stream") => {
                Ok(Reading { body, messages: Messages::default(), _sender: sender })
            }
            StatusCode::OK => {
                Err(ended(format_args!("{} is no Bellwether: it answers with {kind}; correct --server", self.server)))
            }
            status => Err(refusal(status, body).await),
        }
    }
}

impl Reading {
    async fn next(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some(message) = self.messages.next().map_err(ended)? {
                return Ok(message);
            }
            let frame = time::timeout(LONGEST_SILENCE, self.body.frame()).await;
            let frame = frame.map_err(|_| lost("nothing came any more"))?;
            let frame = frame.ok_or_else(|| lost("it was closed"))?.map_err(lost)?;
            if let Some(bytes) = frame.data_ref() {
                self.messages.push(bytes);
            }
        }
    }
}

/// The event in a message; most heartbeats have none.
fn event(message: &Message) -> Result<Option<Logged>, Failure> {
    let Some(data) = &message.data else { return Ok(None) };
    if message.event.as_deref() == Some("cursor-gone") {
        let problem = serde_json::from_str(data).unwrap_or(Value::Null);
        return Err(refused(StatusCode::GONE, problem));
    }
    let event = serde_json::from_str(data);
    event.map(Some).map_err(|error| ended(format_args!("the server has sent what is no event: {error}")))
}

async fn refusal(status: StatusCode, body: Incoming) -> Failure {
    let body = Limited::new(body, LARGEST_REFUSAL).collect().await;
    let problem = body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    refused(status, problem.unwrap_or_else(|| Value::String("it says no more".to_owned())))
}

fn refused(status: StatusCode, problem: Value) -> Failure {
    let advice = match status {
        StatusCode::UNAUTHORIZED => "; give it with --key, or as BELLWETHER_KEY",
        StatusCode::GONE => "; then start this again, with --replay-since for what is still there",
        _ if status.is_redirection() => "; correct --server",
        _ => "",
    };
    let error = ApiError { request: "GET events/stream".to_owned(), status: Some(status), problem };
    let is_passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    Failure { reason: format!("{error}{advice}"), is_final: !is_passing }
}
