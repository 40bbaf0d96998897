//! Runs by schedule: due ones are opened, and none once the experiment has ended for long.

use std::time::Duration;

use bellwether::domain::clock::Timestamp;
use bellwether::store::{StoreError, experiments};
use serde_json::{Value, json};

use crate::installation::Installation;
use crate::study::{self, KEY, Study};

async fn next_run(here: &Installation, experiment: i64) -> Option<Timestamp> {
    let read: Result<_, StoreError> =
        here.running.registry().db().read(move |tx| experiments::next_run(tx, experiment)).await;
    read.unwrap()
}

async fn make_due(here: &Installation, experiment: i64) {
    let now = here.running.registry().clock().now();
    let written: Result<(), StoreError> =
        here.running.registry().db().write(move |tx| experiments::set_next_run(tx, experiment, Some(now))).await;
    written.unwrap();
}

async fn runs(here: &Installation, experiment: i64) -> Vec<Value> {
    let listed = here.api.get(&format!("/experiments/{experiment}/runs")).await.unwrap();
    listed["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_due_is_carried_out_and_the_next_one_is_planned() {
    let mut here = Installation::start().await;
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let schedule = json!({"name": "New Year", "cron": "0 6 1 1 *", "time_zone": "Europe/Berlin"});
    let schedule = here.api.post("/schedules", &schedule).await.unwrap()["id"].clone();
    let experiment = study.draft(KEY, json!({"schedule_id": schedule})).await;
    assert_eq!(next_run(&here, experiment).await, None, "a draft is not scheduled");
    here.api.post(&format!("/experiments/{experiment}/start"), &json!({})).await.unwrap();
    let planned = next_run(&here, experiment).await.unwrap();
    let new_year: Timestamp = format!("{}-01-01T05:00:00Z", planned.date().year()).parse().unwrap();
    assert!(planned >= new_year && planned < new_year.plus(Duration::from_mins(10)), "{planned}");
    assert!(runs(&here, experiment).await.is_empty());

    make_due(&here, experiment).await;
    here.running.registry().request_scheduled_runs(10).await.unwrap();
    let run = runs(&here, experiment).await.pop().unwrap();
    assert_eq!((&run["is_manual"], &run["mode"]), (&json!(false), &json!("incremental")));
    let ended = here.ends.next(&here.api, &run).await;
    assert_eq!((&ended.run["state"], &ended.run["actor"]["type"]), (&json!("success"), &json!("system")));
    assert_eq!(ended.meta_data()["is_manual_refresh"], false);
    assert_eq!(next_run(&here, experiment).await, Some(planned));
    assert_eq!(runs(&here, experiment).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_finds_what_is_due_by_itself() {
    let mut here = Installation::start().await;
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let experiment = study.started(KEY, json!({})).await;
    make_due(&here, experiment).await;
    let (told, data) = here.ends.next_told(&here.api).await;
    assert_eq!(told, experiment);
    assert!(data.contains(r#""is_manual_refresh":false"#), "{data}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_go_on_for_48_hours_after_the_last_end() {
    let mut here = Installation::start().await;
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let now = here.running.registry().clock().now();
    let ended_for = |hours| json!({"assignments_end_date": "2024-03-31", "events_end_date": now.minus(Duration::from_hours(hours)).to_string()});
    let long = study.started("long", ended_for(49)).await;
    let recent = study.started("recent", ended_for(47)).await;
    make_due(&here, long).await;
    make_due(&here, recent).await;
    here.running.registry().request_scheduled_runs(10).await.unwrap();
    assert_eq!((runs(&here, long).await, next_run(&here, long).await), (vec![], None));
    let run = runs(&here, recent).await.pop().unwrap();
    assert_eq!(here.ends.next(&here.api, &run).await.run["is_manual"], false);
    assert!(next_run(&here, recent).await.is_some());
}
