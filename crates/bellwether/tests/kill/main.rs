//! `kill -9` at many random moments while changes flow: what was accepted is told, all of it, in order, and nothing else.
//!
//! Writers change experiments without pause; a receiver that stays up keeps a ledger; the server is killed and started
//! again on the same data folder. What must hold at the end is in `verdict`. BELLWETHER_SEED repeats a run's choices.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod full;
mod moments;
mod panics;
mod points;
mod scene;
mod synced;
mod verdict;

use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::receiver::Receiver;
use bellwether_testkit::databases::Database;
use bellwether_testkit::writers::{Changes, Writers};

use moments::{Moment, Moments};
use scene::Scene;
use verdict::Observed;

/// Unless BELLWETHER_KILLS says otherwise.
const KILLS: usize = 50;
/// On PostgreSQL the lanes of a killed node are silent until it is seen to be dead, after each kill.
const KILLS_ON_POSTGRES: usize = 5;
/// For each kill; it takes a fraction of this.
const TIMEOUT: Duration = Duration::from_secs(4);
const TIMEOUT_ON_POSTGRES: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_accepted_is_told_though_the_server_is_killed_again_and_again() {
    let mut moments = Moments::from_environment();
    println!("BELLWETHER_SEED={} repeats these moments", moments.seed());
    let kills = kills();
    let limit = TIMEOUT * u32::try_from(kills).unwrap();
    let observed = tokio::time::timeout(limit, observe(&mut moments, kills, None)).await;
    judge(observed.expect("it takes too long").unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_on_postgres() {
    let mut moments = Moments::from_environment();
    println!("BELLWETHER_SEED={} repeats these moments", moments.seed());
    let limit = TIMEOUT_ON_POSTGRES * u32::try_from(KILLS_ON_POSTGRES).unwrap();
    let database = tokio::task::block_in_place(Database::postgres);
    let observed = tokio::time::timeout(limit, observe(&mut moments, KILLS_ON_POSTGRES, Some(database))).await;
    judge(observed.expect("it takes too long").unwrap());
}

fn judge(observed: Observed) {
    println!("{}", observed.figures());
    observed.judge();
}

fn kills() -> usize {
    std::env::var("BELLWETHER_KILLS").map_or(KILLS, |text| text.parse().expect("BELLWETHER_KILLS is a number"))
}

async fn observe(moments: &mut Moments, kills: usize, database: Option<Database>) -> Result<Observed, Problem> {
    let (scene, mut server) = Scene::set(database).await?;
    let mut changes = Changes::default();
    for round in 0..kills {
        let moment = moments.draw();
        println!("{round}: {moment:?}");
        scene.receiver.be_silent(moment.is_receiver_silent);
        let writers = Writers::until_gone(&server.api(), &scene.experiments, round);
        wait(&moment, &writers, &scene.receiver).await;
        server.kill()?;
        changes.add(writers.join().await);
        server = scene.start();
    }
    scene.receiver.be_silent(false);
    scene.conclude(server, changes, kills).await
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
