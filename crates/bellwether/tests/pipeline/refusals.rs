//! Runs that cannot be: refused with what to do, and nothing is written.

use serde_json::json;

use crate::installation::{Installation, refusal};
use crate::study::{KEY, Study};

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_run_of_a_draft_nor_before_the_start() {
    let here = Installation::start().await;
    let study = Study::define(&here.api, &here.files()).await;
    let experiment = study.draft(KEY, json!({})).await;
    let runs = format!("/experiments/{experiment}/runs");
    let full = json!({"mode": "full"});
    let request = || here.api.post(&runs, &full);
    let (status, problem) = refusal(request().await);
    assert!(status == 409 && problem.contains("draft"), "{status}: {problem}");

    here.api.post(&format!("/experiments/{experiment}/start"), &json!({})).await.unwrap();
    let later = json!({"assignments_start_date": "2999-01-01"});
    here.api.patch(&format!("/experiments/{experiment}"), &later).await.unwrap();
    let (status, problem) = refusal(request().await);
    assert!(status == 409 && problem.contains("2999-01-01"), "{status}: {problem}");

    let (status, problem) = refusal(here.api.post(&runs, &json!({"mode": "partial"})).await);
    assert!(status == 422 && problem.contains("mode"), "{status}: {problem}");
    assert_eq!(here.api.get(&runs).await.unwrap()["items"], json!([]));
    assert_eq!(here.ends.count(), 0);
}
