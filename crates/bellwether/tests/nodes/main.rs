//! Several nodes on one PostgreSQL, with one killed, one paused, or one cut off from the database: what was accepted is told
//! to every endpoint, in order, by those that are left, and the one that comes back spoils nothing.
//!
//! Writers change experiments without pause, through all nodes; a receiver keeps a ledger for every endpoint. What must
//! hold at the end is in `verdict`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod nodes;
mod outage;
mod runs;
mod verdict;

use std::time::Duration;

use bellwether_testkit::writers::Writers;

use nodes::Nodes;
use verdict::Observed;

/// For one test; it takes a fraction of this.
const TIMEOUT: Duration = Duration::from_secs(150);

/// What is done to the last of three nodes, and undone.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    /// SIGSTOP, and SIGCONT when the others have taken over.
    Paused,
    /// The connection to the database carries nothing any more, and no other comes about, until the others have taken over.
    CutOff,
}

async fn endure(fault: Fault) {
    judged(async {
        let mut nodes = Nodes::start(3).await;
        nodes.wait_until_shared().await;
        println!("three nodes share the lanes");
        let writers = Writers::through(&nodes.addresses(), &nodes.experiments);
        nodes.wait_for_arrivals_everywhere().await;
        let struck_at = nodes.strike(fault);
        let gap = nodes.wait_until_taken_over(struck_at).await;
        println!("{fault:?}: the lanes of the lost node were silent for {:.1} s", gap.as_secs_f64());
        nodes.recover(fault);
        nodes.wait_for_arrivals_everywhere().await;
        let changes = writers.stop().await;
        println!("no more is written");
        nodes.observe(changes, gap).await
    })
    .await;
}

/// What was seen, when it has been judged.
async fn judged(seen: impl Future<Output = Observed>) -> Observed {
    let observed = tokio::time::timeout(TIMEOUT, seen).await.expect("it takes too long");
    println!("{}", observed.figures());
    observed.judge();
    observed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_three_is_killed() {
    endure(Fault::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_three_is_paused_and_comes_back() {
    endure(Fault::Paused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_three_is_cut_off_and_comes_back() {
    endure(Fault::CutOff).await;
}

/// Nodes come and go well: lanes move, and nothing is told twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lanes_move_to_a_node_that_joins_and_from_one_that_leaves() {
    let observed = judged(async {
        let mut nodes = Nodes::start(1).await;
        nodes.wait_until_shared().await;
        let writers = Writers::through(&nodes.addresses(), &nodes.experiments);
        nodes.wait_for_arrivals_everywhere().await;
        nodes.join().await;
        nodes.wait_until_shared().await;
        nodes.wait_for_arrivals_everywhere().await;
        let left = nodes.leave();
        left.expect("a node that is asked to stop ends well");
        nodes.wait_until_shared().await;
        nodes.wait_for_arrivals_everywhere().await;
        let changes = writers.stop().await;
        nodes.observe(changes, Duration::ZERO).await
    })
    .await;
    assert_eq!(observed.duplicates(), 0, "nobody was killed");
}

/// A run does not keep a node that is asked to stop from handing its endpoints over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lanes_move_at_once_from_a_node_that_leaves_in_the_middle_of_a_run() {
    let observed = judged(async {
        let mut nodes = Nodes::start(2).await;
        nodes.wait_until_shared().await;
        nodes.start_endless_runs().await;
        let writers = Writers::through(&nodes.addresses()[..1], &nodes.experiments);
        nodes.wait_for_arrivals_everywhere().await;
        let asked_at = nodes::now();
        let left = nodes.leave();
        left.expect("a node that is asked to stop ends well");
        nodes.wait_until_shared().await;
        nodes.wait_for_arrivals_everywhere().await;
        let silence = nodes.longest_silence(asked_at);
        println!("an endpoint was told nothing for {:.1} s", silence.as_secs_f64());
        let changes = writers.stop().await;
        nodes.observe(changes, silence).await
    })
    .await;
    assert_eq!(observed.duplicates(), 0, "nobody was killed");
}
