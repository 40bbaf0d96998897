//! Runs that are ended from outside: their worker dies, time is up, they are cancelled, the server is killed.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bellwether::config::Config;
use bellwether_bench::server::Server;
use serde_json::{Value, json};

use crate::installation::{Ended, Ends, Installation, PROGRAM, ends_of, request, shown, until_under_way};
use crate::study::{self, ASSIGNMENTS, ENDLESS, KEY, Study};

pub async fn endless(here: &Installation) -> (Study, i64) {
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let experiment = study.started(KEY, json!({})).await;
    study.set_assignments(ENDLESS).await;
    (study, experiment)
}

fn assert_failed(ended: &Ended, reason: &str) {
    assert_eq!((&ended.run["state"], &ended.meta_data()["status"]), (&json!("failure"), &json!("failure")));
    assert!(ended.error().contains(reason), "'{reason}' is not in: {}", ended.error());
}

/// The process that runs `program`, which no other test does.
fn process_of(program: &Path) -> Option<u32> {
    let is_it = |id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).next() == Some(program.as_os_str().as_encoded_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).find(is_it)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_fails_its_run_and_no_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("bellwether-of-one-test");
    symlink(PROGRAM, &program).unwrap();
    let mut here = Installation::with(|config| config.program = program.clone()).await;
    let (study, experiment) = endless(&here).await;
    let run = request(&here.api, experiment).await;
    until_under_way(&here.api, &run).await;
    let worker = process_of(&program).unwrap();
    assert!(std::process::Command::new("sh").arg("-c").arg(format!("kill -KILL {worker}")).status().unwrap().success());
    let ended = here.ends.next(&here.api, &run).await;
    assert_failed(&ended, "signal: 9");

    study.set_assignments(ASSIGNMENTS).await;
    assert_eq!(here.run(experiment).await.run["state"], "success");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_by_itself_fails_its_run() {
    // Asked for at run time: what was built in another checkout of the same cache names that one's folder.
    let quits = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("tests/pipeline/workers/quits.sh");
    for (program, reason) in [
        (PathBuf::from("/bin/false"), "exit status: 1"),
        (quits, "ended the process that ran it (exit status: 3)"),
        (PathBuf::from("/nowhere/bellwether"), "No such file"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("program");
        // Sources are tried out when they are defined, and this by a program that works.
        symlink(PROGRAM, &link).unwrap();
        let mut here = Installation::with(|config| config.program = link.clone()).await;
        let (_, experiment) = endless(&here).await;
        std::fs::remove_file(&link).unwrap();
        symlink(&program, &link).unwrap();
        assert_failed(&here.run(experiment).await, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("bellwether-that-is-stopped");
    symlink(PROGRAM, &program).unwrap();
    let configure = |config: &mut Config| (config.run_timeout_seconds, config.program) = (1, program.clone());
    let mut here = Installation::with(configure).await;
    let (_, experiment) = endless(&here).await;
    let ended = here.run(experiment).await;
    assert_failed(&ended, "longer than 1 s");
    assert!(ended.meta_data()["time_taken_seconds"].as_f64().unwrap() >= 1.0);
    assert_eq!(process_of(&program), None, "its worker is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_runs_is_cancelled_with_an_event_and_one_that_waits_without() {
    let mut here = Installation::start().await;
    let (study, first) = endless(&here).await;
    let second = study.started("second", json!({})).await;
    let running = request(&here.api, first).await;
    until_under_way(&here.api, &running).await;
    assert_eq!(running["is_joined"], false);
    let joined = request(&here.api, first).await;
    assert_eq!((&joined["id"], &joined["is_joined"]), (&running["id"], &json!(true)));

    let waiting = request(&here.api, second).await;
    let cancel = |run: &Value| format!("/runs/{}/cancel", run["id"].as_str().unwrap());
    let cancelled = here.api.post(&cancel(&waiting), &json!({})).await.unwrap();
    assert_eq!((&cancelled["state"], &cancelled["started_at"]), (&json!("cancelled"), &Value::Null));
    here.api.post(&cancel(&running), &json!({})).await.unwrap();
    // The only event that comes is that of the one that ran.
    let ended = here.ends.next(&here.api, &running).await;
    assert_failed(&ended, "cancelled");
    study.set_assignments(ASSIGNMENTS).await;
    assert_eq!(here.run(second).await.run["state"], "success");
    assert_eq!(ends_of(&here.api, second).await.len(), 1, "the one that waited left none");
    assert_eq!(shown(&here.api, &waiting).await["state"], "cancelled");
    let (status, problem) = crate::installation::refusal(here.api.post(&cancel(&running), &json!({})).await);
    assert!(status == 409 && problem.contains("ended already"), "{problem}");
}

/// A moment's work, which a stop waits for.
const SLOW: &str = "SELECT a.subject, a.variation, a.at, a.experiment FROM assignments a, \
                    (SELECT * FROM assignments LIMIT 200) b";

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_a_run_that_ends_soon() {
    let mut here = Installation::start().await;
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let experiment = study.started(KEY, json!({})).await;
    study.set_assignments(SLOW).await;
    let run = request(&here.api, experiment).await;
    until_under_way(&here.api, &run).await;
    here = here.restart().await;
    let ended = here.ends.next(&here.api, &run).await;
    assert_eq!(ended.run["state"], "success", "{}", ended.run);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_server_was_killed_is_ended_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let start = || tokio::task::block_in_place(|| Server::start(Path::new(PROGRAM), folder.path(), None)).unwrap();
    let server = start();
    let api = server.api();
    let mut ends = Ends::subscribe(&api).await;
    let files = folder.path().join("files");
    study::write_trial(&files);
    let study = Study::define(&api, &files).await;
    let experiment = study.started(KEY, json!({})).await;
    study.set_assignments(ENDLESS).await;
    let run = request(&api, experiment).await;
    until_under_way(&api, &run).await;
    server.kill().unwrap();
    assert_eq!(ends.count(), 0);

    let server = start();
    let ended = ends.next(&server.api(), &run).await;
    assert_failed(&ended, "the process that carried it out ended");
    assert_eq!(ends_of(&server.api(), experiment).await.len(), 1);
    study_again(&server, &study, &mut ends, experiment).await;
}

/// The experiment is free for the next run.
async fn study_again(server: &Server, study: &Study, ends: &mut Ends, experiment: i64) {
    let source = format!("/assignment_sources/{}", study.assignment_source);
    server.api().patch(&source, &json!({"sql": ASSIGNMENTS})).await.unwrap();
    let run = request(&server.api(), experiment).await;
    assert_eq!(run["is_joined"], false);
    assert_eq!(ends.next(&server.api(), &run).await.run["state"], "success");
}
