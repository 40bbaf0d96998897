//! A receiver that records every request and misbehaves on demand: refuses, is slow until told, drops connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether::domain::clock::Clock;
use bellwether::platform::clock::SystemClock;
use bellwether_webhook::{Secret, Verifier, Webhook, verify_body_signature};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Nothing in these tests takes so long unless it never comes.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("the header {name} is missing: {:?}", self.headers))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub fn experiment(&self) -> i64 {
        self.json()["data"]["experiment_id"].as_i64().expect("the data name an experiment")
    }

    pub fn revision(&self) -> i64 {
        self.header("bellwether-revision").parse().expect("the revision is a number")
    }

    pub fn attempt(&self) -> u32 {
        self.header("bellwether-attempt").parse().expect("the attempt is a number")
    }

    pub fn event_type(&self) -> String {
        self.json()["event"].as_str().expect("the body names its event").to_owned()
    }

    /// Verifies by both signatures, as of now.
    pub fn verify(&self, secret: &str) -> Webhook {
        let secret = Secret::parse(secret).expect("the secret can be used");
        verify_body_signature(&self.body, &secret).expect("the body's signature fits");
        let now = SystemClock::start().now().as_seconds();
        let header = |name: &str| self.headers.get(name).map(String::as_str);
        Verifier::new(&secret).verify(header, &self.body, now).expect("the headers' signature fits")
    }
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub enum Reply {
    Status(u16),
    Redirect(String),
    /// This status, and to come back after so many seconds.
    Later(u16, u64),
    /// This status, once [`Receiver::release`] is called.
    Held(u16),
    /// No answer: the connection is closed.
    Drop,
}

type Answers = Box<dyn Fn(&Received) -> Reply + Send>;

struct Shared {
    received: Mutex<Vec<Received>>,
    arrived: Notify,
    answers: Mutex<Answers>,
    released: watch::Sender<bool>,
}

pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinSet<()>,
}

impl Receiver {
    /// Listens, and answers 204.
    pub async fn start() -> Self {
        let shared = Shared {
            received: Mutex::default(),
            arrived: Notify::new(),
            answers: Mutex::new(Box::new(|_| Reply::Status(204))),
            released: watch::Sender::new(false),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let mut receiver = Self { address, shared: Arc::new(shared), listening: JoinSet::new() };
        receiver.listening.spawn(accept(listener, receiver.shared.clone()));
        receiver
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn answer(&self, answers: impl Fn(&Received) -> Reply + Send + 'static) {
        *self.shared.answers.lock().unwrap() = Box::new(answers);
    }

    /// Lets those go that are held, and all that would be.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Connections are refused from now on, and those that are open are closed.
    pub async fn refuse(&mut self) {
        self.listening.shutdown().await;
    }

    /// Listens again, at the same address.
    pub async fn accept_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is still free");
        self.listening.spawn(accept(listener, self.shared.clone()));
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Waits until `enough` says so of what has come.
    pub async fn wait_until(&self, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let arrived = self.shared.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                let received = self.received();
                if enough(&received) {
                    return received;
                }
                arrived.await;
            }
        });
        waited.await.unwrap_or_else(|_| {
            let came: Vec<_> =
                self.received().iter().map(|request| (request.event_type(), request.revision())).collect();
            panic!("what was waited for did not come in {PATIENCE:?}; {} came: {came:?}", came.len())
        })
    }

    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_until(|received| received.len() >= count).await
    }
}

/// Every connection ends with the listener.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| receive(request, shared.clone()));
            // An error is a connection that one of the two sides has dropped.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
struct Dropped;

async fn receive(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()));
    let received =
        Received { method: parts.method.to_string(), path: parts.uri.to_string(), headers: headers.collect(), body };
    let reply = shared.answers.lock().unwrap()(&received);
    shared.received.lock().unwrap().push(received);
    shared.arrived.notify_waiters();
    match reply {
        Reply::Status(status) => Ok(answer(status)),
        Reply::Redirect(location) => {
            let mut response = answer(307);
            response.headers_mut().insert("location", location.parse().expect("a location"));
            Ok(response)
        }
        Reply::Later(status, seconds) => {
            let mut response = answer(status);
            response.headers_mut().insert("retry-after", seconds.into());
            Ok(response)
        }
        Reply::Held(status) => {
            shared.released.subscribe().wait_for(|released| *released).await.map_err(|_| Dropped)?;
            Ok(answer(status))
        }
        Reply::Drop => Err(Dropped),
    }
}

fn answer(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status.try_into().expect("a status");
    response
}
