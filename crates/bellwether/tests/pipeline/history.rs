//! What figures were at the ends of earlier days, and what each run found.

use serde_json::{Value, json};

use crate::installation::Installation;
use crate::study::{self, FACTS, KEY, Study};

#[tokio::test(flavor = "multi_thread")]
async fn earlier_days_are_filled_in_as_they_would_have_been_found_then() {
    let mut here = Installation::start().await;
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let (metric, _) = study.metric("Earned", FACTS, Some("amount"), "sum").await;
    let experiment =
        study.started(KEY, json!({"assignments_start_date": "2024-01-05", "assignments_end_date": "2024-02-01", "events_end_date": "2024-02-01"})).await;
    study.attach(experiment, &metric, true).await;
    let ended = here.run(experiment).await;
    let path = format!("/experiments/{experiment}/results/history");
    let points = |page: &Value| page["items"].as_array().unwrap().clone();
    let only = points(&here.api.get(&path).await.unwrap());
    assert_eq!((only.len(), &only[0]["day"], &only[0]["run_id"]), (1, &json!("2024-02-01"), &ended.run["id"]));

    let asked = json!({"mode": "full", "history": true});
    let run = here.api.post(&format!("/experiments/{experiment}/runs"), &asked).await.unwrap();
    let filled = here.ends.next(&here.api, &run).await;
    assert_eq!(
        (&filled.run["state"], &filled.run["fills_history"]),
        (&json!("success"), &json!(true)),
        "{}",
        filled.run
    );
    let all = points(&here.api.get(&format!("{path}?limit=100")).await.unwrap());
    let days: Vec<_> = all.iter().map(|point| point["day"].as_str().unwrap()).collect();
    assert_eq!((days.len(), days[0], days[27]), (28, "2024-01-05", "2024-02-01"));
    // 445 subjects were assigned on 28 days one after the other; day by day more of them are there, and with them their facts.
    let subjects = |point: &Value| -> i64 {
        let arms = point["traffic"].as_array().unwrap().iter().map(|arm| arm["subjects"].as_i64().unwrap());
        arms.sum()
    };
    assert_eq!((subjects(&all[0]), subjects(&all[6]), subjects(&all[27])), (16, 16 * 7, 445));
    let page = points(&here.api.get(&format!("{path}?after=2024-01-20&limit=2")).await.unwrap());
    assert_eq!((page.len(), &page[0]["day"]), (2, &json!("2024-01-21")));

    // As a run of then finds it.
    let until = json!({"assignments_end_date": "2024-01-20", "events_end_date": "2024-01-20"});
    here.api.patch(&format!("/experiments/{experiment}"), &until).await.unwrap();
    let of_then = here.run(experiment).await;
    let results = here.api.get(&format!("/runs/{}/results", of_then.run["id"].as_str().unwrap())).await.unwrap();
    let (then, point) = (&results["metrics"][0]["variations"], &all[15]["metrics"][0]["variations"]);
    for field in ["subjects", "mean", "lift", "interval"] {
        assert_eq!(then[1][field], point[1][field], "{field} on {}", all[15]["day"]);
    }
    let first = here.api.get(&format!("/runs/{}/results", ended.run["id"].as_str().unwrap())).await.unwrap();
    assert_eq!(first["traffic"]["variations"][0]["subjects"], 260, "an earlier run keeps its results");

    let refused = here
        .api
        .post(&format!("/experiments/{experiment}/runs"), &json!({"mode": "incremental", "history": true}))
        .await;
    assert!(refused.unwrap_err().to_string().contains("history"));
}
