//! Runs that cannot be: refused with what to do, and nothing is written.

use std::os::unix::fs::PermissionsExt;

use futures_util::StreamExt;
use serde_json::json;

use crate::installation::{Installation, PROGRAM, refusal};
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

/// SQL that ends its worker, or the engine's part of it, is refused as SQL, without a word of what the server is made of.
#[tokio::test(flavor = "multi_thread")]
async fn sql_that_the_engine_does_not_survive_is_its_authors_to_mend() {
    let here = Installation::start().await;
    let study = Study::define(&here.api, &here.files()).await;
    let columns = "'1' AS subject, now() AS at, 'k' AS experiment, 'a' AS variation";
    let deep = format!("{}1{}", "(".repeat(3000), ")".repeat(3000));
    let many = vec!["1 = 1"; 5000].join(" AND ");
    for sql in [
        format!("SELECT {columns}, repeat('x', 2147483647) AS big FROM generate_series(1, 1000)"),
        format!("SELECT {columns} WHERE {many}"),
        format!("SELECT {columns}, {deep} AS deep"),
        format!("SELECT {columns} WHERE 'x' ~ '(a{{1000}}){{1000}}'"),
    ] {
        let path = format!("/assignment_sources/{}", study.assignment_source);
        let stored = here.api.patch(&path, &json!({"sql": sql})).await;
        let answer = if stored.is_ok() { here.api.post(&format!("{path}/preview"), &json!({})).await } else { stored };
        if answer.is_ok() {
            continue; // The engine is better than it was.
        }
        let (status, problem) = refusal(answer);
        assert_eq!(status, 422, "{problem}");
        for word in ["panicked", ".rs:", "/src/", "RUST_BACKTRACE", "JoinError", "DataFusion's code"] {
            assert!(!problem.contains(word), "{word}: {problem}");
        }
    }
}

/// What a warehouse's files are read as, and why; an author may say it otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_shown_with_what_their_types_were_chosen_by() {
    let here = Installation::start().await;
    let study = Study::define(&here.api, &here.files()).await;
    std::fs::write(here.files().join("versions.csv"), "uid,variation\n7,1.9\n8,1.10\n").unwrap();
    std::fs::write(here.files().join("broken.csv"), "a,b\n1\n").unwrap();
    let path = format!("/warehouses/{}", study.warehouse.as_str().unwrap());
    let shown = |answer: serde_json::Value, name: &str| {
        let tables = answer["items"].as_array().unwrap().clone();
        tables.into_iter().find(|table| table["name"] == name).unwrap()
    };
    let tables = here.api.get(&format!("{path}/tables")).await.unwrap();
    let versions = shown(tables.clone(), "versions");
    assert_eq!(
        versions["columns"],
        json!([
            {"name": "uid", "type": "int", "why": "every value is an integer, printed back identically"},
            {"name": "variation", "type": "text", "why": "text: 1.10 would become 1.1 (row 2)"}
        ])
    );
    assert_eq!((&versions["file"], &versions["files"]), (&json!("versions.csv"), &json!(1)));
    let error = shown(tables, "broken")["error"].as_str().unwrap().to_owned();
    assert!(error.contains("broken.csv") && error.contains("row 1 (line 2)"), "{error}");

    here.api.patch(&path, &json!({"tables": {"versions": {"columns": {"uid": "text"}}}})).await.unwrap();
    let tables = here.api.get(&format!("{path}/tables")).await.unwrap();
    let uid = shown(tables, "versions")["columns"][0].clone();
    assert_eq!((&uid["type"], &uid["why"]), (&json!("text"), &json!("text: said by the warehouse's `tables`")));
    for (said, word) in
        [(json!({"none": {"columns": {"uid": "text"}}}), "versions"), (json!({"versions": {}}), "columns")]
    {
        let (status, problem) = refusal(here.api.patch(&path, &json!({"tables": said})).await);
        assert!(status == 422 && problem.contains(word), "{status}: {problem}");
    }
}

/// A preview shows what a person reads, however much there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_of_large_rows_is_small() {
    let here = Installation::start().await;
    let study = Study::define(&here.api, &here.files()).await;
    let sql = "SELECT '1' AS subject, now() AS at, 'k' AS experiment, repeat('x', 600000) AS variation FROM generate_series(1, 100)";
    let path = format!("/assignment_sources/{}", study.assignment_source);
    here.api.patch(&path, &json!({"sql": sql})).await.unwrap();
    let shown = here.api.post(&format!("{path}/preview?limit=100"), &json!({})).await.unwrap();
    assert_eq!(shown["rows"].as_array().unwrap().len(), 100);
    assert!(shown.to_string().len() < 2 * 1024 * 1024);
}

/// The least memory that may be set is enough for a run.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_room_in_the_least_memory() {
    for mebibytes in [64, 128] {
        let mut here = Installation::with(|config| config.run_memory_mib = mebibytes).await;
        crate::study::write_trial(&here.files());
        let study = Study::define(&here.api, &here.files()).await;
        let experiment = study.started(KEY, json!({"assignments_end_date": "2024-03-31"})).await;
        let (metric, _) = study.metric("Earnings", crate::study::FACTS, Some("amount"), "sum").await;
        study.attach(experiment, &metric, true).await;
        let ended = here.run(experiment).await;
        assert_eq!(ended.run["state"], "success", "{mebibytes}: {}", ended.run);
    }
}

/// Queries wait for their turn, but not all that come: the rest of the API must not be held up by them.
#[tokio::test(flavor = "multi_thread")]
async fn few_queries_wait_and_the_others_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("program");
    std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
    let here = Installation::with(|config| config.program = link.clone()).await;
    let study = Study::define(&here.api, &here.files()).await;
    // A worker that never says anything.
    let silent = folder.path().join("silent");
    std::fs::write(&silent, "#!/bin/sh\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&silent, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&silent, &link).unwrap();
    let path = format!("/assignment_sources/{}/preview", study.assignment_source);
    let (body, mut previews) = (json!({}), futures_util::stream::FuturesUnordered::new());
    for _ in 0..14 {
        previews.push(here.api.post(&path, &body));
    }
    for _ in 0..4 {
        let (status, problem) = refusal(previews.next().await.unwrap());
        assert!(status == 503 && problem.contains("problem:busy"), "{problem}");
    }
}
