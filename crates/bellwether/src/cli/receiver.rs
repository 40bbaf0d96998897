//! A receiver for development: takes webhooks on any path, verifies each in both ways, tells copies from new ones, and
//! hands what came to whoever started it. It can be told to fail or to be slow.
//!
//! It acts on nothing and keeps nothing but the ids of the last webhooks that it accepted.

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use bellwether_webhook::{Event, MetaData, Secret, Verifier, VerifyError, header, verify_body_signature};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time;

use crate::domain::clock::{Clock, Timestamp};
use crate::platform::clock::SystemClock;

const LARGEST_BODY: usize = 1024 * 1024;
const REMEMBERED_IDS: usize = 10_000;
/// How long those who still wait for an answer hold up the end.
const PATIENCE_AT_END: Duration = Duration::from_secs(1);

/// How the receiver treats what it could accept.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// What it answers instead of 204.
    pub status: Option<StatusCode>,
    /// Fails this many requests, with `status` or 503, then recovers; without it `status` is for all.
    pub fail_first: Option<u64>,
    /// How long every answer waits.
    pub delay: Duration,
}

/// A request that came, and what the receiver made of it.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Timestamp,
    /// The header `webhook-id`, as it came.
    pub id: Option<String>,
    pub revision: Option<u64>,
    pub attempt: Option<u32>,
    /// What it says, if the Standard Webhooks headers vouch for it; else why they do not.
    pub by_headers: Result<Event, String>,
    /// Whether the body's own signature fits, as receivers written for Eppo check it; else why not.
    pub by_body: Result<(), String>,
    /// One with this id was accepted before.
    pub is_duplicate: bool,
    pub answer: StatusCode,
}

/// A receiver that runs. Dropped, it goes on; see [`Receiver::stop`].
pub struct Receiver {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Receiver {
    /// Listens on `address` (port 0: any that is free). `on_event` is called for each request before it is answered, so
    /// it must not block.
    pub async fn start(
        address: SocketAddr,
        secret: &Secret,
        behaviour: Behaviour,
        on_event: impl Fn(Received) + Send + Sync + 'static,
    ) -> io::Result<Receiver> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let desk = Desk {
            verifier: Verifier::new(secret),
            secret: secret.clone(),
            behaviour,
            clock: SystemClock::start(),
            ledger: Mutex::default(),
            on_event: Box::new(on_event),
        };
        let router = Router::new().fallback(receive).with_state(Arc::new(desk));
        let (stop, stopped) = oneshot::channel();
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            // An error means that nobody is left to stop it: then it serves to the end of the process.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        Ok(Receiver { address, stop, server: tokio::spawn(server.into_future()) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what is under way, for a second at most, and ends.
    pub async fn stop(mut self) {
        if self.stop.send(()).is_ok() && time::timeout(PATIENCE_AT_END, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

/// Where requests are taken: all that answering one needs.
struct Desk {
    verifier: Verifier,
    secret: Secret,
    behaviour: Behaviour,
    clock: SystemClock,
    ledger: Mutex<Ledger>,
    on_event: Box<dyn Fn(Received) + Send + Sync>,
}

/// What is remembered between requests.
#[derive(Default)]
struct Ledger {
    failed: u64,
    accepted: HashSet<String>,
    /// The same ids in order of acceptance, so that the oldest is forgotten first.
    order: VecDeque<String>,
}

async fn receive(State(desk): State<Arc<Desk>>, request: Request) -> (StatusCode, String) {
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, "webhooks come by POST\n".to_owned());
    }
    let (parts, body) = request.into_parts();
    let received = desk.judge(&parts.headers, body).await;
    let answer = (received.answer, received.refusal().map(|reason| reason + "\n").unwrap_or_default());
    (desk.on_event)(received);
    time::sleep(desk.behaviour.delay).await;
    answer
}

impl Desk {
    async fn judge(&self, headers: &HeaderMap, body: Body) -> Received {
        let at = self.clock.now();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (by_headers, by_body) = match axum::body::to_bytes(body, LARGEST_BODY).await {
            Ok(body) => {
                let by_headers = self.verifier.verify(text, &body, at.as_seconds());
                let by_body = verify_body_signature(&body, &self.secret);
                let reason = |error: VerifyError| error.to_string();
                (by_headers.map(|webhook| webhook.event).map_err(reason), by_body.map_err(reason))
            }
            Err(error) => {
                let reason = format!("the body cannot be read, or has more than {LARGEST_BODY} bytes: {error}");
                (Err(reason.clone()), Err(reason))
            }
        };
        let id = text(header::ID).map(str::to_owned);
        let is_genuine = by_headers.is_ok() && by_body.is_ok();
        let (answer, is_duplicate) = self.answer(is_genuine, id.as_deref());
        Received {
            at,
            revision: text(header::REVISION).and_then(|text| text.parse().ok()),
            attempt: text(header::ATTEMPT).and_then(|text| text.parse().ok()),
            id,
            by_headers,
            by_body,
            is_duplicate,
            answer,
        }
    }

    /// The status to answer with, and whether this id was accepted before.
    fn answer(&self, is_genuine: bool, id: Option<&str>) -> (StatusCode, bool) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = match self.behaviour.fail_first {
            Some(count) if ledger.failed >= count => None,
            Some(_) => Some(self.behaviour.status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE)),
            None => self.behaviour.status,
        };
        let answer = match failure {
            Some(status) => {
                ledger.failed += 1;
                status
            }
            None if is_genuine => StatusCode::NO_CONTENT,
            None => StatusCode::BAD_REQUEST,
        };
        // Only what was accepted counts as seen: a retry of what failed is what the sender owes.
        let Some(id) = id.filter(|_| is_genuine) else { return (answer, false) };
        let is_duplicate = ledger.accepted.contains(id);
        if answer.is_success() && !is_duplicate {
            ledger.remember(id);
        }
        (answer, is_duplicate)
    }
}

impl Ledger {
    fn remember(&mut self, id: &str) {
        if self.order.len() == REMEMBERED_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.accepted.remove(&oldest);
        }
        self.accepted.insert(id.to_owned());
        self.order.push_back(id.to_owned());
    }
}

impl Received {
    /// Both signatures fit.
    pub fn is_genuine(&self) -> bool {
        self.by_headers.is_ok() && self.by_body.is_ok()
    }

    /// Why it is not genuine.
    pub fn refusal(&self) -> Option<String> {
        let reasons =
            [("standard-webhooks", self.by_headers.as_ref().err()), ("body signature", self.by_body.as_ref().err())];
        let reasons = reasons.into_iter().filter_map(|(way, reason)| Some(format!("{way} ✗ {}", reason?)));
        Some(reasons.collect::<Vec<_>>().join("; ")).filter(|reasons| !reasons.is_empty())
    }

    pub fn to_json(&self) -> Value {
        let (event, data) = match &self.by_headers {
            Ok(Event::Experiment(event)) => (
                Some(event.event_type.as_str()),
                json!({"experiment_id": event.experiment_id, "experiment_key": event.experiment_key}),
            ),
            Ok(Event::Other { event, data }) => (Some(event.as_str()), data.clone()),
            Err(_) => (None, Value::Null),
        };
        json!({
            "at": self.at, "webhook_id": self.id, "event": event, "data": data,
            "revision": self.revision, "attempt": self.attempt, "is_duplicate": self.is_duplicate,
            "is_verified": self.is_genuine(), "answer": self.answer.as_u16(), "refusal": self.refusal(),
        })
    }
}

/// An event in a few words: its name, the experiment's number and key, and how the run ended, if it tells of one.
pub fn write_event(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    (id, key): (u64, &str),
    run: Option<&MetaData>,
) -> fmt::Result {
    write!(f, "{name:37}  {key:?} ({id})")?;
    if let Some(run) = run {
        let imbalance = if run.is_traffic_imbalance { ", traffic imbalance" } else { "" };
        write!(f, "  run: {}{imbalance}", run.status.as_str())?;
    }
    Ok(())
}

/// One line: when, what, of whom, which attempt, what was answered, and whether it verified.
impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.at.to_jiff().strftime("%H:%M:%S%.3f"))?;
        match &self.by_headers {
            Ok(Event::Experiment(event)) => {
                let experiment = (event.experiment_id, event.experiment_key.as_str());
                write_event(f, event.event_type.as_str(), experiment, event.meta_data.as_ref())?;
            }
            Ok(Event::Other { event, .. }) => write!(f, "{event:37?}")?,
            Err(_) => write!(f, "{:37}", "(not verified)")?,
        }
        if let Some(revision) = self.revision {
            write!(f, "  revision {revision}")?;
        }
        if let Some(attempt) = self.attempt {
            write!(f, "  attempt {attempt}")?;
        }
        // As debug text: what came unverified shall not write control characters to a terminal.
        write!(
            f,
            "  {}",
            self.id.as_ref().map_or("without webhook-id".to_owned(), |id| id.escape_debug().to_string())
        )?;
        f.write_str(if self.is_duplicate { "  duplicate" } else { "" })?;
        write!(f, "  → {}  ", self.answer.as_u16())?;
        match self.refusal() {
            None => f.write_str("verified: standard-webhooks ✓ body signature ✓"),
            Some(reasons) => write!(f, "refused: {reasons}"),
        }
    }
}
