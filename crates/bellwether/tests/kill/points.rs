//! A kill at every boundary that matters: before a commit and after it, between two jobs of one commit, before a request,
//! between its answer and the record of it, and after the record. Each several times, at a passage drawn from the seed.

use std::path::Path;

use bellwether_bench::Problem;
use bellwether_bench::server::Server;
use bellwether_testkit::writers::{Changes, Writers};

use crate::moments::Moments;
use crate::scene::{PROGRAM, Scene};
use crate::verdict::Observed;

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
    tokio::task::block_in_place(|| Server::start_to_fail(Path::new(PROGRAM), data, None, points)).ok()
}

async fn observe(moments: &mut Moments) -> Result<Observed, Problem> {
    let (scene, server) = Scene::set(None).await?;
    server.stop()?;
    let (mut changes, mut kills) = (Changes::default(), 0);
    for round in 0..POINTS.len() * ROUNDS {
        let passage = moments.draw().turns;
        let points = format!("{}={passage}*off->return", POINTS[round % POINTS.len()]);
        println!("{round}: {points}");
        let Some(server) = start_to_fail(scene.data(), &points) else { continue };
        // The writers end when the server is gone.
        changes.add(Writers::until_gone(&server.api(), &scene.experiments, round).join().await);
        kills += 1;
        drop(server);
    }
    assert!(kills > POINTS.len() * ROUNDS / 2, "only {kills} times did the server come up");
    let server = scene.start();
    scene.conclude(server, changes, kills).await
}
