//! `kill -9` at many random moments while changes flow: what was accepted is told, all of it, in order, and nothing else.
//!
//! Writers change experiments without pause; a receiver that stays up keeps a ledger; the server is killed and started
//! again on the same data folder. What must hold at the end is in `verdict`. BELLWETHER_SEED repeats a run's choices.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod full;
mod log;
mod moments;
mod panics;
mod points;
mod synced;
mod verdict;
mod writers;

use std::path::Path;
use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::server::Server;
use bellwether_webhook::Secret;
use serde_json::json;

use moments::{Moment, Moments};
use verdict::{Ledgers, Observed};
use writers::{Changes, Writers};

/// Unless BELLWETHER_KILLS says otherwise.
const KILLS: usize = 50;
const EXPERIMENTS: usize = 24;
/// For each kill; it takes a fraction of this.
const TIMEOUT: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_accepted_is_told_though_the_server_is_killed_again_and_again() {
    let mut moments = Moments::from_environment();
    println!("BELLWETHER_SEED={} repeats these moments", moments.seed());
    let kills = kills();
    let limit = TIMEOUT * u32::try_from(kills).unwrap();
    let observed = tokio::time::timeout(limit, observe(&mut moments, kills)).await.expect("it takes too long").unwrap();
    println!("{}", observed.figures());
    observed.judge();
}

fn kills() -> usize {
    std::env::var("BELLWETHER_KILLS").map_or(KILLS, |text| text.parse().expect("BELLWETHER_KILLS is a number"))
}

#[expect(clippy::disallowed_methods, reason = "the test tells how long it took")]
async fn observe(moments: &mut Moments, kills: usize) -> Result<Observed, Problem> {
    let start = std::time::Instant::now();
    let folder = tempfile::tempdir()?;
    let secret = Secret::parse("a secret that outlives the server")?;
    let receiver = Receiver::start(&Options::verifying(&secret))?;

    let mut server = start_server(folder.path());
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
        let writers = Writers::start(&server.api(), &experiments, round);
        wait(&moment, &writers, &receiver).await;
        server.kill()?;
        changes.add(writers.join().await?);
        server = start_server(folder.path());
    }
    receiver.be_silent(false);

    let log = server.api().event_log().await?;
    println!("{} events; waiting until all have come", log.len());
    verdict::wait_for(&receiver, &log).await;
    // What has arrived is recorded before a server that is asked to stop ends, so that nothing is left to send.
    server.stop()?;
    let received = receiver.arrivals();
    let server = start_server(folder.path());
    let ledgers = Ledgers::read(&server.api(), &experiments).await?;
    server.stop()?;
    let is_quiet = receiver.arrivals().len() == received.len();
    Ok(Observed { changes, log, received, refused: receiver.refused(), ledgers, is_quiet, took: start.elapsed() })
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
