//! A fast receiver with a ledger: what came, when, in which order. It verifies each request if it is given the secret.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bellwether_webhook::{Event, Secret, Verifier, header, verify_body_signature};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Problem;

/// One request that came and was verified.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub id: String,
    pub experiment_id: i64,
    pub revision: i64,
    pub at: Instant,
}

#[derive(Default)]
struct Ledger {
    arrivals: Vec<Arrival>,
    refused: Vec<String>,
}

pub struct Receiver {
    address: SocketAddr,
    ledger: Arc<Mutex<Ledger>>,
    count: watch::Receiver<usize>,
    is_silent: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Listens at any free port of this machine.
    pub async fn start(secret: &Secret) -> Result<Self, Problem> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (count, counted) = watch::channel(0);
        let (is_silent, silence) = watch::channel(false);
        let (verifier, secret) = (Verifier::new(secret), secret.clone());
        let desk = Arc::new(Desk { verifier, secret, ledger: ledger.clone(), count, silence });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let desk = desk.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(desk.clone(), request));
                    // A connection that breaks is the sender's to mend.
                    let _ = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { address, ledger, count: counted, is_silent, task })
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// All that came until now, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).arrivals.clone()
    }

    /// Why requests were refused, if any were.
    pub fn refused(&self) -> Vec<String> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// While silent it takes requests in, and leaves them without an answer.
    pub fn be_silent(&self, is_silent: bool) {
        self.is_silent.send_replace(is_silent);
    }

    /// How many came; changes as they come.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Desk {
    verifier: Verifier,
    secret: Secret,
    ledger: Arc<Mutex<Ledger>>,
    count: watch::Sender<usize>,
    silence: watch::Receiver<bool>,
}

async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let status = match desk.receive(request).await {
        Ok(arrival) => {
            let count = {
                let mut ledger = desk.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                ledger.arrivals.push(arrival);
                ledger.arrivals.len()
            };
            desk.count.send_replace(count);
            StatusCode::NO_CONTENT
        }
        Err(reason) => {
            desk.ledger.lock().unwrap_or_else(PoisonError::into_inner).refused.push(reason.to_string());
            StatusCode::BAD_REQUEST
        }
    };
    // It fails only if the receiver is gone, and then nobody waits for the answer.
    let _ = desk.silence.clone().wait_for(|is_silent| !is_silent).await;
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

impl Desk {
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the machine's clock")]
    async fn receive(&self, request: Request<Incoming>) -> Result<Arrival, Problem> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let at = Instant::now();
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let webhook = self.verifier.verify(text, &body, now)?;
        verify_body_signature(&body, &self.secret)?;
        let Event::Experiment(event) = webhook.event else { return Err("not an event of an experiment".into()) };
        let revision = webhook.revision.ok_or_else(|| format!("no {}", header::REVISION))?;
        Ok(Arrival {
            id: webhook.id,
            experiment_id: i64::try_from(event.experiment_id)?,
            revision: i64::try_from(revision)?,
            at,
        })
    }
}
