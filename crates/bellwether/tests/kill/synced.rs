//! `kill -9` keeps the page cache, and so shows nothing of a power cut. This does: a sync precedes every answer.

use std::path::Path;

use bellwether_bench::server::Server;

const CHANGES: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_precedes_the_answer_to_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_bellwether"));
    let calls = "fsync,fdatasync,write,writev,sendto,sendmsg";
    let (server, trace) = Server::start_traced(program, folder.path(), calls).unwrap();
    let api = server.api();
    // One after the other, so that no change can ride on another's sync.
    let experiment = api.create_experiment("synced").await.unwrap();
    for i in 0..CHANGES {
        api.change_experiment(experiment, &i.to_string()).await.unwrap();
    }
    server.kill().unwrap();
    let trace = trace.join().unwrap().unwrap();

    let (mut syncs, mut answers) = (0, 0);
    for line in trace.lines() {
        // A call that another thread interrupts stands in two lines, and its result in the second.
        if line.contains("sync") && line.trim_end().ends_with("= 0") {
            syncs += 1;
        }
        if line.contains("\"HTTP/1.1 20") {
            assert!(syncs > 0, "an answer left without a sync since the last one: {line}\n{trace}");
            (syncs, answers) = (0, answers + 1);
        }
    }
    assert_eq!(answers, 1 + CHANGES, "{trace}");
}
