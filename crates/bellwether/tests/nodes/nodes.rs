//! The nodes under test, their endpoints and their receiver, and what is done to them.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bellwether_bench::Problem;
use bellwether_bench::api::Api;
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::server::Server;
use bellwether_testkit::databases::Database;
use bellwether_testkit::gate::Gate;
use bellwether_testkit::writers::Changes;
use bellwether_testkit::{cluster, receipts};
use bellwether_webhook::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Fault;
use crate::verdict::Observed;

pub const ENDPOINTS: usize = 6;
const EXPERIMENTS: usize = 12;
/// Arrivals at each endpoint that show that it is being told.
const ENOUGH: usize = 10;

pub struct Nodes {
    database: Database,
    receiver: Receiver,
    endpoints: Vec<String>,
    pub experiments: Vec<i64>,
    running: Vec<Node>,
    /// What warehouses may lie in, for all nodes.
    files: TempDir,
}

struct Node {
    server: Option<Server>,
    address: SocketAddr,
    gate: Gate,
    _data: TempDir,
}

#[expect(clippy::disallowed_methods, reason = "the test tells how long lanes were silent")]
pub fn now() -> Instant {
    Instant::now()
}

async fn start_node(database: &Database, sockets: &Path, files: &Path) -> Node {
    let data = tempfile::tempdir().unwrap();
    // Nodes of one database have one key.
    std::fs::write(data.path().join("secret.key"), "07".repeat(32)).unwrap();
    let url = database.url().unwrap();
    let name = url.rsplit('/').next().unwrap();
    let gate = Gate::before(sockets.to_owned()).await;
    let url = format!("postgres://postgres@{}/{name}", gate.address());
    let program = Path::new(env!("CARGO_BIN_EXE_bellwether"));
    let variables = [("BELLWETHER_FILES_ROOTS", files.to_str().unwrap())];
    let start = || Server::start_with(program, data.path(), Some(&url), &variables);
    let server = tokio::task::block_in_place(start).unwrap();
    Node { address: server.address(), server: Some(server), gate, _data: data }
}

impl Nodes {
    pub async fn start(count: usize) -> Self {
        Self::on(cluster::socket_folder(), count).await
    }

    /// On the server whose sockets are in `sockets`.
    pub async fn on(sockets: &Path, count: usize) -> Self {
        let database = tokio::task::block_in_place(|| Database::of_server(sockets));
        let secret = Secret::parse("a secret of all endpoints").unwrap();
        let receiver = Receiver::start(&Options::verifying(&secret)).unwrap();
        let files = tempfile::tempdir().unwrap();
        let mut running = Vec::new();
        for _ in 0..count {
            running.push(start_node(&database, sockets, files.path()).await);
        }
        let api = running[0].server.as_ref().unwrap().api();
        let mut endpoints = Vec::new();
        for number in 0..ENDPOINTS {
            let endpoint = json!({"url": receiver.url_of(number), "secret": secret.text()});
            let made = api.post("/endpoints", &endpoint).await.unwrap();
            endpoints.push(made["id"].as_str().unwrap().to_owned());
        }
        let mut experiments = Vec::new();
        for number in 0..EXPERIMENTS {
            experiments.push(api.create_experiment(&format!("shared-{number}")).await.unwrap());
        }
        Self { database, receiver, endpoints, experiments, running, files }
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.running.iter().map(|node| node.address).collect()
    }

    fn api(&self) -> Api {
        self.running[0].server.as_ref().unwrap().api()
    }

    /// Of every node that was not killed.
    pub fn apis(&self) -> Vec<Api> {
        self.running.iter().filter_map(|node| Some(node.server.as_ref()?.api())).collect()
    }

    /// Where a warehouse may lie.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    pub async fn join(&mut self) {
        self.running.push(start_node(&self.database, cluster::socket_folder(), self.files.path()).await);
    }

    /// The last node is asked to stop.
    pub fn leave(&mut self) -> Result<(), Problem> {
        let node = self.running.pop().unwrap();
        tokio::task::block_in_place(|| node.server.unwrap().stop())
    }

    /// Which node sends to each endpoint.
    async fn owners(&self) -> HashMap<String, Option<String>> {
        let api = self.api();
        let mut owners = HashMap::new();
        for endpoint in &self.endpoints {
            let shown = api.get(&format!("/endpoints/{endpoint}")).await.unwrap();
            owners.insert(endpoint.clone(), shown["lane"]["node"].as_str().map(str::to_owned));
        }
        owners
    }

    /// Every node has its even share.
    pub async fn wait_until_shared(&self) {
        loop {
            let owners = self.owners().await;
            let mut shares = HashMap::new();
            owners.values().flatten().for_each(|node| *shares.entry(node.clone()).or_insert(0) += 1);
            let is_even =
                shares.len() == self.running.len() && shares.values().all(|share| *share == ENDPOINTS / shares.len());
            if is_even && owners.values().all(Option::is_some) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// So many webhooks more have come to each endpoint.
    pub async fn wait_for_arrivals_everywhere(&self) {
        let before = self.receiver.arrivals().len();
        let mut count = self.receiver.count();
        loop {
            let mut heard = HashMap::new();
            self.receiver.arrivals()[before..]
                .iter()
                .for_each(|arrival| *heard.entry(arrival.endpoint).or_insert(0) += 1);
            if heard.len() == ENDPOINTS && heard.values().all(|count| *count >= ENOUGH) {
                return;
            }
            count.changed().await.unwrap();
        }
    }

    fn signal(&self, name: &str) {
        let process = self.running.last().unwrap().server.as_ref().unwrap().process_id();
        let done = Command::new("sh").arg("-c").arg(format!("kill -{name} {process}")).status().unwrap();
        assert!(done.success());
    }

    /// The gate of the only node.
    pub fn gate(&self) -> &Gate {
        &self.running[0].gate
    }

    pub fn strike(&mut self, fault: Fault) -> Instant {
        match fault {
            Fault::Killed => self.running.last_mut().unwrap().server.take().unwrap().kill().unwrap(),
            Fault::Paused => self.signal("STOP"),
            Fault::CutOff => self.running.last().unwrap().gate.shut(),
        }
        now()
    }

    pub fn recover(&mut self, fault: Fault) {
        match fault {
            Fault::Killed => drop(self.running.pop()),
            Fault::Paused => self.signal("CONT"),
            Fault::CutOff => self.running.last().unwrap().gate.open(),
        }
    }

    /// The others own all lanes, and have told every endpoint something. Gives how long the longest silence was.
    pub async fn wait_until_taken_over(&self, struck_at: Instant) -> Duration {
        loop {
            let owners = self.owners().await;
            let nodes: HashSet<_> = owners.values().flatten().collect();
            if owners.values().all(Option::is_some) && nodes.len() == self.running.len() - 1 {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.wait_for_arrivals_everywhere().await;
        self.longest_silence(struck_at)
    }

    /// The longest that an endpoint was told nothing from then on.
    pub fn longest_silence(&self, since: Instant) -> Duration {
        let mut last: HashMap<u32, Instant> = HashMap::new();
        let mut longest = Duration::ZERO;
        for arrival in self.receiver.arrivals() {
            let before = last.insert(arrival.endpoint, arrival.at).unwrap_or(arrival.at);
            if arrival.at > since {
                longest = longest.max(arrival.at - before.max(since));
            }
        }
        longest
    }

    /// Waits until every endpoint has been told everything, and gives all that was seen.
    pub async fn observe(self, changes: Changes, silence: Duration) -> Observed {
        let api = self.api();
        let log = loop {
            let log = api.event_log().await.unwrap();
            // The log comes a little after the commits.
            let logged: HashSet<(i64, i64)> =
                log.iter().map(|(experiment, revision, _)| (*experiment, *revision)).collect();
            if changes.accepted.iter().all(|change| logged.contains(change)) {
                break log;
            }
        };
        receipts::wait_for(&self.receiver, &log, ENDPOINTS).await;
        // Whoever is asked to stop records what has arrived, so that nothing is left to be owed.
        let mut running = self.running;
        for node in running.iter_mut().skip(1).rev() {
            if let Some(server) = node.server.take() {
                tokio::task::block_in_place(|| server.stop()).unwrap();
            }
        }
        let pending = loop {
            let page = api.get("/deliveries?state=pending&limit=250").await.unwrap();
            let pending: Vec<Value> = page["items"].as_array().cloned().unwrap();
            if pending.is_empty() {
                break pending;
            }
            tokio::task::yield_now().await;
        };
        let arrivals = self.receiver.arrivals();
        // So do events that nobody asked for, as the end of a run on a node that leaves: they may come before they are there.
        let log = loop {
            let log = api.event_log().await.unwrap();
            let logged: HashSet<&str> = log.iter().map(|(_, _, id)| id.as_str()).collect();
            if arrivals.iter().all(|arrival| logged.contains(arrival.id.as_str())) {
                break log;
            }
            tokio::task::yield_now().await;
        };
        Observed { changes, log, arrivals, refused: self.receiver.refused(), pending: pending.len(), silence }
    }
}
