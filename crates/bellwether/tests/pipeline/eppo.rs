//! Results as programs read them that were written for Eppo's API: the figures of a published trial.

use bellwether_bench::server::ADMIN_KEY;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::installation::Installation;
use crate::study::{self, FACTS, KEY, Study};

async fn ask(here: &Installation, method: Method, path: &str) -> (u16, Value) {
    let uri = format!("http://{}/eppo/api/v1{path}", here.running.address());
    let request = Request::builder().method(method).uri(uri).header("x-eppo-token", ADMIN_KEY);
    let response = here.api.send(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn calculated(experiment: &Value, variation: usize) -> &Value {
    &experiment["variations"][variation]["calculated_metrics"][0]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_a_run_are_read_by_eppos_api() {
    let mut here = Installation::start().await;
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let plan = json!({"assignments_end_date": "2024-03-31", "analysis_plan": {"cuped": true}});
    let experiment = study.started(KEY, plan).await;
    let (earnings, _) = study.metric("Earnings", FACTS, Some("amount"), "sum").await;
    study.attach(experiment, &earnings, true).await;
    // As Eppo's own scripts ask for it, with a slash at the end.
    let (status, asked) =
        ask(&here, Method::POST, &format!("/experiment-results/update/{experiment}/?full_refresh=true")).await;
    assert_eq!((status, &asked["experiment_id"]), (202, &json!(experiment)));
    let run = json!({"id": asked["run_id"], "experiment_id": experiment});
    assert_eq!(here.ends.next(&here.api, &run).await.run["state"], "success");

    let path = format!("/experiments/{experiment}?with_calculated_metrics=true&with_full_cuped_data=true");
    let (_, shown) = ask(&here, Method::GET, &path).await;
    let ours = here.results(experiment).await["metrics"][0]["variations"].clone();
    let (control, treatment) = (calculated(&shown, 0), calculated(&shown, 1));
    assert_eq!((&control["metric_id"], &control["metric_name"]), (&json!(1), &json!("Earnings")));
    assert_eq!((&control["assignment_count"], &control["denominator"]), (&json!(260), &json!(260.0)));
    assert_eq!((&control["percent_change"], &control["statistically_significant"]), (&Value::Null, &Value::Null));
    for (theirs, field) in [
        ("metric_value", "mean"),
        ("numerator", "total"),
        ("percent_change", "lift"),
        ("p_value", "p_value"),
        ("standard_error", "standard_error"),
    ] {
        assert!(treatment[theirs].is_number(), "{theirs}: {treatment}");
        assert_eq!(treatment[theirs], ours[1][field], "{theirs}");
    }
    let bounds = &treatment["confidence_interval"];
    assert_eq!(json!([bounds["lower_bound"], bounds["upper_bound"]]), ours[1]["interval"]);
    let z_score = treatment["percent_change"].as_f64().unwrap() / treatment["standard_error"].as_f64().unwrap();
    assert_eq!(treatment["z_score"].as_f64(), Some(z_score));
    assert!((z_score - 0.393_945 / 0.164_195).abs() < 1e-4, "{z_score}");
    let is_found = matches!(ours[1]["verdict"].as_str(), Some("better" | "worse"));
    assert_eq!(treatment["statistically_significant"], is_found);
    let adjusted = &ours[1]["cuped"];
    assert_eq!(treatment["metric_value_cuped"], adjusted["mean"]);
    if adjusted.is_object() {
        assert_eq!(
            (&treatment["cuped"]["percent_change"], &treatment["cuped"]["coverage"]),
            (&adjusted["lift"], &Value::Null)
        );
    }

    // Without asking there are none; in the list, too.
    let (_, bare) = ask(&here, Method::GET, &format!("/experiments/{experiment}")).await;
    assert!(bare["variations"][0].get("calculated_metrics").is_none() && bare["results_last_updated"].is_string());
    let (_, list) = ask(&here, Method::GET, "/experiments?includeResults=true").await;
    assert_eq!(calculated(&list[0], 1)["percent_change"], treatment["percent_change"]);
    assert!(calculated(&list[0], 1).get("cuped").is_none(), "only where all of it is asked for");

    // What was published keeps the name of a metric that is gone.
    here.api.call(Method::DELETE, &format!("/experiments/{experiment}/metrics/{earnings}"), None).await.unwrap();
    here.api.call(Method::DELETE, &format!("/metrics/{earnings}"), None).await.unwrap();
    let (_, shown) = ask(&here, Method::GET, &path).await;
    let kept = calculated(&shown, 1);
    assert_eq!((&kept["metric_id"], &kept["metric_name"]), (&Value::Null, &json!("Earnings")));
    assert_eq!(kept["percent_change"], treatment["percent_change"]);
}
