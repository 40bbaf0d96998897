//! Scans of assignment sources: which experiments they have rows of, and experiments that are made from these.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::installation::{Installation, refusal, write};
use crate::study::{ENDLESS, Study};

const ROWS: &str = "subject,variation,at,experiment\n\
                    1,red,2026-03-02T10:00:00Z,cta\n2,Control,2026-03-01T23:30:00Z,cta\n3,red,2026-03-05T00:00:00Z,cta\n\
                    4,,2026-03-05T00:00:00Z,cta\n5,x,2026-02-01T00:00:00Z,old\n6,x,2026-03-09T00:00:00Z,\n";

fn keys(found: &Value) -> Vec<&str> {
    found["items"].as_array().unwrap().iter().map(|item| item["experiment_key"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_tells_what_the_source_has_and_experiments_are_made_of_it() {
    let here = Installation::start().await;
    std::fs::create_dir_all(here.files()).unwrap();
    write(&here.files(), "assignments.csv", ROWS);
    let study = Study::define(&here.api, &here.files()).await;
    let source = format!("/assignment_sources/{}", study.assignment_source);
    let (status, problem) = refusal(here.api.get(&format!("{source}/experiments")).await);
    assert!(status == 404 && problem.contains("scan makes one"), "{problem}");

    let found = here.api.post(&format!("{source}/scan"), &json!({})).await.unwrap();
    assert_eq!(here.api.get(&format!("{source}/experiments")).await.unwrap(), found);
    assert_eq!(keys(&found), ["cta", "old"], "those seen last come first");
    assert_eq!(
        (&found["rows_without_key"], &found["is_cut"], &found["is_outdated"]),
        (&json!(1), &json!(false), &json!(false))
    );
    assert_eq!(
        found["items"][0],
        json!({"experiment_key": "cta", "experiment_id": null, "rows": 4, "is_cut": false,
               "first_at": "2026-03-01T23:30:00Z", "last_at": "2026-03-05T00:00:00Z",
               "variations": [
                   {"key": "red", "rows": 2, "first_at": "2026-03-02T10:00:00Z", "last_at": "2026-03-05T00:00:00Z"},
                   {"key": "Control", "rows": 1, "first_at": "2026-03-01T23:30:00Z", "last_at": "2026-03-01T23:30:00Z"},
                   {"key": null, "rows": 1, "first_at": "2026-03-05T00:00:00Z", "last_at": "2026-03-05T00:00:00Z"}]})
    );

    let from = |key: &str| json!({"assignment_source_id": study.assignment_source, "experiment_key": key});
    let made = json!({"from_source": from("cta"), "name": "The button", "tags": ["web"]});
    let made = here.api.post("/experiments", &made).await.unwrap();
    assert_eq!((&made["key"], &made["name"], &made["tags"]), (&json!("cta"), &json!("The button"), &json!(["web"])));
    assert_eq!(
        (&made["entity_id"], &made["assignment_source_id"], &made["assignments_start_date"]),
        (study.entity(), &json!(study.assignment_source), &json!("2026-03-01"))
    );
    let variation = |key: &str, is_control: bool| json!({"key": key, "name": "", "weight": 1.0, "is_control": is_control, "is_active": true});
    assert_eq!(made["variations"], json!([variation("Control", true), variation("red", false)]));
    let id = made["id"].as_i64().unwrap();
    let history = here.api.get(&format!("/experiments/{id}/history")).await.unwrap();
    assert_eq!((&history["items"][0]["action"], history["items"].as_array().unwrap().len()), (&json!("created"), 1));
    here.api.post(&format!("/experiments/{id}/start"), &json!({})).await.unwrap();
    let again = here.api.get(&format!("{source}/experiments")).await.unwrap();
    assert_eq!((&again["items"][0]["experiment_id"], &again["items"][1]["experiment_id"]), (&json!(id), &json!(null)));

    study.set_assignments("SELECT subject, variation, at, experiment FROM assignments WHERE variation = 'x'").await;
    assert_eq!(here.api.get(&format!("{source}/experiments")).await.unwrap()["is_outdated"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_from_a_source_is_refused_by_field() {
    let here = Installation::start().await;
    std::fs::create_dir_all(here.files()).unwrap();
    write(&here.files(), "assignments.csv", ROWS);
    let study = Study::define(&here.api, &here.files()).await;
    let source = &study.assignment_source;
    let made = |from: Value| {
        let body = json!({"from_source": from});
        let api = here.api.clone();
        async move { refusal(api.post("/experiments", &body).await) }
    };
    let cta = json!({"assignment_source_id": source, "experiment_key": "cta"});
    let (status, problem) = made(cta.clone()).await;
    assert!(status == 422 && problem.contains("/scan first"), "{problem}");
    here.api.post(&format!("/assignment_sources/{source}/scan"), &json!({})).await.unwrap();
    for (from, named) in [
        (
            json!({"assignment_source_id": source, "experiment_key": "cat"}),
            "the last scan of the assignment source 'Assignments' saw cta, old",
        ),
        (
            json!({"assignment_source_id": "as_00000000000000000000000000", "experiment_key": "cta"}),
            "from_source.assignment_source_id",
        ),
        (json!({"assignment_source_id": 7, "experiment_key": "cta"}), "from_source.assignment_source_id"),
        (json!({"assignment_source_id": source, "experiment_key": "cta", "colour": 1}), "from_source.colour"),
        (json!([]), "from_source"),
    ] {
        let (status, problem) = made(from.clone()).await;
        assert!(status == 422 && problem.contains(named), "{from}: {problem}");
    }
    let wrong = json!({"from_source": cta, "colour": "red"});
    let (status, problem) = refusal(here.api.post("/experiments", &wrong).await);
    assert!(status == 422 && problem.contains("colour"), "{problem}");
    here.api.post("/experiments", &json!({"from_source": cta})).await.unwrap();
    let (status, problem) = refusal(here.api.post("/experiments", &json!({"from_source": cta})).await);
    assert!(status == 409 && problem.contains("problem:taken"), "{problem}");
}

/// However many keys and variations there are, and however long: the answer is bounded, and says what it leaves out.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_bounded_and_says_where_it_was_cut() {
    let here = Installation::start().await;
    std::fs::create_dir_all(here.files()).unwrap();
    let mut rows = "subject,variation,at,experiment\n".to_owned();
    for key in 0..1100 {
        writeln!(rows, "1,a,2026-03-01T00:00:{:02}Z,key-{key}", key % 60).unwrap();
    }
    for variation in 0..60 {
        writeln!(rows, "1,v{variation},2026-03-02,many").unwrap();
    }
    writeln!(rows, "1,a,2026-03-03,{}", "x".repeat(201)).unwrap();
    write(&here.files(), "assignments.csv", &rows);
    let study = Study::define(&here.api, &here.files()).await;
    let source = format!("/assignment_sources/{}", study.assignment_source);
    let found = here.api.post(&format!("{source}/scan"), &json!({})).await.unwrap();
    assert_eq!((&found["is_cut"], &found["rows_without_key"]), (&json!(true), &json!(1)));
    let many = &found["items"][0];
    assert_eq!((&many["experiment_key"], &many["is_cut"], &many["rows"]), (&json!("many"), &json!(true), &json!(60)));
    assert_eq!(many["variations"].as_array().unwrap().len(), 50);
    let (mut next, mut seen) = (found["next"].clone(), keys(&found).len());
    while let Some(after) = next.as_str() {
        let page = here.api.get(&format!("{source}/experiments?limit=250&after={after}")).await.unwrap();
        seen += keys(&page).len();
        next = page["next"].clone();
    }
    assert_eq!(seen, 1000);
    let from = json!({"from_source": {"assignment_source_id": study.assignment_source, "experiment_key": "many"}});
    let (status, problem) = refusal(here.api.post("/experiments", &from).await);
    assert!(status == 422 && problem.contains("60 variations"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_scanned_once_at_a_time() {
    let here = Installation::start().await;
    std::fs::create_dir_all(here.files()).unwrap();
    write(&here.files(), "assignments.csv", ROWS);
    let study = Study::define(&here.api, &here.files()).await;
    study.set_assignments(ENDLESS).await;
    let many: String = (0..445)
        .fold("subject,variation,at,experiment\n".to_owned(), |rows, n| rows + &format!("{n},a,2026-03-01,k\n"));
    write(&here.files(), "assignments.csv", &many);
    let path = format!("/assignment_sources/{}/scan", study.assignment_source);
    let body = json!({});
    // Whichever of the two comes second is refused while the other has no end.
    let (first, second) = (here.api.post(&path, &body), here.api.post(&path, &body));
    tokio::pin!(first, second);
    let refused = tokio::select! { answer = &mut first => answer, answer = &mut second => answer };
    let (status, problem) = refusal(refused);
    assert!(status == 409 && problem.contains("under way"), "{problem}");
}
