//! What a run does to others: deliveries flow on whatever its query does, and a request that it cannot answer waits behind it.

use bellwether_bench::receiver::{Options, Receiver};
use bellwether_webhook::Secret;
use serde_json::{Value, json};

use crate::ends::endless;
use crate::installation::{Installation, TIMEOUT, shown, until_under_way};
use crate::study::{ASSIGNMENTS, Study};

/// More than any limit allows, held by one aggregate that cannot spill.
const HUNGRY: &str = "SELECT string_agg(repeat('x', 1000), '') AS subject, 'control' AS variation, now() AS at, 'study' AS experiment \
                      FROM generate_series(1, 1000000000)";
const EDITS: usize = 20;

async fn requested(here: &Installation, experiment: i64, mode: &str) -> Value {
    here.api.post(&format!("/experiments/{experiment}/runs"), &json!({"mode": mode})).await.unwrap()
}

async fn set_memory_hungry(here: &Installation, study: &Study) {
    let path = format!("/assignment_sources/{}", study.assignment_source);
    here.api.patch(&path, &json!({"sql": HUNGRY})).await.unwrap();
}

/// Edits an experiment again and again, and waits until a receiver has heard of each.
async fn deliver(here: &Installation) {
    let secret = Secret::parse("a secret of the edits").unwrap();
    let receiver = Receiver::start(&Options::verifying(&secret)).unwrap();
    let events = ["experiment.configuration.updated"];
    here.api
        .post("/endpoints", &json!({"url": receiver.url(), "secret": secret.text(), "events": events}))
        .await
        .unwrap();
    let other = here.api.post("/experiments", &json!({"key": "other", "name": "0"})).await.unwrap()["id"].clone();
    for name in 1..EDITS {
        here.api.patch(&format!("/experiments/{other}"), &json!({"name": name.to_string()})).await.unwrap();
    }
    let mut count = receiver.count();
    let came = tokio::time::timeout(TIMEOUT, count.wait_for(|count| *count >= EDITS)).await;
    came.expect("every edit is delivered").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_flow_on_while_a_query_eats_memory_and_when_it_ends_its_worker() {
    let mut here = Installation::with(|config| config.run_memory_mib = 64).await;
    let (study, experiment) = endless(&here).await;
    let run = requested(&here, experiment, "full").await;
    until_under_way(&here.api, &run).await;
    deliver(&here).await;
    assert_eq!(shown(&here.api, &run).await["state"], "running", "its worker computes for ever");
    here.api.post(&format!("/runs/{}/cancel", run["id"].as_str().unwrap()), &json!({})).await.unwrap();
    here.ends.next(&here.api, &run).await;

    set_memory_hungry(&here, &study).await;
    let run = requested(&here, experiment, "full").await;
    let ended = here.ends.next(&here.api, &run).await;
    assert_eq!(ended.run["state"], "failure", "{}", ended.run);
    assert!(ended.error().contains("memory") || ended.error().contains("ended the process"), "{}", ended.error());
    study.set_assignments(ASSIGNMENTS).await;
    assert_eq!(here.run(experiment).await.run["state"], "success", "the next is none the worse");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_joins_the_run_that_answers_it_or_waits_behind_one_that_does_not() {
    let mut here = Installation::start().await;
    let (study, experiment) = endless(&here).await;
    let running = requested(&here, experiment, "full").await;
    until_under_way(&here.api, &running).await;
    let same = requested(&here, experiment, "full").await;
    assert_eq!((&same["id"], &same["is_joined"]), (&running["id"], &json!(true)));
    // Another definition of the source: the run under way computes something else.
    study.set_assignments(ASSIGNMENTS).await;
    let waiting = requested(&here, experiment, "incremental").await;
    assert_eq!((&waiting["is_joined"], &waiting["state"]), (&json!(false), &json!("queued")));
    let upgraded = requested(&here, experiment, "full").await;
    assert_eq!(
        (&upgraded["id"], &upgraded["is_joined"], &upgraded["mode"]),
        (&waiting["id"], &json!(true), &json!("full"))
    );
    here.api.post(&format!("/runs/{}/cancel", running["id"].as_str().unwrap()), &json!({})).await.unwrap();
    assert_eq!(here.ends.next(&here.api, &running).await.run["state"], "failure");
    assert_eq!(here.ends.next(&here.api, &waiting).await.run["state"], "success", "it starts when the other has ended");
}
