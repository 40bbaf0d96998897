//! `bellwether demo`: a real trial, from its tables to its results, with every event received and verified.
//!
//! It is a user like any other: all it asks of the server goes through the public API.

mod arrivals;
mod life;
mod server;
mod story;
mod tables;
mod trial;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt, fs};

use bellwether_webhook::Secret;
use tokio::time;

use super::api_client::ApiClient;
use super::progress_bar;
use super::receiver::{Behaviour, Receiver};
use crate::domain::id::{self, Ids};
use crate::platform::clock::SystemClock;
use crate::platform::ids::RandomIds;
use arrivals::{Arrivals, STORY};
use life::Life;
use story::Story;

/// For all of the story: it takes seconds.
const TIME_LIMIT: Duration = Duration::from_secs(180);

/// Show the whole on a real trial: events, deliveries, results
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// End when all is shown: with 0 only if every event arrived and verified
    #[arg(long)]
    exit: bool,
    /// The address that the demo's server listens on
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 7070)))]
    listen: SocketAddr,
}

/// A line of the demo's output. Whoever closed the pipe has seen enough.
fn say(line: impl fmt::Display) {
    progress_bar::clear();
    let _ = writeln!(io::stdout(), "{line}");
}

impl Demo {
    pub async fn run(self) -> Result<(), String> {
        let ids = RandomIds::with_clock(Arc::new(SystemClock::start()));
        let secret = Secret::from_bytes(&ids.secret_bytes()).map_err(|error| error.to_string())?;
        let folder = DemoFolder::create(&ids, !self.exit)?;
        let subjects = trial::write_tables(&folder.files())?;
        say(format_args!(
            "The National Supported Work trial: {subjects} subjects, and what they earned in the year after.\n\
             The trial has no times of day; dates are spread by a rule: assignments over 28 days from {},\n\
             earnings 1 to 30 days after each subject's own assignment (crates/bellwether/data/README.md).",
            trial::FIRST_DAY
        ));
        let arrivals = Arc::new(Arrivals::none_yet());
        let receiver = receive(&secret, arrivals.clone()).await?;
        let (server, admin_key) = server::start(folder.path(), self.listen).await?;
        let stage = Stage {
            server: server.public_url().to_owned(),
            receiver: format!("http://{}/hooks/bellwether", receiver.address()),
            folder: &folder,
            arrivals: &arrivals,
            secret: secret.text(),
        };
        let shown = tokio::select! {
            shown = stage.show(&admin_key) => shown,
            _ = tokio::signal::ctrl_c() => Err("interrupted before the end".to_owned()),
        };
        if let (Ok(experiment), false) = (&shown, self.exit) {
            say(stage.invitation(*experiment, server.login_link()));
            let life = live(&stage.server, &admin_key, *experiment);
            // Not being able to wait for it is as good a reason to end as its coming.
            tokio::select! {
                () = life => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        server.stop().await;
        receiver.stop().await;
        shown.map(drop)
    }
}

/// Has things go on. Where they cannot, the demo stays up all the same.
async fn live(server: &str, admin_key: &str, trial: u64) {
    let api = ApiClient::with_key(server, admin_key);
    let life = Life { api: &api, trial };
    let lived = async { life.go_on(&life.begin().await?).await };
    if let Err(error) = lived.await {
        say(format_args!("nothing more happens by itself: {error}"));
    }
    std::future::pending().await
}

/// Prints each delivery as it comes, and keeps it for the judgement at the end.
async fn receive(secret: &Secret, arrivals: Arc<Arrivals>) -> Result<Receiver, String> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let receiver = Receiver::start(any_port, secret, Behaviour::default(), move |received| {
        say(&received);
        arrivals.add(received);
    });
    receiver.await.map_err(|error| format!("the demo's receiver does not start: {error}"))
}

/// All that the story is played on.
struct Stage<'a> {
    server: String,
    receiver: String,
    folder: &'a DemoFolder,
    arrivals: &'a Arrivals,
    secret: &'a str,
}

impl Stage<'_> {
    /// The story, its results, and whether all of it arrived; the experiment's number.
    async fn show(&self, admin_key: &str) -> Result<u64, String> {
        let api = ApiClient::with_key(&self.server, admin_key);
        let files = self.folder.files();
        let story = Story::untold(&api, self.arrivals).tell(&files, &self.receiver, self.secret);
        let told = match time::timeout(TIME_LIMIT, story).await {
            Ok(told) => told.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the demo takes longer than {} s", TIME_LIMIT.as_secs())),
        };
        if let Ok((_, results)) = &told {
            say("\nResults");
            results.metrics.iter().for_each(|metric| say(tables::metric(metric)));
        }
        let reason = told.as_ref().err().cloned();
        let complaints: Vec<_> = reason.into_iter().chain(self.arrivals.complaints()).collect();
        if !complaints.is_empty() {
            return Err(complaints.join("\n"));
        }
        say(format_args!(
            "All {} events arrived, revisions 1 to {0} without a gap, each verified both ways.",
            STORY.len()
        ));
        told.map(|(experiment, _)| experiment)
    }

    fn invitation(&self, experiment: u64, login_link: Option<&str>) -> String {
        let key_file = self.folder.path().join("admin-key");
        let link = login_link
            .map(|link| format!("\nSee it all in a browser, by this link, once within ten minutes:\n  {link}\n"));
        let link = link.unwrap_or_default();
        format!(
            "{link}\nA change is made every few seconds. The API stays up at {server}/api/v1 until Ctrl-C. Its key lies in the data folder, {folder}:\n  \
             curl -H \"Authorization: Bearer $(cat {key})\" {server}/api/v1/experiments/{experiment}/results",
            server = self.server,
            folder = self.folder.path().display(),
            key = key_file.display(),
        )
    }
}

/// A data folder of the demo's own, in the system's folder for such things.
struct DemoFolder {
    path: PathBuf,
    is_kept: bool,
}

impl DemoFolder {
    fn create(ids: &dyn Ids, is_kept: bool) -> Result<DemoFolder, String> {
        let path = env::temp_dir().join(format!("bellwether-demo-{}", id::text(ids.next())));
        let folder = DemoFolder { path, is_kept };
        // Others on this machine must not read the key in it.
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        let made = private.create(&folder.path).and_then(|()| private.create(folder.files()));
        made.map_err(|error| format!("{} cannot be made: {error}", folder.path.display()))?;
        Ok(folder)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// What a warehouse of kind `files` may read.
    fn files(&self) -> PathBuf {
        self.path.join("files")
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        if self.is_kept {
            eprintln!("the demo's data are kept in {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} cannot be removed: {error}", self.path.display());
        }
    }
}
