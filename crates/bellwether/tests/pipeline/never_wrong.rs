//! Files and definitions from the field that once gave a wrong number without a word, each with the right one, or with what is
//! said instead.

use serde_json::{Value, json};

use crate::installation::{refusal, write};
use crate::warnings::{assignments, facts, facts_of, message, names, time, trial};

fn mean(results: &Value, metric: usize, variation: usize) -> &Value {
    &results["metrics"][metric]["variations"][variation]["mean"]
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_added_as_decimals_are() {
    // Three facts a subject, which are 200.00 together, and less by a hair as doubles.
    let amounts = ["7.35", "49.98", "142.67"];
    let of_each = amounts.map(|amount| facts_of(|n| (time(n), amount.to_owned())));
    let rows: String = of_each.iter().flat_map(|facts| facts.lines().skip(1)).map(|line| format!("{line}\n")).collect();
    let mut trial = trial(&assignments(), &format!("subject,at,amount\n{rows}")).await;
    trial.with_metric("sum").await;
    let metrics = trial.here.api.get("/metrics").await.unwrap();
    let fact = metrics["items"][0]["numerator"]["fact_id"].clone();
    for (name, comparison) in [("reached", "gte"), ("passed", "gt")] {
        let threshold = json!({"of": "sum", "comparison": comparison, "value": 200});
        let numerator = json!({"fact_id": fact, "operation": "threshold", "threshold": threshold});
        let metric = json!({"name": name, "entity_id": trial.study.entity(), "kind": "simple", "numerator": numerator});
        let metric = trial.here.api.post("/metrics", &metric).await.unwrap();
        trial.study.attach(trial.experiment, metric["id"].as_str().unwrap(), false).await;
    }
    let results = trial.results().await;
    assert_eq!(
        (mean(&results, 0, 0), mean(&results, 1, 0), mean(&results, 2, 0)),
        (&json!(200.0), &json!(1.0), &json!(0.0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_columns_of_one_name_are_refused() {
    let trial = trial(&assignments(), &facts()).await;
    let path = format!("/assignment_sources/{}", trial.study.assignment_source);
    let sql = "SELECT a.*, b.* FROM assignments a JOIN assignments b ON a.subject = b.subject";
    let (status, problem) = refusal(trial.here.api.patch(&path, &json!({"sql": sql})).await);
    assert!(status == 422 && problem.contains("more than one column 'variation'"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_that_is_empty_for_everybody_is_told() {
    let mut trial = trial(&assignments(), &facts_of(|n| (time(n).replace("T13", "T08"), "1".to_owned()))).await;
    trial.with_metric("sum").await;
    let results = trial.results().await;
    assert_eq!((mean(&results, 0, 0), names(&results)), (&json!(0.0), vec!["nothing_counted"]));
    assert_eq!(results["facts"][0]["before_assignment"], 80);
    assert!(message(&results, "nothing_counted").contains("'Amount'"), "{results}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nobody_there_is_no_mean_and_a_source_that_fails_says_only_why() {
    let mut trial =
        trial(&assignments(), &facts_of(|n| (time(n), if n == 7 { "NaN" } else { "1.5" }.to_owned()))).await;
    trial.with_metric("sum").await;
    let source = "SELECT subject, at, amount FROM facts WHERE subject % 2 = 0";
    let (waited, _) = trial.study.metric("Waited", source, None, "time_to").await;
    trial.study.attach(trial.experiment, &waited, false).await;
    let results = trial.results().await;
    assert!(results["metrics"][0]["error"].as_str().unwrap().contains("NaN"), "{results}");
    assert!(!names(&results).contains(&"no_facts_joined"), "they join: {results}");
    let treatment = &results["metrics"][1]["variations"][1];
    assert_eq!((&treatment["subjects"], &treatment["mean"]), (&json!(0), &Value::Null));
    assert!(treatment["no_lift_reason"].as_str().unwrap().contains("no subjects"), "{treatment}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_that_cross_fail_their_metric_and_no_other() {
    let mut trial = trial(&assignments(), &facts_of(|n| (time(n), u32::from(n == 7).to_string()))).await;
    trial.with_metric("sum").await;
    let metrics = trial.here.api.get("/metrics").await.unwrap();
    let winsorization = json!({"lower_value": 0.5, "upper_percentile": 0.9});
    let numerator = json!({"fact_id": metrics["items"][0]["numerator"]["fact_id"], "operation": "sum", "winsorization": winsorization});
    let metric =
        json!({"name": "crossed", "entity_id": trial.study.entity(), "kind": "simple", "numerator": numerator});
    let metric = trial.here.api.post("/metrics", &metric).await.unwrap();
    trial.study.attach(trial.experiment, metric["id"].as_str().unwrap(), false).await;
    let results = trial.results().await;
    assert_eq!((&results["metrics"][0]["error"], mean(&results, 0, 1)), (&Value::Null, &json!(0.025)));
    assert!(results["metrics"][1]["error"].as_str().unwrap().contains("is above its upper one"), "{results}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_its_packed_self_are_not_read_twice_and_never_is_not_1970() {
    let mut trial = trial(&assignments(), &facts().replace("1,2024-01-02T13:01:00Z", "1,9999-12-31T00:00:00Z")).await;
    trial.with_metric("sum").await;
    let results = trial.results().await;
    assert!(results["facts"][0]["latest"].as_str().unwrap().starts_with("9999-12-3"), "{results}");
    let folder = trial.here.files().join("doubled");
    std::fs::create_dir(&folder).unwrap();
    write(&folder, "january.csv", &facts());
    write(&folder, "january.tsv", &facts());
    let path = format!("/assignment_sources/{}", trial.study.assignment_source);
    let sql = "SELECT subject, 'control' AS variation, at, 'study' AS experiment FROM doubled";
    trial.here.api.patch(&path, &json!({"sql": sql})).await.unwrap();
    assert!(trial.failure().await.contains("has the stem of"));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_several_notations_in_one_column_all_count() {
    let notations = ["2024-01-02 13:00", "2024-01-02T13:00:00Z", "2024-01-02", "2024-01-02T14:00:00+01:00"];
    let mut trial = trial(&assignments(), &facts_of(|n| (notations[n % 4].to_owned(), "1".to_owned()))).await;
    trial.with_metric("sum").await;
    let results = trial.results().await;
    assert_eq!(results["facts"][0]["without_time"], 0, "{results}");
    assert_eq!((mean(&results, 0, 0), mean(&results, 0, 1)), (&json!(1.0), &json!(1.0)), "{results}");
}
