//! Runs that fail by what they read: each ends in its event, and leaves the published results as they were.

use bellwether::domain::actor::Actor;
use bellwether::domain::definition::{AssignmentSource, FactSource};
use bellwether::registry::Defined;
use serde_json::{Value, json};

use crate::installation::{Ended, Installation};
use crate::study::{self, ASSIGNMENTS, FACTS, KEY, Study};

/// A study of the trial that has published results.
async fn published(here: &mut Installation) -> (Study, i64, String) {
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let experiment = study.started(KEY, json!({"assignments_end_date": "2024-03-31"})).await;
    let (metric, source) = study.metric("Earnings", FACTS, Some("amount"), "sum").await;
    study.attach(experiment, &metric, true).await;
    assert_eq!(here.run(experiment).await.run["state"], "success");
    (study, experiment, source)
}

/// Stores SQL that the API refuses, as it stands there when the tables have changed since.
async fn store_unchecked<D: Defined>(here: &Installation, id: D::Id, sql: &str) {
    let edit = json!({"sql": sql}).as_object().unwrap().clone();
    here.running.registry().redefine::<D>(Actor::System, id, edit, None).await.unwrap();
}

fn assert_failed(ended: &Ended, reason: &str) {
    let meta_data = ended.meta_data();
    assert_eq!(ended.run["state"], "failure", "{}", ended.run);
    assert_eq!((&meta_data["status"], &meta_data["is_data_updated"]), (&json!("failure"), &json!(false)));
    assert_eq!(meta_data["assignments_scan_end_date"], "2024-03-31");
    assert!(ended.error().contains(reason), "'{reason}' is not in: {}", ended.error());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_assignments_fails_the_run_and_keeps_the_results() {
    let mut here = Installation::start().await;
    let (study, experiment, _) = published(&mut here).await;
    let before = here.results(experiment).await;
    let source = study.assignment_source.parse().unwrap();
    for (sql, reason) in [
        ("SELEC subject FROM assignments", "SELEC"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT subject, at, experiment FROM assignments", "variation"),
        ("CREATE TABLE taken AS SELECT * FROM assignments", "SELECT"),
        ("DROP TABLE assignments", "SELECT"),
        ("SELECT * FROM assignments; SELECT 1", "one"),
        ("COPY assignments TO '/tmp/stolen.csv'", "SELECT"),
        ("SELECT * FROM bellwether.subjects", "bellwether"),
    ] {
        store_unchecked::<AssignmentSource>(&here, source, sql).await;
        let ended = here.run(experiment).await;
        assert_failed(&ended, reason);
        // The last known verdict stands, as this run reached none.
        assert_eq!(ended.meta_data()["is_traffic_imbalance"], true);
        assert_eq!(here.results(experiment).await, before, "{sql}");
    }
    study.set_assignments(ASSIGNMENTS).await;
    std::fs::remove_file(here.files().join("assignments.csv")).unwrap();
    assert_failed(&here.run(experiment).await, "assignments");
    study::write_trial(&here.files());
    let mended = here.run(experiment).await;
    assert_eq!((&mended.run["state"], &mended.meta_data()["is_data_updated"]), (&json!("success"), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_metric_fails_itself_alone_unless_it_is_the_primary_one() {
    let mut here = Installation::start().await;
    let (study, experiment, earnings) = published(&mut here).await;
    let (broken, source) = study.metric("Broken", FACTS, Some("amount"), "sum").await;
    let sql = "SELECT subject, at, nothing AS amount FROM facts";
    store_unchecked::<FactSource>(&here, source.parse().unwrap(), sql).await;
    study.attach(experiment, &broken, false).await;

    let partly = here.run(experiment).await;
    assert_eq!((&partly.run["state"], &partly.meta_data()["is_data_updated"]), (&json!("success"), &json!(true)));
    let results = here.results(experiment).await;
    let [sound, failed] = &results["metrics"].as_array().unwrap()[..] else { panic!("two metrics") };
    assert_eq!((&sound["error"], sound["variations"].as_array().unwrap().len()), (&Value::Null, 2));
    assert!(failed["error"].as_str().unwrap().contains("nothing"), "{failed}");
    assert_eq!(failed["variations"], json!([]));

    let path = format!("/fact_sources/{earnings}");
    here.api.patch(&path, &json!({"sql": "SELECT subject, at, amount FROM facts_of_1979"})).await.unwrap();
    let ended = here.run(experiment).await;
    assert_failed(&ended, "facts_of_1979");
    assert!(ended.error().contains("Earnings"), "it names the metric: {}", ended.error());
    assert_eq!(here.results(experiment).await, results);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_stands_in_the_log_with_its_error() {
    let mut here = Installation::start().await;
    let (study, experiment, _) = published(&mut here).await;
    study
        .set_assignments("SELECT subject, variation, to_timestamp_seconds(CAST(subject AS BIGINT) / 0) AS at, experiment FROM assignments")
        .await;
    let ended = here.run(experiment).await;
    assert_eq!(ended.run["state"], "failure", "{}", ended.run);
    let steps = ended.run["steps"].as_array().unwrap();
    let last = steps.last().unwrap();
    assert!(last["sql"].as_str().unwrap().contains("/ 0"), "{last}");
    assert!(
        last["error"].as_str().is_some_and(|error| ended.error().contains(error)),
        "{last} against {}",
        ended.error()
    );
    assert_eq!((&last["rows"], &last["duration_us"]), (&Value::Null, &Value::Null));
}
