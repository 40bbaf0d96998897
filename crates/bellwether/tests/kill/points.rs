//! A kill at every boundary that matters: before a commit and after it, between two jobs of one commit, before a request,
//! between its answer and the record of it, and after the record. Each several times, at a passage drawn from the seed.

use std::path::Path;

use bellwether_bench::Problem;
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::server::Server;
use bellwether_testkit::receipts;
use bellwether_testkit::writers::{Changes, Writers};
use bellwether_webhook::Secret;
use serde_json::json;

use crate::EXPERIMENTS;
use crate::moments::Moments;
use crate::verdict::{Ledgers, Observed};

const POINTS: [&str; 6] =
    ["commit.before", "commit.after", "batch.middle", "request.before", "answer.unrecorded", "outcomes.recorded"];
/// Kills at each point.
const ROUNDS: usize = 3;
/// For the whole test; it takes a fraction of this.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_wherever_the_server_is_killed() {
    let mut moments = Moments::from_environment();
    println!("BELLWETHER_SEED={} repeats these moments", moments.seed());
    let observed = tokio::time::timeout(TIMEOUT, observe(&mut moments)).await.expect("it takes too long").unwrap();
    println!("{}", observed.figures());
    observed.judge();
}

/// Nothing if it was killed before it listened, over what it owed from the time before.
fn start_to_fail(data: &Path, points: &str) -> Option<Server> {
    let program = Path::new(env!("CARGO_BIN_EXE_bellwether"));
    tokio::task::block_in_place(|| Server::start_to_fail(program, data, None, points)).ok()
}

#[expect(clippy::disallowed_methods, reason = "the test tells how long it took")]
async fn observe(moments: &mut Moments) -> Result<Observed, Problem> {
    let start = std::time::Instant::now();
    let folder = tempfile::tempdir()?;
    let secret = Secret::parse("a secret that outlives the server")?;
    let receiver = Receiver::start(&Options::verifying(&secret))?;
    let server = crate::start_server(folder.path());
    let api = server.api();
    api.post("/endpoints", &json!({"url": receiver.url(), "secret": secret.text()})).await?;
    let mut experiments = Vec::new();
    for i in 0..EXPERIMENTS {
        experiments.push(api.create_experiment(&format!("killed-{i}")).await?);
    }
    server.stop()?;

    let (mut changes, mut kills, mut early) = (Changes::default(), 0, 0);
    for round in 0..POINTS.len() * ROUNDS {
        let passage = moments.draw().turns;
        let points = format!("{}={passage}*off->return", POINTS[round % POINTS.len()]);
        println!("{round}: {points}");
        let Some(server) = start_to_fail(folder.path(), &points) else {
            early += 1;
            continue;
        };
        // The writers end when the server is gone.
        changes.add(Writers::until_gone(&server.api(), &experiments, round).join().await);
        kills += 1;
        drop(server);
    }

    assert!(early < POINTS.len() * ROUNDS / 2, "{early} times the server did not come up");
    let server = crate::start_server(folder.path());
    let log = server.api().event_log().await?;
    receipts::wait_for(&receiver, &log, 1).await;
    server.stop()?;
    let received = receiver.arrivals();
    let server = crate::start_server(folder.path());
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
