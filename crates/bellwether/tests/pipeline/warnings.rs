//! What is left out is counted, and what looks wrong is warned of; what cannot be right ends the run or the metric, and says
//! why.

use std::fmt::Write;

use bellwether_bench::api::Api;
use serde_json::{Value, json};

use crate::installation::{Installation, refusal, write};
use crate::study::{FACTS, KEY, Study};

const HEAD: &str = "subject,variation,at,experiment\n";

/// Forty subjects of each arm, assigned from noon of 2024-01-02 on.
pub fn assignments() -> String {
    (1..=80).fold(HEAD.to_owned(), |mut text, n| {
        let variation = if n % 2 == 0 { "control" } else { "treatment" };
        writeln!(text, "{n},{variation},2024-01-02T12:{:02}:00Z,{KEY}", n % 60).unwrap();
        text
    })
}

/// One fact a subject, with this time and this amount.
pub fn facts_of(of: impl Fn(usize) -> (String, String)) -> String {
    (1..=80).fold("subject,at,amount\n".to_owned(), |mut text, n| {
        let (at, amount) = of(n);
        writeln!(text, "{n},{at},{amount}").unwrap();
        text
    })
}

/// An hour after its assignment: 10.5 and 12.5 in the control, 11.5 and 13.5 in the treatment.
pub fn facts() -> String {
    facts_of(|n| (time(n), format!("{}.5", 10 + n % 4)))
}

pub fn time(n: usize) -> String {
    format!("2024-01-02T13:{:02}:00Z", n % 60)
}

pub struct Trial {
    pub here: Installation,
    pub study: Study,
    pub experiment: i64,
}

pub async fn trial(assignments: &str, facts: &str) -> Trial {
    let here = Installation::start().await;
    write(&here.files(), "assignments.csv", assignments);
    write(&here.files(), "facts.csv", facts);
    let study = Study::define(&here.api, &here.files()).await;
    let dates = json!({"assignments_end_date": "2024-01-03", "events_end_date": "2024-01-03"});
    let experiment = study.started(KEY, dates).await;
    Trial { here, study, experiment }
}

impl Trial {
    pub async fn with_metric(&self, operation: &str) -> &Self {
        let (metric, _) = self.study.metric("Amount", FACTS, Some("amount"), operation).await;
        self.study.attach(self.experiment, &metric, false).await;
        self
    }

    pub async fn results(&mut self) -> Value {
        let ended = self.here.run(self.experiment).await;
        assert_eq!(ended.run["state"], "success", "{}", ended.run);
        self.here.results(self.experiment).await
    }

    pub async fn failure(&mut self) -> String {
        let ended = self.here.run(self.experiment).await;
        assert_eq!(ended.run["state"], "failure", "{}", ended.run);
        ended.error().to_owned()
    }
}

pub fn names(results: &Value) -> Vec<&str> {
    results["warnings"].as_array().unwrap().iter().map(|warning| warning["name"].as_str().unwrap()).collect()
}

pub fn message<'a>(results: &'a Value, name: &str) -> &'a str {
    let warnings = results["warnings"].as_array().unwrap();
    let warning = warnings.iter().find(|warning| warning["name"] == name);
    warning.unwrap_or_else(|| panic!("no {name}: {warnings:?}"))["message"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_count_is_counted_and_told() {
    let more = "x1,blue,2024-01-02T12:00:00Z,study\nx2,blue,2024-01-02T12:00:00Z,study\nx3,,2024-01-02T12:00:00Z,study\n\
                ,control,2024-01-02T12:00:00Z,study\nx5,control,,study\nx6,control,2025-01-02T12:00:00Z,study\n\
                x7,old,2024-01-02T12:00:00Z,study\nx8,control,2024-01-02T12:00:00Z,other\n\
                2,treatment,2024-01-03T12:00:00Z,study\n";
    let facts = facts()
        + "stranger,2024-01-03T00:00:00Z,1\n2,2024-01-03T00:00:00Z,1\n4,2024-01-01T00:00:00Z,1\n\
                           6,2024-02-01T00:00:00Z,1\n,2024-01-03T00:00:00Z,1\n8,,1\n";
    let mut trial = trial(&(assignments() + more), &facts).await;
    let variations = json!({"variations": [{"key": "control", "weight": 1, "is_control": true}, {"key": "treatment", "weight": 1},
        {"key": "old", "weight": 1, "is_active": false}]});
    trial.here.api.patch(&format!("/experiments/{}", trial.experiment), &variations).await.unwrap();
    trial.with_metric("sum").await;
    let results = trial.results().await;
    assert_eq!(
        results["assignments"],
        json!({
            "rows": 88, "counted": 81, "without_subject": 1, "without_time": 1, "outside_window": 1,
            "of_unknown_variations": 3, "of_inactive_variations": 1,
            "unknown_variations": [{"key": "blue", "rows": 2}, {"key": null, "rows": 1}],
            "earliest": "2024-01-02T12:00:00Z", "latest": "2025-01-02T12:00:00Z",
        })
    );
    let counts = &results["facts"][0];
    for (field, expected) in [
        ("rows", 86),
        ("without_subject", 1),
        ("without_time", 1),
        ("joined", 82),
        ("before_assignment", 1),
        ("after_end", 1),
        ("unreadable_values", 0),
    ] {
        assert_eq!(counts[field], expected, "{field}: {counts}");
    }
    assert_eq!(results["traffic"]["excluded"], 1);
    assert_eq!(names(&results), ["unknown_variations", "incomplete_rows", "incomplete_rows"]);
    assert!(message(&results, "unknown_variations").contains("'blue' (2), NULL (1)"), "{results}");
    let run = trial.here.api.get(&format!("/runs/{}", results["run_id"].as_str().unwrap())).await.unwrap();
    assert_eq!(run["warnings"], results["warnings"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_variation_that_is_not_there_is_told_with_those_that_are() {
    let mut absent = trial(&assignments().replace(",study", ",studies"), &facts()).await;
    let results = absent.results().await;
    assert_eq!(names(&results), ["no_assignments"]);
    assert!(message(&results, "no_assignments").contains("'studies' (80)"), "{results}");

    let mut unknown =
        trial(&assignments().replace("control", "Control").replace("treatment", "Treatment"), &facts()).await;
    let error = unknown.failure().await;
    assert!(
        error.contains("80 rows of the key 'study', but none counts")
            && error.contains("'Control' (40), 'Treatment' (40)"),
        "{error}"
    );

    let mut early = trial(&assignments().replace("2024-01-02", "2023-01-02"), &facts()).await;
    let error = early.failure().await;
    assert!(error.contains("80 lie outside the scan") && error.contains("assignments_start_date"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_of_nobody_and_subjects_of_both_arms_are_warned_of() {
    let mut nobody = trial(&assignments(), &facts().trim_end().replace('\n', "\nu")).await;
    nobody.with_metric("sum").await;
    let results = nobody.results().await;
    assert!(names(&results).contains(&"no_facts_joined"), "{results}");
    let both = (1..=60).fold(assignments(), |mut text, n| {
        let other = if n % 2 == 0 { "treatment" } else { "control" };
        writeln!(text, "{n},{other},2024-01-03T12:00:00Z,{KEY}").unwrap();
        text
    });
    let mut mixed = trial(&both, &facts()).await;
    let results = mixed.results().await;
    let warnings = results["warnings"].as_array().unwrap();
    let many = warnings.iter().find(|warning| warning["name"] == "many_mixed").unwrap();
    assert!(many["is_severe"] == true && many["message"].as_str().unwrap().contains("60 of 80"), "{many}");
    assert!(names(&results).contains(&"few_subjects"), "{results}");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_count_from_the_day_of_the_assignment_and_midnights_are_warned_of() {
    let days = facts_of(|_| ("2024-01-02".to_owned(), "1".to_owned()));
    let mut by_day = trial(&assignments(), &days).await;
    by_day.with_metric("count").await;
    let results = by_day.results().await;
    assert_eq!(results["facts"][0]["is_by_day"], true, "{days}");
    assert_eq!(results["metrics"][0]["variations"][0]["mean"], 1.0, "{results}");
    assert_eq!(names(&results), Vec::<&str>::new());

    let midnights = facts_of(|_| ("2024-01-02T00:00:00Z".to_owned(), "1".to_owned()));
    let mut lost = trial(&assignments(), &midnights).await;
    lost.with_metric("count").await;
    let results = lost.results().await;
    assert_eq!(results["metrics"][0]["variations"][0]["mean"], 0.0, "before the assignment at noon");
    assert!(message(&results, "midnight_times").contains("CAST them AS DATE"), "{results}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_exact_at_both_ends_and_beyond_them_an_error_of_the_metric_alone() {
    let of = |values: [&'static str; 4]| facts_of(move |n| (time(n), values[n % 4].to_owned()));
    // Twice 9e27 wrapped to a negative, and what is below 1e-9 vanished.
    for (values, mean) in [(["9e27"; 4], 9e27), (["2.5e-12"; 4], 2.5e-12)] {
        let mut trial = trial(&assignments(), &of(values)).await;
        trial.with_metric("sum").await;
        let results = trial.results().await;
        let variation = &results["metrics"][0]["variations"][1];
        assert_eq!((variation["mean"].as_f64(), &variation["standard_deviation"]), (Some(mean), &json!(0.0)));
        assert_eq!(variation["lift"], Value::Null);
        assert!(variation["no_lift_reason"].as_str().unwrap().contains("the same value"), "{variation}");
    }
    let mut infinite = trial(&assignments(), &of(["1.5", "NaN", "2.5", "3.5"])).await;
    infinite.with_metric("sum").await;
    let (rows, _) = infinite.study.metric("Rows", FACTS, None, "count").await;
    infinite.study.attach(infinite.experiment, &rows, true).await;
    let results = infinite.results().await;
    let error = results["metrics"][0]["error"].as_str().unwrap();
    assert!(error.contains("'amount'") && error.contains("'Amount'") && error.contains("NaN"), "{error}");
    assert_eq!(
        (&results["metrics"][1]["error"], &results["metrics"][1]["variations"][0]["mean"]),
        (&Value::Null, &json!(1.0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_that_fails_leaves_those_of_its_own_source_their_figures() {
    let mut trial = trial(&assignments(), &facts().replace("10.5", "1e308").replace("12.5", "1e308")).await;
    let source = json!({
        "name": "Orders", "warehouse_id": trial.study.warehouse(), "timestamp_column": "at",
        "sql": "SELECT subject, at, amount FROM facts UNION ALL SELECT subject, at, amount FROM facts",
        "entities": [{"entity_id": trial.study.entity(), "column": "subject"}], "facts": [{"name": "amount", "column": "amount"}],
    });
    let fact = trial.here.api.post("/fact_sources", &source).await.unwrap()["facts"][0]["id"].clone();
    for operation in ["count", "sum", "first_value"] {
        let numerator = json!({"fact_id": fact, "operation": operation});
        let metric =
            json!({"name": operation, "entity_id": trial.study.entity(), "kind": "simple", "numerator": numerator});
        let metric = trial.here.api.post("/metrics", &metric).await.unwrap();
        trial.study.attach(trial.experiment, metric["id"].as_str().unwrap(), false).await;
    }
    let results = trial.results().await;
    let metrics = results["metrics"].as_array().unwrap();
    assert_eq!((&metrics[0]["error"], &metrics[0]["variations"][0]["mean"]), (&Value::Null, &json!(2.0)));
    assert!(metrics[1]["error"].as_str().unwrap().contains("beyond"), "{}", metrics[1]);
    let log = trial.here.api.get(&format!("/runs/{}", results["run_id"].as_str().unwrap())).await.unwrap();
    let alone = format!("/runs/{}/steps/{}", results["run_id"].as_str().unwrap(), metrics[0]["steps"][1]);
    let step = trial.here.api.get(&alone).await.unwrap();
    assert!(
        step["statement"].as_str().unwrap().starts_with("WITH \"subjects\" AS (\nSELECT subject"),
        "{step} of {log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_no_time_and_a_double_no_identifier_when_stored_and_when_run() {
    let mut trial = trial(&assignments(), &facts()).await;
    let api: Api = trial.here.api.clone();
    let path = format!("/assignment_sources/{}", trial.study.assignment_source);
    let patched = async |sql: &str| refusal(api.patch(&path, &json!({"sql": sql})).await);
    let (status, problem) = patched("SELECT subject, variation, 1704196800 AS at, experiment FROM assignments").await;
    assert!(
        status == 422 && problem.contains("columns.timestamp") && problem.contains("to_timestamp_seconds"),
        "{problem}"
    );
    let (status, problem) =
        patched("SELECT subject + 0.5e0 AS subject, variation, at, experiment FROM assignments").await;
    assert!(status == 422 && problem.contains("columns.subject") && problem.contains("AS BIGINT"), "{problem}");
    write(
        &trial.here.files(),
        "assignments.csv",
        &assignments().replace("2024-01-02T12:", "17041968").replace(":00Z", ""),
    );
    let error = trial.failure().await;
    assert!(error.contains("'at' of the assignment source") && error.contains("to_timestamp_seconds"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_types_and_what_conversion_would_make_of_a_flag() {
    let flags = facts().replace("10.5", "0").replace("11.5", "1").replace("12.5", "0").replace("13.5", "1");
    let trial = trial(&assignments(), &flags).await;
    let (_, source) = trial.study.metric("Flag", FACTS, Some("amount"), "sum").await;
    let shown = trial.here.api.post(&format!("/fact_sources/{source}/preview?limit=5"), &json!({})).await.unwrap();
    assert_eq!(shown["columns"][1], json!({"name": "at", "type": "timestamp"}));
    assert_eq!(shown["columns"][2], json!({"name": "amount", "type": "int"}));
    assert_eq!(shown["problems"][0]["field"], "facts[0].column", "{shown}");
    assert!(shown["problems"][0]["message"].as_str().unwrap().contains("'threshold'"), "{shown}");
}
