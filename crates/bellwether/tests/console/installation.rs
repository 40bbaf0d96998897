//! A server in this process, and a receiver beside it.

use std::path::Path;

use bellwether::app::{self, Running};
use bellwether::config::Config;
use bellwether::domain::address::AddressPolicy;
use bellwether::domain::clock::Clock;
use bellwether::platform::clock::SystemClock;
use bellwether_bench::api::Api;
use bellwether_bench::server::ADMIN_KEY;
use bellwether_testkit::databases::Database;
use bellwether_testkit::receiver::{PATIENCE, Received, Receiver, Reply};
use serde_json::{Value, json};

pub struct Installation {
    database: Database,
    running: Running,
    api: Api,
    pub receiver: Receiver,
}

impl Installation {
    pub async fn start() -> Self {
        Self::start_with(|config| config).await
    }

    pub async fn start_with(with: impl FnOnce(Config) -> Config) -> Self {
        let database = Database::sqlite();
        let config = with(Config {
            listen: ([127, 0, 0, 1], 0).into(),
            admin_key: Some(ADMIN_KEY.to_owned()),
            addresses: AddressPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()], allow_http: false },
            program: env!("CARGO_BIN_EXE_bellwether").into(),
            ..Config::defaults(database.folder())
        });
        let running = app::start(config).await.unwrap();
        let api = Api::at(running.address(), ADMIN_KEY);
        let receiver = Receiver::start().await;
        receiver.answer(|request| Reply::Status(if request.path == "/failing" { 500 } else { 204 }));
        Self { database, running, api, receiver }
    }

    pub async fn stop(self) {
        drop(self.api);
        self.running.stop().await;
    }

    pub fn url(&self) -> String {
        self.running.url()
    }

    pub fn folder(&self) -> &Path {
        self.database.folder()
    }

    /// That the first start prints.
    pub fn first_link(&self) -> String {
        self.running.login_link().unwrap().to_owned()
    }

    /// The link of somebody who is new.
    pub async fn person(&self, name: &str, role: &str) -> String {
        self.person_and_id(name, role).await.0
    }

    pub async fn person_and_id(&self, name: &str, role: &str) -> (String, String) {
        let person = id(&self.post("/people", json!({"name": name, "role": role})).await);
        let link = self.post(&format!("/people/{person}/login_links"), json!({})).await;
        (link["url"].as_str().unwrap().to_owned(), person)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.api.get(path).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.api.post(path, &body).await.unwrap()
    }

    /// Makes one, and gives its number.
    pub async fn experiment(&self, body: Value) -> i64 {
        self.post("/experiments", body).await["id"].as_i64().unwrap()
    }

    /// Reads `path` again and again until `holds`.
    pub async fn eventually(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let reading = async {
            loop {
                let shown = self.get(path).await;
                if holds(&shown) {
                    return shown;
                }
                tokio::task::yield_now().await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, reading).await;
        came.unwrap_or_else(|_| panic!("{path} did not come to what was waited for in {PATIENCE:?}"))
    }

    /// Has a full run made, and waits for its end, which the receiver is told of.
    pub async fn run(&self, experiment: i64) -> String {
        let asked = json!({"mode": "full", "history": true});
        let run = id(&self.post(&format!("/experiments/{experiment}/runs"), asked).await);
        let is_end = |told: &Received| {
            told.event_type() == "experiment.calculated_metrics.updated" && told.experiment() == experiment
        };
        self.receiver.wait_until(|received| received.iter().any(is_end)).await;
        let ended = self.get(&format!("/runs/{run}")).await;
        assert_eq!(ended["state"], "success", "{ended}");
        run
    }
}

/// So many days ago, as the API writes days.
pub fn days_ago(days: i64) -> String {
    let now = SystemClock::start().now().to_jiff();
    let then = now - jiff::SignedDuration::from_hours(24 * days);
    then.strftime("%Y-%m-%d").to_string()
}

pub fn id(made: &Value) -> String {
    made["id"].as_str().unwrap_or_else(|| panic!("it has no id: {made}")).to_owned()
}
