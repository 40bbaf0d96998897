//! What every scenario plays on: a fresh database, a server as a process of its own, a receiver, experiments, endpoints.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_bench::Problem;
use bellwether_bench::load::{self, now, request};
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::server::Server;
use bellwether_webhook::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::database;

/// For what was accepted to arrive, after the load has ended.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(300);
/// Requests under way at once while a scenario is set up.
const SET_UP_CONNECTIONS: usize = 32;
/// How often it is looked whether all has come, where that is not what is timed.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Where the server and its data are, for all scenarios.
pub struct Place {
    pub program: PathBuf,
    pub data: PathBuf,
    pub database_url: Option<String>,
    pub is_verifying: bool,
}

impl Place {
    pub fn is_postgres(&self) -> bool {
        self.database_url.is_some()
    }

    /// A goal that depends on the database: SQLite's, or PostgreSQL's.
    pub fn either<T>(&self, sqlite: T, postgres: T) -> T {
        if self.is_postgres() { postgres } else { sqlite }
    }
}

/// An endpoint to be: where it leads, and settings beside the usual ones.
pub struct Subscription {
    pub url: String,
    pub settings: Value,
}

impl Subscription {
    pub fn to(url: String) -> Self {
        Self { url, settings: json!({}) }
    }
}

pub struct Stage {
    pub server: Server,
    pub receiver: Receiver,
    pub experiments: Arc<[i64]>,
    secret: Secret,
    _folder: TempDir,
}

impl Stage {
    /// A server on an empty database. Experiments are made before any endpoint, so that nothing is owed for them.
    pub async fn set(place: &Place, experiments: usize) -> Result<Self, Problem> {
        // What another scenario has left to be written, and to be freed, must not be charged to this one.
        rustix::fs::sync();
        let folder = tempfile::tempdir_in(&place.data)?;
        let database = place.database_url.as_deref().map(database::make_empty).transpose()?;
        let secret = Secret::parse("a secret for measuring")?;
        let options = if place.is_verifying { Options::verifying(&secret) } else { Options::default() };
        let receiver = Receiver::start(&options)?;
        let server = Server::start(&place.program, folder.path(), database.as_deref())?;
        let create = |n: usize| json!({"key": format!("bench-{n}"), "name": format!("Bench {n}")});
        let requests = (0..experiments).map(|n| request("POST", "/experiments", &create(n).to_string())).collect();
        let made = load::send_all(server.address(), SET_UP_CONNECTIONS, requests).await?;
        let numbers = made.iter().map(|experiment| experiment["id"].as_i64().ok_or("an experiment without a number"));
        let experiments = numbers.collect::<Result<_, _>>()?;
        Ok(Self { server, receiver, experiments, secret, _folder: folder })
    }

    /// Makes endpoints, and gives their ids in the same order.
    pub async fn subscribe(&self, subscriptions: Vec<Subscription>) -> Result<Vec<String>, Problem> {
        let body = |subscription: Subscription| {
            let mut settings = subscription.settings;
            settings["url"] = subscription.url.into();
            settings["secret"] = self.secret.text().into();
            request("POST", "/endpoints", &settings.to_string())
        };
        let requests = subscriptions.into_iter().map(body).collect();
        let made = load::send_all(self.server.address(), SET_UP_CONNECTIONS, requests).await?;
        made.iter().map(|endpoint| Ok(endpoint["id"].as_str().ok_or("an endpoint without an id")?.to_owned())).collect()
    }

    /// Endpoints at the receiver, told apart by their numbers.
    pub async fn subscribe_receiver(&self, count: usize) -> Result<Vec<String>, Problem> {
        self.subscribe((0..count).map(|n| Subscription::to(self.receiver.url_of(n))).collect()).await
    }

    /// Waits until so many have come since the receiver started, and tells when the last one did.
    pub async fn wait_for_arrivals(&self, count: usize) -> Result<Instant, Problem> {
        let counted = self.receiver.count();
        let arrived = tokio::time::timeout(ARRIVAL_TIMEOUT, async {
            while *counted.borrow() < count {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        });
        if arrived.await.is_err() {
            let refused = self.receiver.refused();
            return Err(format!("{} of {count} arrived; refused: {:?}", *counted.borrow(), refused.first()).into());
        }
        Ok(self.receiver.last_at().unwrap_or_else(now))
    }

    /// How many came since the receiver started.
    pub fn arrived(&self) -> usize {
        *self.receiver.count().borrow()
    }
}

/// How much processor time the server used, for each of something.
pub fn microseconds_each(used: Duration, count: usize) -> f64 {
    used.as_secs_f64() * 1e6 / count.max(1) as f64
}

/// How long a durable write of 4 KiB takes where the data lie.
pub fn time_sync(data: &Path) -> Result<Duration, Problem> {
    use std::io::Write;
    const SYNCS: u32 = 200;
    let mut file = tempfile::tempfile_in(data)?;
    let start = now();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
    }
    Ok(start.elapsed() / SYNCS)
}
