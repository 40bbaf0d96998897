//! The delivery client against receivers that misbehave at the level of TCP, TLS and HTTP, without a server around it.

mod answers;
mod connections;
mod headers;
mod names;
mod proxies;
mod timeouts;
mod tls;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether::delivery::transport::answer::Answer;
use bellwether::delivery::transport::client::{Client, Credentials, Message, MessageKey, Target};
use bellwether::delivery::transport::error::ErrorClass;
use bellwether::delivery::transport::outbound::{Outbound, Timeouts};
use bellwether::delivery::transport::resolver::{Resolve, Resolving};
use bellwether::delivery::transport::settings::OutboundSettings;
use bellwether::domain::address::AddressPolicy;
use bellwether::domain::clock::Timestamp;
use bellwether::platform::clock::SystemClock;
use bellwether_webhook::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);
const MESSAGE: Message<'static> = Message {
    id: "evt_06f2",
    event: "experiment.status.updated",
    data: r#"{"experiment_id":42,"experiment_key":"checkout-cta"}"#,
    revision: Some(17),
    attempt: 1,
};
/// A limit that is not reached, on however slow a machine.
const LONG: Duration = Duration::from_secs(60);
/// A limit that is waited for.
const SHORT: Duration = Duration::from_millis(300);
const LONG_TIMEOUTS: Timeouts = Timeouts { connect: LONG, whole: LONG, body: LONG };
const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// May reach 127.0.0.1, and nothing else on this machine.
fn outbound(settings: &OutboundSettings) -> Outbound {
    let policy = AddressPolicy { allow_networks: vec!["127.0.0.1".parse().unwrap()], allow_http: false };
    Outbound::from_settings(settings, policy, Arc::new(SystemClock::start())).unwrap().with_timeouts(LONG_TIMEOUTS)
}

fn target(url: impl Into<String>) -> Target {
    let secret = Secret::parse(SECRET).unwrap();
    let key = MessageKey { secret: secret.clone(), signing_key: None, until: None };
    let credentials = Credentials { body: secret, message: vec![key] };
    Target { url: url.into(), max_in_flight: 1, headers: Vec::new(), credentials, chat: None, tls: None }
}

fn client(url: impl Into<String>, outbound: &Outbound) -> Client {
    Client::connect(target(url), outbound).unwrap()
}

async fn send(client: &Client) -> Answer {
    client.send(&MESSAGE, NOW).await
}

/// Sends once, by a client of its own.
async fn send_once(url: impl Into<String>, outbound: &Outbound) -> Answer {
    send(&client(url, outbound)).await
}

fn assert_failed(answer: &Answer, expected: ErrorClass) -> &str {
    match answer {
        Answer::Failed { class, message } if *class == expected => message,
        other => panic!("{expected} was expected: {other:?}"),
    }
}

fn code(answer: &Answer) -> u16 {
    match answer {
        Answer::Status { code, .. } => *code,
        Answer::Failed { .. } => panic!("{answer:?}"),
    }
}

fn body(answer: &Answer) -> &str {
    match answer {
        Answer::Status { body, .. } => body,
        Answer::Failed { .. } => panic!("{answer:?}"),
    }
}

/// A listener that treats each connection as it is told to. What it is told ends when it is dropped.
struct Raw {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _listening: JoinSet<()>,
}

impl Raw {
    async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::at("127.0.0.1:0", serve).await
    }

    async fn at<F>(address: &str, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                serving.spawn(serve(stream));
            }
        });
        Self { address, connections, _listening: listening }
    }

    /// Answers every request of a connection with these bytes.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                while read_request(&mut stream).await.is_some() {
                    let _ = stream.write_all(&answer).await;
                }
            }
        })
        .await
    }

    /// Answers the first request of a connection with these bytes, and closes it.
    async fn closing(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                read_request(&mut stream).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}/hooks?a=b", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads one whole request; `None` when the connection has ended.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

/// What names resolve to: to one answer after the other, and from then on to the last.
#[derive(Default)]
struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: AtomicUsize,
}

impl Names {
    fn with(name: &str, answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.iter().map(|text| text.parse().unwrap()).collect()).collect();
        Arc::new(Self { answers: Mutex::new(HashMap::from([(name.to_owned(), answers)])), asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let found = answers.get_mut(name).map(|answers| match answers.len() {
            1 => answers[0].clone(),
            _ => answers.remove(0),
        });
        Box::pin(async move { found.ok_or_else(|| "no such name".to_owned().into()) })
    }
}
