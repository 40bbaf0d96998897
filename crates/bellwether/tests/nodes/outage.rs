//! PostgreSQL goes away, and comes back: by a restart as after a crash, or behind a line that carries nothing for half a
//! minute. Meanwhile changes are refused or without an answer; what was accepted is told, once it is back.

use std::time::Duration;

use bellwether::domain::clock::Clock;
use bellwether::platform::clock::SystemClock;
use bellwether_testkit::cluster::Own;
use bellwether_testkit::writers::Writers;

use crate::judged;
use crate::nodes::Nodes;

const OUTAGE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_is_restarted_as_after_a_crash() {
    let server = tokio::task::block_in_place(|| Own::start("restarted"));
    judged(async {
        let nodes = Nodes::on(server.folder(), 1).await;
        nodes.wait_until_shared().await;
        let writers = Writers::through(&nodes.addresses(), &nodes.experiments);
        for _ in 0..3 {
            nodes.wait_for_arrivals_everywhere().await;
            tokio::task::block_in_place(|| server.restart());
        }
        nodes.wait_for_arrivals_everywhere().await;
        let changes = writers.stop().await;
        nodes.observe(changes, Duration::ZERO).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_is_unreachable_for_half_a_minute() {
    judged(async {
        let nodes = Nodes::start(1).await;
        nodes.wait_until_shared().await;
        let writers = Writers::through(&nodes.addresses(), &nodes.experiments);
        nodes.wait_for_arrivals_everywhere().await;
        nodes.gate().shut();
        SystemClock::start().sleep(OUTAGE).await;
        nodes.gate().open();
        nodes.wait_for_arrivals_everywhere().await;
        let changes = writers.stop().await;
        nodes.observe(changes, Duration::ZERO).await
    })
    .await;
}
