//! A server in this process, with a receiver that is told of every run's end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether::app::{self, Running};
use bellwether::config::Config;
use bellwether::domain::clock::Clock;
use bellwether::platform::clock::SystemClock;
use bellwether::store::Db;
use bellwether_bench::api::{Api, Refused};
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::server::ADMIN_KEY;
use bellwether_webhook::Secret;
use http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_bellwether");
/// For one event; what takes so long has failed.
pub const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Installation {
    // Before the folder, for what comes first is dropped first.
    _closing: Closing,
    folder: tempfile::TempDir,
    config: Config,
    pub running: Running,
    pub api: Api,
    pub ends: Ends,
}

/// Closes the database of an installation that is dropped: a server that goes on writing into a folder that is gone takes its
/// disk for broken, and ends the process.
struct Closing(Db);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The receiver of runs' ends.
pub struct Ends {
    receiver: Receiver,
    seen: usize,
}

/// A run that ended, as `GET runs/{id}` shows it, and the `data` of its event, byte for byte.
pub struct Ended {
    pub run: Value,
    pub data: String,
}

impl Ended {
    pub fn meta_data(&self) -> Value {
        serde_json::from_str::<Value>(&self.data).unwrap()["meta_data"].clone()
    }

    pub fn error(&self) -> &str {
        self.run["error"].as_str().unwrap_or("")
    }
}

impl Installation {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        Self::by(Arc::new(SystemClock::start()), configure).await
    }

    /// By another clock than the machine's.
    pub async fn by(clock: Arc<dyn Clock>, configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::defaults(folder.path());
        config.listen = ([127, 0, 0, 1], 0).into();
        config.admin_key = Some(ADMIN_KEY.to_owned());
        config.addresses.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
        config.program = PathBuf::from(PROGRAM);
        configure(&mut config);
        let running = app::start_by(config.clone(), clock).await.unwrap();
        let api = Api::at(running.address(), ADMIN_KEY);
        let ends = Ends::subscribe(&api).await;
        let _closing = Closing(running.registry().db().clone());
        Self { _closing, folder, config, running, api, ends }
    }

    /// Stopped as by SIGTERM, and started again.
    pub async fn restart(self) -> Self {
        self.running.stop().await;
        let running = app::start(self.config.clone()).await.unwrap();
        let api = Api::at(running.address(), ADMIN_KEY);
        let _closing = Closing(running.registry().db().clone());
        Self { _closing, running, api, ..self }
    }

    /// Where warehouses lie.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// A full run from its request to its event.
    pub async fn run(&mut self, experiment: i64) -> Ended {
        let run = request(&self.api, experiment).await;
        self.ends.next(&self.api, &run).await
    }

    pub async fn results(&self, experiment: i64) -> Value {
        self.api.get(&format!("/experiments/{experiment}/results")).await.unwrap()
    }
}

impl Ends {
    pub async fn subscribe(api: &Api) -> Self {
        let secret = Secret::parse("a secret of the pipeline's tests").unwrap();
        let receiver = Receiver::start(&Options::verifying(&secret)).unwrap();
        let events = ["experiment.calculated_metrics.updated"];
        let endpoint = json!({"url": receiver.url(), "secret": secret.text(), "events": events});
        api.post("/endpoints", &endpoint).await.unwrap();
        Self { receiver, seen: 0 }
    }

    /// Waits for one more event, which must be that of `run`.
    pub async fn next(&mut self, api: &Api, run: &Value) -> Ended {
        let (experiment, data) = self.next_told(api).await;
        assert_eq!(Some(experiment), run["experiment_id"].as_i64());
        let run = shown(api, run).await;
        assert!(matches!(run["state"].as_str(), Some("success" | "failure")), "{run}");
        Ended { run, data }
    }

    /// Waits for one more event; its experiment and the `data` of the log's last.
    pub async fn next_told(&mut self, api: &Api) -> (i64, String) {
        self.seen += 1;
        let mut count = self.receiver.count();
        let came = tokio::time::timeout(TIMEOUT, count.wait_for(|count| *count >= self.seen)).await;
        came.expect("the run's event comes in time").unwrap();
        let arrivals = self.receiver.arrivals();
        assert_eq!((arrivals.len(), self.receiver.refused()), (self.seen, vec![]), "one run has one event");
        let arrival = arrivals.last().unwrap();
        let told = ends_of(api, arrival.experiment_id).await.pop().unwrap();
        assert_eq!(told.id, arrival.id, "the last event of the log is the one that came");
        (arrival.experiment_id, told.data.get().to_owned())
    }

    pub fn count(&self) -> usize {
        self.receiver.arrivals().len()
    }
}

#[derive(Deserialize)]
pub struct Told {
    pub id: String,
    pub data: Box<RawValue>,
}

/// The events of ended runs in the log.
pub async fn ends_of(api: &Api, experiment: i64) -> Vec<Told> {
    #[derive(Deserialize)]
    struct Page {
        items: Vec<Told>,
    }
    let path = format!("/events?types=experiment.calculated_metrics.updated&experiment={experiment}");
    let bytes = api.exchange(Method::GET, &path, None).await.unwrap();
    serde_json::from_slice::<Page>(&bytes).unwrap().items
}

pub async fn request(api: &Api, experiment: i64) -> Value {
    api.post(&format!("/experiments/{experiment}/runs"), &json!({"mode": "full"})).await.unwrap()
}

pub async fn shown(api: &Api, run: &Value) -> Value {
    api.get(&format!("/runs/{}", run["id"].as_str().unwrap())).await.unwrap()
}

/// Looks at a run again and again until one of its statements is under way.
pub async fn until_under_way(api: &Api, run: &Value) {
    let looks = async {
        while !shown(api, run).await["steps"].as_array().unwrap().iter().any(|step| step["duration_us"].is_null()) {}
    };
    tokio::time::timeout(TIMEOUT, looks).await.expect("the run gets to its first statement");
}

/// The status and the problem's text.
pub fn refusal(answer: Result<Value, bellwether_bench::Problem>) -> (u16, String) {
    let refused = answer.unwrap_err().downcast::<Refused>().unwrap();
    (refused.status.as_u16(), refused.body)
}

pub fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}
