//! Percentiles and funnels where something is wrong with the facts, or there are few; and beside other metrics.

use serde_json::{Value, json};

use crate::warnings::{Trial, assignments, facts, facts_of, message, names, time, trial};

/// A metric of this kind on the fact source of the trial's first metric, attached.
async fn with_kind(trial: &Trial, kind: &str, mut of_kind: Value) {
    let source = trial.here.api.get("/fact_sources").await.unwrap()["items"][0].clone();
    let fact = &source["facts"][0]["id"];
    match of_kind.get_mut("steps") {
        Some(steps) => steps.as_array_mut().unwrap().iter_mut().for_each(|step| step["fact_id"] = fact.clone()),
        None => of_kind["fact_id"] = fact.clone(),
    }
    let metric = json!({"name": kind, "entity_id": trial.study.entity(), "kind": kind, kind: of_kind});
    let metric = trial.here.api.post("/metrics", &metric).await.unwrap();
    trial.study.attach(trial.experiment, metric["id"].as_str().unwrap(), false).await;
}

/// A fact source whose metric is not attached.
async fn source(trial: &Trial) {
    trial.study.metric("Amount", crate::study::FACTS, Some("amount"), "sum").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_facts_at_the_percentile_and_who_they_are_of_can_be_followed() {
    let mut trial = trial(&assignments(), &facts()).await;
    source(&trial).await;
    with_kind(&trial, "percentile", json!({"level": 0.5})).await;
    with_kind(&trial, "funnel", json!({"steps": [{}, {"name": "again"}]})).await;
    let results = trial.results().await;
    let percentile = &results["metrics"][0];
    let control = &percentile["variations"][0];
    // Twenty facts of 10.5 and twenty of 12.5.
    assert_eq!(
        (&control["subjects"], &control["mean"], &control["total"], &control["denominator_total"]),
        (&json!(40), &json!(11.5), &json!(460.0), &json!(40.0))
    );
    let funnel = &results["metrics"][1];
    let of_step = |step: usize, field: &str| funnel["funnel_steps"][step]["variations"][0][field].clone();
    assert_eq!((of_step(0, "mean"), of_step(0, "total"), of_step(1, "mean")), (json!(1.0), json!(40.0), json!(0.0)));
    let names: Vec<_> = funnel["funnel_steps"].as_array().unwrap().iter().map(|step| &step["name"]).collect();
    assert_eq!(names, [&json!("Amount"), &json!("again")], "a step without a name has its fact's");
    assert_eq!(of_step(1, "verdict"), Value::Null, "nothing is concluded from a step");
    let joined = &results["facts"][0];
    assert_eq!((&joined["joined"], &joined["before_assignment"], &joined["rows"]), (&json!(80), &json!(0), &json!(80)));

    // Each statement stands alone.
    let run = results["run_id"].as_str().unwrap();
    for metric in results["metrics"].as_array().unwrap() {
        for step in metric["steps"].as_array().unwrap() {
            let shown = trial.here.api.get(&format!("/runs/{run}/steps/{step}")).await.unwrap();
            let sql = shown["statement"].as_str().unwrap();
            assert!(sql.starts_with("WITH \"subjects\"") && !sql.contains("bellwether."), "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_number_fails_a_percentile_and_says_where() {
    let strange = facts_of(|n| (time(n), if n == 7 { "inf" } else { "1.5" }.to_owned()));
    let mut trial = trial(&assignments(), &strange).await;
    source(&trial).await;
    with_kind(&trial, "percentile", json!({"level": 0.5})).await;
    let error = trial.failure().await;
    assert!(error.contains("'amount' of the fact source 'Amount' holds inf"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_facts_and_none_are_told() {
    let mut trial = trial(&assignments(), &facts()).await;
    source(&trial).await;
    with_kind(&trial, "percentile", json!({"level": 0.99})).await;
    let never = json!({"start": 300, "end": 400, "unit": "weeks"});
    with_kind(&trial, "funnel", json!({"steps": [{}, {}], "timeframe": never})).await;
    let results = trial.results().await;
    let [control, treatment] = &results["metrics"][0]["variations"].as_array().unwrap()[..] else { panic!("two") };
    assert_eq!(
        (&control["mean"], &control["subjects"], &results["metrics"][0]["error"]),
        (&Value::Null, &json!(40), &Value::Null)
    );
    for variation in [control, treatment] {
        let reason = variation["no_lift_reason"].as_str().unwrap();
        assert!(reason.starts_with("there are 40 facts; this percentile's standard error needs at least"), "{reason}");
    }
    assert_eq!(names(&results), ["nothing_counted"]);
    assert!(message(&results, "nothing_counted").contains("'funnel'"));
    let treatment = &results["metrics"][1]["variations"][1];
    assert_eq!((&treatment["mean"], &treatment["subjects"]), (&json!(0.0), &json!(40)));
    assert!(treatment["no_lift_reason"].as_str().unwrap().contains("the control's mean is 0"), "{treatment}");
}

/// What is counted of a source says the same, whichever metrics are of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_may_set_another_time_for_them() {
    let mut trial = trial(&assignments(), &facts()).await;
    trial.with_metric("count").await;
    let source = trial.here.api.get("/fact_sources").await.unwrap()["items"][0].clone();
    let fact = &source["facts"][0]["id"];
    let hour = json!({"end": 1, "unit": "hours"});
    for (kind, of_kind) in [
        ("percentile", json!({"fact_id": fact, "level": 0.5})),
        ("funnel", json!({"steps": [{"fact_id": fact}, {"fact_id": fact}]})),
    ] {
        let metric = json!({"name": kind, "entity_id": trial.study.entity(), "kind": kind, kind: of_kind});
        let metric = trial.here.api.post("/metrics", &metric).await.unwrap();
        // The facts come exactly one hour after the assignments: too late by nothing.
        let body = json!({"metric_id": metric["id"], "timeframe": hour});
        trial.here.api.post(&format!("/experiments/{}/metrics", trial.experiment), &body).await.unwrap();
    }
    let results = trial.results().await;
    let first = |metric: usize, field: &str| results["metrics"][metric]["variations"][0][field].clone();
    assert_eq!((first(0, "mean"), first(1, "subjects"), first(2, "mean")), (json!(1.0), json!(0), json!(0.0)));
    assert_eq!(names(&results), ["nothing_counted", "nothing_counted"]);
    assert_eq!(results["facts"][0]["joined"], 80);
}
