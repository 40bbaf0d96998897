//! Load on a server: requests over kept connections, in a closed loop (each connection waits for its answer) or in an
//! open one (by the clock, come what may). Meant for one thread: it costs the least, and leaves the rest to the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Problem;
use crate::receiver::number_after;
use crate::server::ADMIN_KEY;
use crate::wire::Connection;

#[expect(clippy::disallowed_methods, reason = "a measurement reads the machine's clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// A request of the API, whole. `path` is below /api/v1.
pub fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {ADMIN_KEY}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A change of an experiment. It differs from all before, also from those of another loop: what changes nothing is no change.
fn change(experiment: i64) -> Vec<u8> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let owner = MADE.fetch_add(1, Ordering::Relaxed);
    request("PATCH", &format!("/experiments/{experiment}"), &format!("{{\"owner\":\"{owner}\"}}"))
}

/// Sends all of these, over so many connections, and gives the answers in the order of the requests.
pub async fn send_all(address: SocketAddr, connections: usize, requests: Vec<Vec<u8>>) -> Result<Vec<Value>, Problem> {
    let requests: Arc<[Vec<u8>]> = requests.into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..connections.min(requests.len()) {
        let (requests, next) = (requests.clone(), next.clone());
        tasks.spawn(async move {
            let mut connection = Connection::to(address).await?;
            let mut answers = Vec::new();
            loop {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(turn) else { return Ok::<_, Problem>(answers) };
                let body = connection.exchange(request).await?.into_success()?;
                answers.push((turn, serde_json::from_slice::<Value>(&body)?));
            }
        });
    }
    let mut answers = Vec::new();
    while let Some(task) = tasks.join_next().await {
        answers.extend(task??);
    }
    answers.sort_unstable_by_key(|(turn, _)| *turn);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// When a closed loop ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Passed(Duration),
    Accepted(usize),
}

/// What a closed loop came to.
pub struct Accepted {
    pub took: Duration,
    /// From each request to its answer.
    pub answered: Vec<Duration>,
}

/// Changes experiments by turns, each connection sending its next change when the last is answered.
pub async fn closed_loop(
    address: SocketAddr,
    experiments: &Arc<[i64]>,
    connections: usize,
    until: Until,
) -> Result<Accepted, Problem> {
    let start = now();
    let (most, end) = match until {
        Until::Passed(time) => (usize::MAX, Some(start + time)),
        Until::Accepted(count) => (count, None),
    };
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (experiments, next) = (experiments.clone(), next.clone());
        tasks.spawn(async move {
            let mut connection = Connection::to(address).await?;
            let mut answered = Vec::new();
            loop {
                let sent = now();
                let turn = next.fetch_add(1, Ordering::Relaxed);
                if turn >= most || end.is_some_and(|end| sent >= end) {
                    return Ok::<_, Problem>(answered);
                }
                let experiment = experiments[turn % experiments.len()];
                connection.exchange(&change(experiment)).await?.into_success()?;
                answered.push(sent.elapsed());
            }
        });
    }
    let mut answered = Vec::new();
    while let Some(task) = tasks.join_next().await {
        answered.extend(task??);
    }
    Ok(Accepted { took: start.elapsed(), answered })
}

/// One change of an open loop.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    pub experiment_id: i64,
    pub revision: i64,
    /// When it was to be sent: what it waited for since then counts.
    pub intended: Instant,
    pub sent: Instant,
    pub answered: Instant,
}

/// Changes experiments by the clock: change `n` is due at `n / rate`, whether or not earlier ones are answered. One that
/// finds its connection busy waits for it, and its time counts from when it was due: no coordinated omission.
pub async fn open_loop(
    address: SocketAddr,
    experiments: &Arc<[i64]>,
    connections: usize,
    rate: f64,
    total: usize,
) -> Result<Vec<Exchange>, Problem> {
    let mut tasks = JoinSet::new();
    let mut queues = Vec::new();
    for _ in 0..connections {
        let (queue, mut due) = mpsc::unbounded_channel::<(usize, Instant)>();
        queues.push(queue);
        let experiments = experiments.clone();
        let mut connection = Connection::to(address).await?;
        tasks.spawn(async move {
            let mut exchanges = Vec::new();
            while let Some((turn, intended)) = due.recv().await {
                let experiment_id = experiments[turn % experiments.len()];
                let sent = now();
                let body = connection.exchange(&change(experiment_id)).await?.into_success()?;
                let answered = now();
                let revision = number_after(&body, b"\"revision\":").ok_or("an answer without a revision")?;
                exchanges.push(Exchange { experiment_id, revision, intended, sent, answered });
            }
            Ok::<_, Problem>(exchanges)
        });
    }
    let pacer = std::thread::spawn(move || pace(&queues, rate, total));
    let mut exchanges = Vec::with_capacity(total);
    while let Some(task) = tasks.join_next().await {
        exchanges.extend(task??);
    }
    pacer.join().map_err(|_| "the pacer panicked")?;
    Ok(exchanges)
}

/// On a thread of its own: the runtime's timer counts in milliseconds, and works when it comes to it.
fn pace(queues: &[mpsc::UnboundedSender<(usize, Instant)>], rate: f64, total: usize) {
    let start = now();
    for turn in 0..total {
        let intended = start + Duration::from_secs_f64(turn as f64 / rate);
        std::thread::sleep(intended.saturating_duration_since(now()));
        // A connection that broke has ended the loop with its error.
        let _ = queues[turn % queues.len()].send((turn, intended));
    }
}
