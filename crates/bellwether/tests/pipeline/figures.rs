//! What a run finds: a published trial, and a set of facts that can be computed by hand.

use serde_json::{Value, json};

use crate::installation::{Installation, write};
use crate::study::{self, FACTS, KEY, Study};

fn assert_near(found: &Value, expected: f64, tolerance: f64) {
    let number = found.as_f64().unwrap_or_else(|| panic!("{found} is no number"));
    assert!((number - expected).abs() <= tolerance, "{number}, but {expected} was expected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_trial_gives_its_known_figures() {
    let mut here = Installation::start().await;
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let experiment = study.started(KEY, json!({"assignments_end_date": "2024-03-31"})).await;
    let (earnings, _) = study.metric("Earnings", FACTS, Some("amount"), "sum").await;
    study.attach(experiment, &earnings, true).await;

    let first = here.run(experiment).await;
    assert_eq!(first.run["state"], "success", "{}", first.run);
    let time = first.meta_data()["time_taken_seconds"].to_string();
    assert!(time.parse::<f64>().unwrap() >= 0.0);
    let time = time.strip_suffix(".0").unwrap_or(&time);
    let told = |is_updated, time, is_imbalance| {
        format!(
            r#"{{"experiment_id":{experiment},"experiment_key":"study","meta_data":{{"status":"success","is_manual_refresh":true,"is_data_updated":{is_updated},"time_taken_seconds":{time},"is_traffic_imbalance":{is_imbalance},"assignments_scan_start_date":"2024-01-01","assignments_scan_end_date":"2024-03-31"}}}}"#
        )
    };
    assert_eq!(first.data, told(true, time, true));

    let results = here.results(experiment).await;
    assert_eq!(results["run_id"], first.run["id"]);
    let [control, treatment] = &results["metrics"][0]["variations"].as_array().unwrap()[..] else { panic!("two") };
    assert_eq!((&control["subjects"], &treatment["subjects"]), (&json!(260), &json!(185)));
    assert_eq!(control["lift"], Value::Null);
    assert_near(&treatment["lift"], 0.393_945, 1e-6);
    assert_near(&treatment["standard_error"], 0.164_195, 1e-6);
    assert_eq!(results["traffic"]["is_imbalance"], true, "against 1:1");

    let again = here.run(experiment).await;
    assert_eq!((&again.meta_data()["is_data_updated"], &again.run["state"]), (&json!(false), &json!("success")));

    let weights = json!({"variations": study::variations(260, 185)});
    here.api.patch(&format!("/experiments/{experiment}"), &weights).await.unwrap();
    let weighted = here.run(experiment).await;
    assert_eq!(weighted.meta_data()["is_traffic_imbalance"], false, "against its own weights");
    assert_eq!(weighted.meta_data()["is_data_updated"], true, "the traffic's figures are others");
}

/// One control and one treatment subject are beside the usual: mixed ones, others' and late ones must not count.
const ASSIGNMENTS: &str = "subject,variation,at,experiment
c1,control,2024-01-02T00:00:00Z,study
c1,control,2024-01-09T00:00:00Z,study
c2,control,2024-01-02T10:30:00Z,study
c3,control,2024-01-31T23:59:59Z,study
t1,treatment,2024-01-01T00:00:00Z,study
t2,treatment,2024-01-02T00:00:00Z,study
t3,treatment,2024-01-10T00:00:00Z,study
both,control,2024-01-02T00:00:00Z,study
both,treatment,2024-01-03T00:00:00Z,study
retired,third,2024-01-02T00:00:00Z,study
elsewhere,control,2024-01-02T00:00:00Z,another
early,control,2023-12-31T23:59:59Z,study
late,treatment,2024-02-01T00:00:00Z,study
,treatment,2024-01-02T00:00:00Z,study
";

const AMOUNTS: &str = "subject,at,amount
c1,2024-01-01T23:59:59Z,100
c1,2024-01-03T00:00:00Z,2
c1,2024-01-12T00:00:00Z,4
c2,2024-01-02T10:30:00Z,3
t1,2024-01-05T00:00:00Z,5
t1,2024-02-10T23:59:59Z,7
t2,2024-01-05T00:00:00Z,6
t2,2024-01-06T00:00:00Z,
t3,2024-01-09T23:59:59Z,1000
t3,2024-02-11T00:00:00Z,1000
both,2024-01-20T00:00:00Z,1000
retired,2024-01-20T00:00:00Z,1000
early,2024-01-20T00:00:00Z,1000
late,2024-02-05T00:00:00Z,1000
stranger,2024-01-20T00:00:00Z,1000
";

/// Each subject's values are, control then treatment:
/// sum 6 3 0, 12 6 0; count 2 1 0, 2 1 0; mean 3 3 0, 6 6 0; conversion 1 1 0, 1 1 0; rows 2 1 0, 2 2 0.
#[tokio::test(flavor = "multi_thread")]
async fn each_operation_gives_what_is_computed_by_hand() {
    let mut here = Installation::start().await;
    write(&here.files(), "assignments.csv", ASSIGNMENTS);
    write(&here.files(), "facts.csv", AMOUNTS);
    let study = Study::define(&here.api, &here.files()).await;
    let variations = json!([
        {"key": "control", "weight": 1, "is_control": true},
        {"key": "treatment", "weight": 1},
        {"key": "third", "weight": 1, "is_active": false},
    ]);
    let ends = json!({"assignments_end_date": "2024-01-31", "events_end_date": "2024-02-10", "variations": variations});
    let experiment = study.started(KEY, ends).await;
    // Name, value column, operation; the means; lift and the square of its standard error.
    let cases = [
        ("sum", Some("amount"), "sum", 3.0, 6.0, 1.0, 8.0 / 3.0),
        ("count", Some("amount"), "count", 1.0, 1.0, 0.0, 2.0 / 3.0),
        ("mean", Some("amount"), "mean", 2.0, 4.0, 1.0, 2.0),
        ("conversion", Some("amount"), "conversion", 2.0 / 3.0, 2.0 / 3.0, 0.0, 0.5),
        ("rows", None, "count", 1.0, 4.0 / 3.0, 1.0 / 3.0, 4.0 / 9.0 + 16.0 / 27.0),
    ];
    for (name, column, operation, ..) in cases {
        let (metric, _) = study.metric(name, FACTS, column, operation).await;
        study.attach(experiment, &metric, false).await;
    }
    let ended = here.run(experiment).await;
    assert_eq!(ended.run["state"], "success", "{}", ended.run);
    let results = here.results(experiment).await;
    for (i, (name, _, _, control, treatment, lift, squared_error)) in cases.into_iter().enumerate() {
        let metric = &results["metrics"][i];
        assert_eq!((&metric["name"], &metric["error"]), (&json!(name), &Value::Null));
        let [first, second] = &metric["variations"].as_array().unwrap()[..] else { panic!("two active variations") };
        assert_eq!((&first["subjects"], &second["subjects"]), (&json!(3), &json!(3)), "{name}");
        assert_near(&first["mean"], control, 1e-15);
        assert_near(&second["mean"], treatment, 1e-15);
        assert_near(&second["lift"], lift, 1e-15);
        assert_near(&second["standard_error"], f64::sqrt(squared_error), 1e-14);
    }
    let traffic = json!({"is_imbalance": false, "p_value": null, "excluded": 1, "variations": [
        {"key": "control", "weight": 1.0, "subjects": 3}, {"key": "treatment", "weight": 1.0, "subjects": 3}]});
    assert_eq!(results["traffic"], traffic, "three a variation are too few for a verdict");
    assert_log(&ended.run["steps"], cases.len());

    write(&here.files(), "facts.csv", &AMOUNTS.replace("05T00:00:00Z,6", "05T00:00:00Z,6.5"));
    assert_eq!(here.run(experiment).await.meta_data()["is_data_updated"], true, "a fact has changed");
}

/// Three statements for the subjects. Then for each fact source one that counts, one that joins, and two passes over what
/// was joined. Each with what it did.
fn assert_log(steps: &Value, sources: usize) {
    let steps = steps.as_array().unwrap();
    assert_eq!(steps.len(), 3 + 4 * sources);
    for step in steps {
        assert!(step["sql"].as_str().unwrap().starts_with("SELECT "), "{step}");
        assert!(step["rows"].is_u64() && step["duration_us"].is_u64() && step["error"].is_null(), "{step}");
    }
    assert_eq!((&steps[1]["name"], &steps[1]["rows"]), (&json!("subjects"), &json!(7)), "with the one in both");
    assert_eq!((&steps[1]["kept_as"], &steps[2]["kept_as"]), (&json!("subjects"), &Value::Null));
}
