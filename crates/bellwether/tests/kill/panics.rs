//! A request that panics: a defect of ours, which must cost that attempt and nothing else.

use std::path::Path;

use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::server::Server;
use bellwether_testkit::receipts;
use bellwether_webhook::Secret;
use serde_json::json;

use crate::scene::start_server;

const EXPERIMENTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_that_panics_is_a_failed_attempt_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let secret = Secret::parse("a secret").unwrap();
    let receiver = Receiver::start(&Options::verifying(&secret)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_bellwether"));
    let points = "request.before=1*panic->off";
    let server = tokio::task::block_in_place(|| Server::start_to_fail(program, folder.path(), None, points)).unwrap();
    let api = server.api();
    let endpoint = json!({"url": receiver.url(), "secret": secret.text(), "retry_schedule": [1]});
    let endpoint = api.post("/endpoints", &endpoint).await.unwrap();
    for i in 0..EXPERIMENTS {
        api.create_experiment(&format!("e{i}")).await.unwrap();
    }
    receipts::wait_for(&receiver, &api.event_log().await.unwrap(), 1).await;
    // What was answered is on disk when the server has stopped.
    server.stop().unwrap();
    let server = start_server(folder.path(), None);
    let path = format!("/deliveries?endpoint={}", endpoint["id"].as_str().unwrap());
    let deliveries = server.api().get(&path).await.unwrap();
    let listed = deliveries["items"].as_array().unwrap();
    let mut attempts: Vec<_> = listed.iter().map(|delivery| delivery["attempt_count"].as_u64().unwrap()).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 1, 1, 1, 2], "{deliveries}");
    server.stop().unwrap();
}
