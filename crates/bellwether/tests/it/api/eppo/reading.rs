//! Reading: lists with their filters and parts, single things, who may, and what is not there.

use std::collections::BTreeSet;

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::{Value, json};

use super::{ask, ask_as, get, numbers, running};
use crate::server::{ADMIN_KEY, Server, draft};

async fn an_experiment_is_shown_in_eppos_words(database: Database) {
    let (server, _, id) = running(&database).await;
    let shown = get(&server, &format!("/experiments/{id}")).await;
    let expected = json!({
        "id": id, "name": "Checkout", "experiment_key": "checkout-cta", "status": "Running", "entity_id": 1,
        "assignment_source_id": 1, "hypothesis": "", "tags": ["checkout", "q1"], "traffic_allocation": 1.0,
        "results_last_updated": null, "assignments_start_date": "2026-03-01T00:00:00Z", "assignments_end_date": null,
        "winning_variant_key": null, "outcome": null, "key_takeaways": null, "is_archived": false, "is_deleted": false,
        "variations": [
            {"name": "control", "variant_key": "control", "is_control": true, "is_active": true, "weighted_expected_traffic": 0.5},
            {"name": "red", "variant_key": "red", "is_control": false, "is_active": true, "weighted_expected_traffic": 0.5},
        ],
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(shown[field], *value, "{field}");
    }
    assert!(shown["created_date"].as_str().unwrap().ends_with('Z'));
    let with = get(&server, &format!("/experiments/{id}?with_calculated_metrics=true")).await;
    assert_eq!(with["variations"][0]["calculated_metrics"], json!([]), "no run has found anything yet");
    // A decision, in Eppo's words.
    let path = format!("/experiments/{id}/decide");
    server.post(&path, json!({"outcome": "rollback", "reason": "it sold less"})).await.expect(200);
    let shown = get(&server, &format!("/experiments/{id}/")).await;
    let told = ["status", "outcome", "winning_variant_key", "key_takeaways"].map(|field| shown[field].clone());
    assert_eq!(told, [json!("Concluded"), json!("NEGATIVE"), json!("control"), json!("it sold less")]);
    server.stop().await;
}

async fn lists_are_filtered_as_eppos(database: Database) {
    let (server, definitions, id) = running(&database).await;
    let mut tagged = draft("tagged");
    tagged["tags"] = json!(["q2"]);
    let tagged = server.experiment(tagged).await;
    let bare = server.experiment(draft("bare")).await;
    let archived = server.experiment(draft("archived")).await;
    server.patch(&format!("/experiments/{archived}"), json!({"is_archived": true})).await.expect(200);
    let gone = server.experiment(draft("gone")).await;
    server.delete(&format!("/experiments/{gone}")).await.expect(204);
    for (query, expected) in [
        ("", vec![id, tagged, bare]),
        ("?unheard=of", vec![id, tagged, bare]),
        ("?status=Running", vec![id]),
        ("?status=draft&status=RUNNING", vec![id, tagged, bare]),
        ("?status=Draft,Running&limit=2&offset=1", vec![tagged, bare]),
        ("?status=analysis_complete", vec![]),
        ("?status=Ready%20for%20review", vec![]),
        ("?tags=q2", vec![tagged]),
        ("?tags[]=q2&tags[]=checkout", vec![id, tagged]),
        ("?tags=q1,q2", vec![id, tagged]),
        ("?tags=nobody", vec![]),
        ("?experiment_key=bare", vec![bare]),
        ("?experiment_key=%00", vec![]),
        ("?entity_id=1", vec![id]),
        ("?entity_id=99", vec![]),
        ("?type=holdouts", vec![]),
        ("?type=experiments", vec![id, tagged, bare]),
        ("?includeArchived=true", vec![id, tagged, bare, archived]),
        ("?is_deleted=true", vec![gone]),
        ("?is_deleted=true&experiment_key=bare", vec![]),
        ("?is_deleted=false", vec![id, tagged, bare]),
        ("?created_since=2020-01-01&updated_since=2020-01-01T00:00:00Z", vec![id, tagged, bare]),
        ("?created_since=2999-01-01", vec![]),
        ("?limit=1", vec![id]),
        ("?limit=1&offset=2", vec![bare]),
        ("?offset=3", vec![]),
        ("?offset=9007199254740993", vec![]),
    ] {
        assert_eq!(numbers(&get(&server, &format!("/experiments{query}")).await), expected, "{query}");
    }
    assert_eq!(get(&server, &format!("/experiments/{gone}?allow_deleted=true")).await["is_deleted"], true);
    assert_eq!(get(&server, &format!("/experiments/{gone}?allow_delete=1")).await["experiment_key"], "gone");
    ask(&server, Method::GET, &format!("/experiments/{gone}"), Value::Null).await.expect(404);
    server.make("/teams", json!({"name": "Growth"})).await;
    assert_eq!(get(&server, "/teams").await, json!([{"id": 1, "name": "Growth", "description": ""}]));
    assert_eq!(get(&server, "/definitions/entities").await, json!([{"id": 1, "name": "user"}]));
    let source = json!([{
        "id": 1, "name": "assignments", "sql": "SELECT * FROM assignments", "experiment_key_column": "experiment",
        "variation_column": "variation", "timestamp_column": "at", "entity_id": 1, "entity_join_column_name": "user_id",
    }]);
    assert_eq!(get(&server, "/definitions/assignments/").await, source);
    let collections = get(&server, "/metrics/collections").await;
    assert_eq!((numbers(&collections), &collections[0]["metric_ids"]), (vec![1], &json!([1])));
    assert_eq!(collections[0]["metrics"], json!([{"id": 1, "name": "orders per user"}]));
    assert_eq!(numbers(&get(&server, "/metrics").await), [1, 2]);
    assert_eq!(numbers(&get(&server, "/metrics?name=REVENUE&entity_id=1").await), [2]);
    assert_eq!(numbers(&get(&server, "/metrics?entity_id=2").await), [0; 0]);
    assert_eq!(numbers(&get(&server, "/metrics?limit=1&offset=1").await), [2]);
    let metric = get(&server, "/metrics/2").await;
    assert_eq!(metric["numerator"], json!({"metric_event_measure_id": 1, "operation": "sum", "filters": []}));
    assert!(definitions.metric.starts_with("met_"), "ours are no numbers");
    server.stop().await;
}

/// Whatever is wrong is said in Eppo's form, by the parameter's name.
async fn what_cannot_be_read_is_refused_in_a_sentence(database: Database) {
    let (server, ..) = running(&database).await;
    for (path, status, says) in [
        ("/experiments?limit=251", 422, "limit"),
        ("/experiments?limit=ten", 422, "limit"),
        ("/experiments?offset=-1", 422, "offset"),
        ("/experiments?entity_id=user", 422, "entity_id"),
        ("/experiments?is_deleted=perhaps", 422, "is_deleted"),
        ("/experiments?created_since=yesterday", 422, "created_since"),
        ("/experiments/99", 404, "99"),
        ("/experiments/checkout-cta", 404, "checkout-cta"),
        ("/experiments/99999999999999999999999", 404, "99999999999999999999999"),
        ("/metrics/99", 404, "99"),
        ("/metrics/-1", 404, "-1"),
        ("/metrics/x", 404, "'x'"),
        ("/feature-flags", 404, "no feature flags"),
        ("/flags/1", 404, "no feature flags"),
        ("/holdouts?limit=1", 404, "no holdouts"),
        ("/nothing", 404, "'/nothing'"),
        ("/experiments/1/nothing", 404, "'/experiments/1/nothing'"),
    ] {
        let answer = ask(&server, Method::GET, path, Value::Null).await;
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        let told = answer.expect(status);
        assert_eq!(told["statusCode"], status, "{path}");
        assert!(told["message"].as_str().unwrap().contains(says) && told["error"].is_string(), "{path}: {told}");
    }
    ask(&server, Method::PATCH, "/experiments/1", Value::Null).await.expect(405);
    server.stop().await;
}

#[test]
fn the_docs_tell_of_every_route_and_its_role() {
    let docs = include_str!("../../../../../../docs/eppo.md");
    let mut told = BTreeSet::new();
    for row in
        docs.lines().filter(|line| ["| `GET ", "| `POST ", "| `PUT "].iter().any(|start| line.starts_with(start)))
    {
        let cells: Vec<_> = row.split(" | ").collect();
        let role = cells[1].trim_matches('`');
        let routes = cells[0].trim_start_matches("| ").split(" · ").map(|route| route.trim_matches('`'));
        told.extend(routes.map(|route| format!("{route} {role}")));
    }
    let table = bellwether::api::eppo_table();
    let there = table.iter().filter(|route| !route.path.ends_with('/'));
    let there: BTreeSet<_> = there
        .map(|route| {
            format!("{} {} {}", route.method, route.path.strip_prefix("/eppo/api/v1/").unwrap(), route.role.as_str())
        })
        .collect();
    assert_eq!(told, there);
}

async fn each_role_may_do_what_it_may(database: Database) {
    let server = Server::start(&database).await;
    for (rank, role) in ["read", "write", "admin"].into_iter().enumerate() {
        let key = server.post("/keys", json!({"name": role, "role": role})).await.expect(201);
        for route in bellwether::api::eppo_table() {
            let path = route.path.strip_prefix("/eppo/api/v1").unwrap().replace("{id}", "999");
            let needed = ["read", "write", "admin"].iter().position(|there| *there == route.role.as_str()).unwrap();
            let text = key["key"].as_str().unwrap();
            let answer = ask_as(&server, text, route.method.clone(), &path, Value::Null).await;
            if rank < needed {
                let told = answer.expect(403);
                assert!(told["message"].as_str().unwrap().contains(route.role.as_str()), "{told}");
            } else {
                assert!(
                    ![401, 403, 405, 500].contains(&answer.status),
                    "{} {path} as {role}: {answer:?}",
                    route.method
                );
            }
        }
    }
    // Without a key in force, nothing; and no other header lets anybody in here.
    for headers in [vec![], vec![("x-eppo-token", "wrong")], vec![("authorization", ADMIN_KEY)]] {
        for path in ["//eppo/api/v1/experiments", "//eppo/api/v1/nothing", "//eppo/api/v1/metrics/1"] {
            let answer = server.raw(Method::GET, path, &headers, "").await;
            let told = answer.expect(401);
            assert_eq!((&told["statusCode"], &told["error"]), (&json!(401), &json!("Unauthorized")), "{headers:?}");
        }
    }
    // A host setting that ends with a slash makes two of it.
    let headers = [("x-eppo-token", ADMIN_KEY)];
    let twice = server.raw(Method::GET, "//eppo//api/v1/experiments?limit=1", &headers, "").await;
    assert_eq!(twice.expect(200), json!([]));
    server.stop().await;
}

on_both!(
    an_experiment_is_shown_in_eppos_words,
    lists_are_filtered_as_eppos,
    what_cannot_be_read_is_refused_in_a_sentence,
    each_role_may_do_what_it_may,
);
