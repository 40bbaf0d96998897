//! What a kill test plays on: a place for the server's state, a receiver that stays up, experiments to change.

use std::path::Path;
use std::time::Instant;

use bellwether_bench::Problem;
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::server::Server;
use bellwether_testkit::databases::Database;
use bellwether_testkit::receipts;
use bellwether_testkit::writers::Changes;
use bellwether_webhook::Secret;
use serde_json::json;

use crate::verdict::{Ledgers, Observed, whole_log};

pub const EXPERIMENTS: usize = 24;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_bellwether");

pub struct Scene {
    data: tempfile::TempDir,
    database: Option<Database>,
    pub receiver: Receiver,
    pub experiments: Vec<i64>,
    since: Instant,
}

impl Scene {
    /// With a server that runs. `None`: on SQLite.
    #[expect(clippy::disallowed_methods, reason = "the test tells how long it took")]
    pub async fn set(database: Option<Database>) -> Result<(Self, Server), Problem> {
        let secret = Secret::parse("a secret that outlives the server")?;
        let receiver = Receiver::start(&Options::verifying(&secret))?;
        let data = tempfile::tempdir()?;
        let mut scene = Self { data, database, receiver, experiments: Vec::new(), since: Instant::now() };
        let server = scene.start();
        let api = server.api();
        api.post("/endpoints", &json!({"url": scene.receiver.url(), "secret": secret.text()})).await?;
        for i in 0..EXPERIMENTS {
            scene.experiments.push(api.create_experiment(&format!("killed-{i}")).await?);
        }
        Ok((scene, server))
    }

    pub fn data(&self) -> &Path {
        self.data.path()
    }

    pub fn start(&self) -> Server {
        start_server(self.data(), self.database.as_ref().and_then(Database::url))
    }

    /// Waits until all that is owed has come, and gives everything that was seen, once `server` has been stopped and started
    /// again.
    pub async fn conclude(self, server: Server, changes: Changes, kills: usize) -> Result<Observed, Problem> {
        let log = whole_log(&server.api(), &self.experiments).await?;
        println!("{} events; waiting until all have come", log.len());
        receipts::wait_for(&self.receiver, &log, 1).await;
        // What has arrived is recorded before a server that is asked to stop ends, so that nothing is left to send.
        server.stop()?;
        let received = self.receiver.arrivals();
        let server = self.start();
        let ledgers = Ledgers::read(&server.api(), &self.experiments).await?;
        server.stop()?;
        let is_quiet = self.receiver.arrivals().len() == received.len();
        let (refused, took) = (self.receiver.refused(), self.since.elapsed());
        Ok(Observed { changes, kills, log, received, refused, ledgers, is_quiet, took })
    }
}

/// Starting blocks until the server listens; meanwhile the receiver works on.
pub fn start_server(data: &Path, database_url: Option<&str>) -> Server {
    let start = || Server::start(Path::new(PROGRAM), data, database_url);
    tokio::task::block_in_place(start).expect("the server starts")
}
