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

/// A power cut may take a file away whose folder was not synced after it was made, and the folder likewise.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_first_start_makes_is_still_there_after_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let data = folder.join("made").join("too");
    let program = Path::new(env!("CARGO_BIN_EXE_bellwether"));
    let (server, trace) = Server::start_traced(program, &data, "fsync,rename,openat").unwrap();
    server.kill().unwrap();
    let trace = trace.join().unwrap().unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let first = |what: &dyn Fn(&str) -> bool| lines.iter().position(|line| what(line));
    let synced = |path: &Path, after: usize| {
        let call = format!("<{}>", path.display());
        lines[after..].iter().any(|line| line.contains("fsync(") && line.contains(&call))
    };
    for parent in [folder.as_path(), &folder.join("made")] {
        assert!(synced(parent, 0), "{} was not synced:\n{trace}", parent.display());
    }
    let key = first(&|line| line.contains("rename(") && line.contains("secret.key")).expect("the key is made");
    let database = first(&|line| line.contains("bellwether.db\"") && line.contains("O_CREAT"));
    for made in [key, database.expect("the database is made")] {
        assert!(synced(&data, made), "{} was not synced after {}:\n{trace}", data.display(), lines[made]);
    }
}
