//! A disk that fills up: what does not fit is refused and changes nothing; what was accepted is told, if need be when there
//! is room again.

use std::collections::HashSet;
use std::path::Path;

use bellwether_bench::api::Refused;
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::server::Server;
use bellwether_testkit::receipts;
use bellwether_webhook::Secret;
use serde_json::json;

use crate::scene::start_server;

/// Pages of 4 KiB. The schema takes some of them.
const PAGES: u32 = 220;
const MOST_CHANGES: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_refuses_and_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let secret = Secret::parse("a secret that outlives the server").unwrap();
    let receiver = Receiver::start(&Options::verifying(&secret)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_bellwether"));
    let points = format!("disk.full=return({PAGES})");
    let server = tokio::task::block_in_place(|| Server::start_to_fail(program, folder.path(), None, &points)).unwrap();
    let api = server.api();
    api.post("/endpoints", &json!({"url": receiver.url(), "secret": secret.text()})).await.unwrap();
    let experiment = api.create_experiment("full").await.unwrap();
    let mut accepted = vec![(experiment, 1)];
    let refused = loop {
        assert!(accepted.len() < MOST_CHANGES, "the disk does not fill up");
        match api.change_experiment(experiment, &format!("{}", accepted.len())).await {
            Ok(revision) => accepted.push((experiment, revision)),
            Err(error) => break error,
        }
    };
    let refused = refused.downcast_ref::<Refused>().expect("it is answered");
    assert_eq!(refused.status.as_u16(), 507, "{refused}");
    let shown = api.get(&format!("/experiments/{experiment}")).await.unwrap();
    assert_eq!(shown["revision"], json!(accepted.last().unwrap().1), "what was refused has changed nothing");
    server.kill().unwrap();

    // There is room again.
    let server = start_server(folder.path(), None);
    let log = server.api().event_log().await.unwrap();
    let logged: HashSet<(i64, i64)> = log.iter().map(|(experiment, revision, _)| (*experiment, *revision)).collect();
    assert_eq!(logged, accepted.iter().copied().collect());
    receipts::wait_for(&receiver, &log, 1).await;
    server.api().change_experiment(experiment, "afterwards").await.unwrap();
    println!("{} changes until the disk was full", accepted.len());
    server.stop().unwrap();
}
