//! Whatever is wrong with a request: a problem answer that says what, and nothing changed.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::{Value, json};

use super::refusals::{State, invalid, problem};
use crate::server::{ADMIN_KEY, Definitions, Server, draft};

async fn experiments_are_refused_by_field(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let id = server.experiment(definitions.experiment("k")).await;
    let before = State::of(&server).await;
    let long = "x".repeat(201);
    let variations =
        |weight: Value| json!([{"key": "a", "weight": weight, "is_control": true}, {"key": "b", "weight": 1}]);
    let nobody = "ent_00000000000000000000000000";
    let cases = [
        ("key", json!("")),
        ("key", json!("  ")),
        ("key", json!(long)),
        ("key", json!("nul\u{0}")),
        ("key", json!(5)),
        ("key", Value::Null),
        ("name", json!(long)),
        ("name", json!(["x"])),
        ("hypothesis", json!("x".repeat(10_001))),
        ("owner", json!("\u{0}")),
        ("tags", json!("a")),
        ("tags", json!(vec!["t"; 51])),
        ("tags[1]", json!(["a", ""])),
        ("traffic_allocation", json!(0)),
        ("traffic_allocation", json!(1.01)),
        ("traffic_allocation", json!("1")),
        ("analysis_plan.confidence_level", json!(1)),
        ("assignments_start_date", json!("yesterday")),
        ("assignments_start_date", json!("2026-02-30")),
        ("assignments_end_date", json!("2026-02-01")),
        ("variations[0].weight", variations(json!(0))),
        ("variations[0].weight", variations(json!(-1))),
        ("variations[0].weight", variations(json!(1e10))),
        ("variations[0].weight", variations(json!("1"))),
        ("variations[1].key", json!([{"key": "a", "weight": 1}, {"key": "a", "weight": 1}])),
        (
            "variations",
            json!([{"key": "a", "weight": 1, "is_control": true}, {"key": "b", "weight": 1, "is_control": true}]),
        ),
        ("entity_id", json!(nobody)),
        ("entity_id", json!("met_00000000000000000000000000")),
        ("assignment_source_id", json!("as_00000000000000000000000000")),
        ("schedule_id", json!("sch_00000000000000000000000000")),
    ];
    for (field, value) in cases {
        let name = field.split(['.', '[']).next().unwrap();
        let value = if name == "analysis_plan" { json!({"confidence_level": value}) } else { value };
        invalid(server.patch(&format!("/experiments/{id}"), json!({name: value.clone()})).await, field);
        let mut whole = definitions.experiment("new");
        whole[name] = value;
        invalid(server.post("/experiments", whole).await, field);
    }
    invalid(server.patch(&format!("/experiments/{id}"), json!({"status": "running"})).await, "status");
    invalid(server.patch(&format!("/experiments/{id}"), json!({"nam": "x"})).await, "nam");
    for unknown in [json!({"key": "new", "name": "n", "colour": "red"}), json!({"key": "new", "name": "n", "id": 7})] {
        problem(server.post("/experiments", unknown).await, 422, "invalid");
    }
    problem(server.post("/experiments", json!({"key": "new"})).await, 422, "invalid");
    problem(server.post("/experiments", draft("k")).await, 409, "taken");
    before.assert_kept(&server).await;
    server.stop().await;
}

async fn illegal_transitions_name_the_legal_ones(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let bare = server.experiment(draft("bare")).await;
    let id = server.experiment(definitions.experiment("k")).await;
    let other = server.experiment(definitions.experiment("other")).await;
    let decision = json!({"outcome": "ship", "winning_variation": "red"});
    let before = State::of(&server).await;
    let act =
        async |id: i64, action: &str, body: Value| server.post(&format!("/experiments/{id}/{action}"), body).await;
    for (action, body) in [("decide", decision.clone()), ("reopen", Value::Null)] {
        let refused = problem(act(id, action, body).await, 409, "illegal-transition");
        assert!(refused["detail"].as_str().unwrap().contains("start"), "{refused}");
    }
    problem(act(id, "runs", Value::Null).await, 409, "state");
    invalid(act(bare, "start", Value::Null).await, "variations");
    invalid(act(bare, "start", Value::Null).await, "assignment_source_id");
    before.assert_kept(&server).await;

    act(id, "start", Value::Null).await.expect(200);
    let before = State::of(&server).await;
    let refused = problem(act(id, "start", Value::Null).await, 409, "illegal-transition");
    assert!(refused["detail"].as_str().unwrap().contains("decide"), "{refused}");
    invalid(act(id, "decide", json!({"outcome": "ship", "winning_variation": "blue"})).await, "winning_variation");
    invalid(act(id, "decide", json!({"outcome": "ship"})).await, "winning_variation");
    invalid(act(id, "decide", json!({"outcome": "won"})).await, "outcome");
    problem(act(id, "start", json!({"now": true})).await, 422, "invalid");
    let path = format!("/experiments/{id}");
    invalid(server.patch(&path, json!({"key": "renamed"})).await, "key");
    invalid(server.patch(&path, json!({"variations": [{"key": "a", "weight": 1}]})).await, "variations");
    invalid(server.patch(&path, json!({"assignment_source_id": null})).await, "assignment_source_id");
    before.assert_kept(&server).await;

    act(id, "decide", decision.clone()).await.expect(200);
    let before = State::of(&server).await;
    for (action, body) in [("decide", decision), ("start", Value::Null)] {
        let refused = problem(act(id, action, body).await, 409, "illegal-transition");
        assert!(refused["detail"].as_str().unwrap().contains("reopen"), "{refused}");
    }
    let group = "grp_00000000000000000000000000";
    problem(server.delete(&format!("/experiments/{other}/metrics/{}", definitions.metric)).await, 404, "not-found");
    problem(server.delete(&format!("/experiments/{other}/collections/{group}")).await, 404, "not-found");
    before.assert_kept(&server).await;
    server.stop().await;
}

async fn endpoints_are_refused_by_field(database: Database) {
    let server = Server::start(&database).await;
    let id = server.make("/endpoints", json!({"url": "https://example.com/"})).await;
    let before = State::of(&server).await;
    let cases = [
        ("url", json!("http://10.0.0.1/")),
        ("url", json!("https://169.254.169.254/latest/meta-data")),
        ("url", json!("https://[::ffff:192.168.1.1]/")),
        ("url", json!("https://0x0a000001/")),
        ("url", json!("https://user@example.com/")),
        ("url", json!("https://user:secret@example.com/")),
        ("url", json!("ftp://example.com/")),
        ("url", json!("file:///etc/passwd")),
        ("url", json!("https://example.com/#fragment")),
        ("url", json!("example.com")),
        ("url", json!("")),
        ("url", json!(format!("https://example.com/{}", "x".repeat(2000)))),
        ("url", json!(["https://example.com"])),
        ("description", json!("x".repeat(1001))),
        ("description", json!("\u{0}")),
        ("events[0]", json!(["experiment.flag.updated"])),
        ("format", json!("xml")),
        ("ordering", json!("random")),
        ("retry_schedule[0]", json!([0])),
        ("retry_schedule[1]", json!([1, 36_001])),
        ("retry_schedule", json!(vec![1; 31])),
        ("max_in_flight", json!(0)),
        ("max_in_flight", json!(257)),
        ("rate_limit", json!(0)),
        ("rate_limit", json!(100_001)),
        ("rate_limit", json!("fast")),
        ("hold_seconds", json!(61)),
        ("hold_seconds", json!(-1)),
        ("asymmetric_signature", json!("yes")),
        ("headers.x-a", json!({"x-a": 5})),
        ("headers.x-a", json!({"x-a": "line\nbreak"})),
        ("headers.Webhook-Id", json!({"Webhook-Id": "x"})),
        ("headers.content-length", json!({"content-length": "5"})),
        ("headers.bellwether-x", json!({"bellwether-x": "x"})),
        ("filter.colours", json!({"colours": ["red"]})),
        ("filter.experiment_keys", json!({"experiment_keys": vec!["x"; 101]})),
        ("filter.experiment_keys[0]", json!({"experiment_keys": [""]})),
        ("filter.tags[1]", json!({"tags": ["a", "x".repeat(201)]})),
        ("filter.entity_ids[0]", json!({"entity_ids": ["met_00000000000000000000000000"]})),
        ("filter.runs[0]", json!({"runs": ["success"]})),
    ];
    for (field, value) in cases {
        let name = field.split(['[', '.']).next().unwrap();
        invalid(server.patch(&format!("/endpoints/{id}"), json!({name: value.clone()})).await, field);
        let mut whole = json!({"url": "https://example.com/"});
        whole[name] = value;
        invalid(server.post("/endpoints", whole).await, field);
    }
    for (field, value) in [("secret", json!("short")), ("secret", json!("nul\u{0}nul\u{0}")), ("enabled", json!("yes"))]
    {
        invalid(server.post("/endpoints", json!({"url": "https://example.com/", field: value})).await, field);
    }
    for body in [json!({}), json!({"url": "https://example.com/", "color": 1})] {
        problem(server.post("/endpoints", body).await, 422, "invalid");
    }
    invalid(server.post(&format!("/endpoints/{id}/enable"), json!({"from": "yesterday"})).await, "from");
    let act = async |action: &str, body: Value| server.post(&format!("/endpoints/{id}/{action}"), body).await;
    invalid(act("rotate", json!({"secret": "short"})).await, "secret");
    invalid(act("rotate", json!({"immediate": "now"})).await, "immediate");
    for action in ["test", "promote", "disable", "rotate"] {
        problem(act(action, json!({"colour": "red"})).await, 422, "invalid");
    }
    before.assert_kept(&server).await;
    server.stop().await;
}

async fn definitions_are_refused_by_field(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let before = State::of(&server).await;
    let (entity, metric) = (&definitions.entity, &definitions.metric);
    let fact = "fact_00000000000000000000000000";
    let cases = [
        ("/entities", json!({"name": "\u{0}"}), "name"),
        ("/entities", json!({"name": ""}), "name"),
        ("/warehouses", json!({"name": "w", "kind": "files", "path": "/etc"}), "path"),
        ("/warehouses", json!({"name": "w", "kind": "files", "path": "../.."}), "path"),
        ("/warehouses", json!({"name": "w", "kind": "oracle", "path": "x"}), "kind"),
        ("/schedules", json!({"name": "s", "cron": "0 0 6 * * *"}), "cron"),
        ("/schedules", json!({"name": "s", "cron": "0 6 * * *", "time_zone": "Mars/Olympus"}), "time_zone"),
        (
            "/metrics",
            json!({"name": "m", "entity_id": entity, "kind": "simple", "numerator": {"fact_id": fact, "operation": "sum"}}),
            "numerator.fact_id",
        ),
        (
            "/metrics",
            json!({"name": "m", "entity_id": entity, "kind": "simple", "numerator": {"fact_id": fact, "operation": "cube"}}),
            "numerator.operation",
        ),
        ("/collections", json!({"name": "c", "metric_ids": []}), "metric_ids"),
        ("/collections", json!({"name": "c", "metric_ids": [metric, metric]}), "metric_ids[1]"),
        ("/collections", json!({"name": "c", "metric_ids": ["met_00000000000000000000000000"]}), "metric_ids[0]"),
        ("/keys", json!({"name": "k", "role": "owner"}), "role"),
    ];
    for (path, body, field) in cases {
        invalid(server.post(path, body).await, field);
    }
    problem(server.post("/entities", json!({"name": "user"})).await, 409, "taken");
    problem(server.delete(&format!("/entities/{entity}")).await, 409, "in-use");
    problem(server.delete(&format!("/metrics/{}", definitions.other_metric)).await, 409, "in-use");
    invalid(server.patch(&format!("/metrics/{metric}"), json!({"colour": 1})).await, "colour");
    let id = server.experiment(definitions.experiment("k")).await;
    let unknown = json!({"metric_id": "met_00000000000000000000000000"});
    invalid(server.post(&format!("/experiments/{id}/metrics"), unknown).await, "metric_id");
    let unknown = json!({"collection_id": "col_00000000000000000000000000"});
    invalid(server.post(&format!("/experiments/{id}/collections"), unknown).await, "collection_id");
    server.delete(&format!("/experiments/{id}")).await.expect(204);
    let after = State::of(&server).await;
    before.assert_resources_kept(&after);
    assert_eq!(after.events, [(id, 1), (id, 2)], "created and deleted, and nothing between");
    server.stop().await;
}

async fn unknown_things_are_not_found_and_queries_are_checked(database: Database) {
    let server = Server::start(&database).await;
    let id = server.experiment(draft("k")).await;
    let before = State::of(&server).await;
    let get = async |path: &str| server.call_as(ADMIN_KEY, Method::GET, path, Value::Null).await;
    for path in [
        "/experiments/999",
        "/experiments/0",
        "/experiments/-1",
        "/experiments/1.5",
        "/experiments/key:nobody",
        "/experiments/key:a%00b",
        "/experiments/99999999999999999999",
        "/experiments/999/metrics",
        "/experiments/999/history",
        "/runs/run_x",
        "/experiments/999/runs",
        "/experiments/999/results",
        "/runs/run_00000000000000000000000000",
        "/endpoints/ep_x",
        "/endpoints/ep_00000000000000000000000000",
        "/endpoints/evt_00000000000000000000000000",
        "/entities/x",
        "/events/evt_00000000000000000000000000",
        "/events/evt_00000000000000000000000000/deliveries",
        "/deliveries/dlv_00000000000000000000000000",
        "/recoveries/rcv_00000000000000000000000000",
        "/recoveries/rcv_x",
        "/endpoints/ep_x/recoveries",
        "/events/evt_00000000000000000000000000/endpoints/ep_00000000000000000000000000",
        "/events/evt_x/endpoints/ep_x",
        "/nothing",
        "/experiments/1/nothing",
        "//nothing",
        &format!("/experiments/{id}/results"),
        &format!("/experiments/{id}/traffic"),
    ] {
        problem(get(path).await, 404, "not-found");
    }
    for path in ["/experiments", "/events", "/endpoints", "/deliveries", "/entities", "/keys"] {
        for query in ["limit=0", "limit=251", "limit=-1", "limit=many", "offset=5"] {
            problem(get(&format!("{path}?{query}")).await, 422, "invalid");
        }
        invalid(get(&format!("{path}?limit=1&after=%00")).await, "after");
    }
    for (query, field) in [("limit=0", "limit"), ("limit=251", "limit"), ("types=experiment.flag.updated", "types")] {
        invalid(get(&format!("/events?{query}")).await, field);
    }
    for path in ["/experiments?status=flying", "/events?after=x", "/events?format=xml", "/experiments?after=x"] {
        problem(get(path).await, 422, "invalid");
    }
    invalid(get("/deliveries?state=lost").await, "state");
    invalid(get("/events?experiment=key:a%00b").await, "experiment");
    invalid(get(&format!("/experiments/{id}/history?after=x")).await, "after");
    for (method, path) in [
        (Method::PUT, "/experiments"),
        (Method::DELETE, "/experiments"),
        (Method::POST, "/experiments/1"),
        (Method::GET, "/experiments/1/start"),
        (Method::PATCH, "/events"),
        (Method::PUT, "/keys/key_x"),
    ] {
        let answer = server.call_as(ADMIN_KEY, method, path, Value::Null).await;
        assert!(!answer.header("allow").is_empty(), "{path}");
        problem(answer, 405, "method-not-allowed");
    }
    before.assert_kept(&server).await;
    server.stop().await;
}

on_both!(
    experiments_are_refused_by_field,
    illegal_transitions_name_the_legal_ones,
    endpoints_are_refused_by_field,
    definitions_are_refused_by_field,
    unknown_things_are_not_found_and_queries_are_checked,
);
