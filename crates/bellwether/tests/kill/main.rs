//! `kill -9` at many random moments while changes flow: what was accepted is told, all of it, in order, and nothing else.
//!
//! Writers change experiments without pause; a receiver that stays up keeps a ledger; the server is killed and started
//! again on the same data folder. What must hold at the end is in `verdict`. BELLWETHER_SEED repeats a run's choices.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod full;
mod moments;
mod panics;
mod points;
mod synced;
mod verdict;

use std::path::Path;
use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::server::Server;
use bellwether_testkit::databases::Database;
use bellwether_testkit::receipts;
use bellwether_testkit::writers::{Changes, Writers};
use bellwether_webhook::Secret;
use serde_json::json;

use moments::{Moment, Moments};
use verdict::{Ledgers, Observed};

/// Unless BELLWETHER_KILLS says otherwise.
const KILLS: usize = 50;
/// On PostgreSQL the lanes of a killed node are silent until it is seen to be dead, after each kill.
const KILLS_ON_POSTGRES: usize = 5;
const EXPERIMENTS: usize = 24;
/// For each kill; it takes a fraction of this.
const TIMEOUT: Duration = Duration::from_secs(4);
const TIMEOUT_ON_POSTGRES: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_accepted_is_told_though_the_server_is_killed_again_and_again() {
    let mut moments = Moments::from_environment();
    println!("BELLWETHER_SEED={} repeats these moments", moments.seed());
    let kills = kills();
    let limit = TIMEOUT * u32::try_from(kills).unwrap();
    let place = Place::sqlite();
    let observed = tokio::time::timeout(limit, observe(&mut moments, kills, &place)).await;
    judge(observed.expect("it takes too long").unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_on_postgres() {
    let mut moments = Moments::from_environment();
    println!("BELLWETHER_SEED={} repeats these moments", moments.seed());
    let limit = TIMEOUT_ON_POSTGRES * u32::try_from(KILLS_ON_POSTGRES).unwrap();
    let place = tokio::task::block_in_place(Place::postgres);
    let observed = tokio::time::timeout(limit, observe(&mut moments, KILLS_ON_POSTGRES, &place)).await;
    judge(observed.expect("it takes too long").unwrap());
}

fn judge(observed: Observed) {
    println!("{}", observed.figures());
    observed.judge();
}

/// Where a server keeps its state.
struct Place {
    data: tempfile::TempDir,
    database: Option<Database>,
}

impl Place {
    fn sqlite() -> Self {
        Self { data: tempfile::tempdir().unwrap(), database: None }
    }

    fn postgres() -> Self {
        Self { data: tempfile::tempdir().unwrap(), database: Some(Database::postgres()) }
    }

    /// Starting blocks until the server listens; meanwhile the receiver works on.
    fn start(&self) -> Server {
        let url = self.database.as_ref().and_then(Database::url);
        let program = Path::new(env!("CARGO_BIN_EXE_bellwether"));
        tokio::task::block_in_place(|| Server::start(program, self.data.path(), url)).expect("the server starts")
    }
}

fn kills() -> usize {
    std::env::var("BELLWETHER_KILLS").map_or(KILLS, |text| text.parse().expect("BELLWETHER_KILLS is a number"))
}

#[expect(clippy::disallowed_methods, reason = "the test tells how long it took")]
async fn observe(moments: &mut Moments, kills: usize, place: &Place) -> Result<Observed, Problem> {
    let start = std::time::Instant::now();
    let secret = Secret::parse("a secret that outlives the server")?;
    let receiver = Receiver::start(&Options::verifying(&secret))?;

    let mut server = place.start();
    let api = server.api();
    let endpoint = json!({"url": receiver.url(), "secret": secret.text()});
    api.post("/endpoints", &endpoint).await?;
    let mut experiments = Vec::new();
    for i in 0..EXPERIMENTS {
        experiments.push(api.create_experiment(&format!("killed-{i}")).await?);
    }

    let mut changes = Changes::default();
    for round in 0..kills {
        let moment = moments.draw();
        println!("{round}: {moment:?}");
        receiver.be_silent(moment.is_receiver_silent);
        let writers = Writers::until_gone(&server.api(), &experiments, round);
        wait(&moment, &writers, &receiver).await;
        server.kill()?;
        changes.add(writers.join().await);
        server = place.start();
    }
    receiver.be_silent(false);

    let log = verdict::whole_log(&server.api(), &experiments).await?;
    println!("{} events; waiting until all have come", log.len());
    receipts::wait_for(&receiver, &log, 1).await;
    // What has arrived is recorded before a server that is asked to stop ends, so that nothing is left to send.
    server.stop()?;
    let received = receiver.arrivals();
    let server = place.start();
    let ledgers = Ledgers::read(&server.api(), &experiments).await?;
    server.stop()?;
    let is_quiet = receiver.arrivals().len() == received.len();
    Ok(Observed {
        changes,
        kills,
        log,
        received,
        refused: receiver.refused(),
        ledgers,
        is_quiet,
        took: start.elapsed(),
    })
}

/// Starting blocks until the server listens; meanwhile the receiver works on.
fn start_server(data: &Path) -> Server {
    let program = Path::new(env!("CARGO_BIN_EXE_bellwether"));
    tokio::task::block_in_place(|| Server::start(program, data, None)).expect("the server starts")
}

/// Until the moment has come to kill.
async fn wait(moment: &Moment, writers: &Writers, receiver: &Receiver) {
    let mut received = receiver.count();
    let goal = *received.borrow() + moment.received;
    let (mut accepted, mut writing) = (writers.accepted(), writers.accepted());
    let is_there = async {
        accepted.wait_for(|count| *count >= moment.accepted).await.map(drop)?;
        received.wait_for(|count| *count >= goal).await.map(drop)
    };
    // Writers end when the server is gone; before it is killed, none of them may.
    let have_ended = writing.wait_for(|_| false);
    tokio::select! {
        came = is_there => came.expect("the writers write, and the receiver stays up"),
        _ = have_ended => panic!("the server ended by itself, or refused all changes"),
    }
    for _ in 0..moment.turns {
        tokio::task::yield_now().await;
    }
}
