//! The metric sync over HTTP: what is declared is there, is nobody else's to edit, and goes when it is declared no more.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::{Value, json};

use super::{ask, get, payload, restarted, sum, syncable};
use crate::api::items;
use crate::server::{ADMIN_KEY, Answer, Server, draft};

async fn sync(server: &Server, payload: &Value) -> Answer {
    ask(server, Method::POST, "/metrics/sync", payload.clone()).await
}

/// What our own API shows of the metric, or fact source, of this name.
async fn named(server: &Server, list: &str, name: &str) -> Option<Value> {
    let page = server.get(&format!("/{list}?limit=250")).await;
    items(&page).iter().find(|item| item["name"] == name).cloned()
}

/// One of every form.
fn metrics_of_every_form() -> Value {
    let full = json!({
        "name": "Revenue", "description": "per user", "type": "ratio", "entity": "user", "is_guardrail": true,
        "guardrail_cutoff": -0.05, "metric_display_style": "percent", "minimum_detectable_effect": 0.02, "desired_change": "increase",
        "reference_url": "https://git.example/revenue",
        "numerator": {
            "fact_name": "Spent", "operation": "sum", "enable_aging_subject_filter": true,
            "filters": [{"fact_property": "Country", "operation": "equals", "values": ["de", "fr"]}],
            "aggregation_timeframe_start_value": 1, "aggregation_timeframe_end_value": 14, "aggregation_timeframe_unit": "calendar_days",
            "winsorization_lower_percentile": 0.01, "winsor_upper_fixed_value": 1000,
        },
        "denominator": {"fact_name": "Bought", "operation": "count"},
    });
    json!([
        full,
        {"name": "p90", "entity": "user", "type": "percentile", "percentile": {"fact_name": "Spent", "percentile_value": 0.9}},
        {"name": "Kept", "entity": "user", "numerator": {"fact_name": "Bought", "operation": "retention", "retention_threshold_days": 7}},
        {"name": "Big", "entity": "user", "numerator": {"fact_name": "Spent", "operation": "threshold", "enable_aging_subject_filter": true,
            "threshold_metric_settings": {"comparison_operator": "gte", "aggregation_type": "sum", "breach_value": 5,
                "timeframe_unit": "days", "timeframe_value": 7}}},
        {"name": "Buyer", "entity": "user", "numerator": {"fact_name": "Bought", "operation": "conversion",
            "conversion_threshold_days": 3, "enable_aging_subject_filter": true}},
        {"name": "Late", "entity": "user", "numerator": {"fact_name": "Bought", "operation": "distinct_entity",
            "aggregation_timeframe_start_value": 7, "aggregation_timeframe_unit": "days"}},
    ])
}

async fn what_is_declared_is_there(database: Database) {
    let (server, _) = syncable(&database).await;
    let payload = payload("prod", metrics_of_every_form());
    let done = sync(&server, &payload).await.expect(200);
    assert_eq!((&done["status"], &done["sync_tag"]), (&json!("success"), &json!("prod")), "{done}");
    assert_eq!(get(&server, &format!("/metrics/sync/{}", done["id"])).await, done);
    let source = named(&server, "fact_sources", "Purchases").await.unwrap();
    assert_eq!(source["managed_by"], json!({"sync_tag": "prod", "reference_url": "https://git.example/metrics"}));
    assert_eq!(source["facts"][0]["description"], "What was paid");
    let made = named(&server, "metrics", "Revenue").await.unwrap();
    assert_eq!(made["managed_by"]["reference_url"], "https://git.example/revenue");
    let numerator = json!({
        "fact_id": source["facts"][0]["id"], "operation": "sum",
        "filters": [{"property": "Country", "operation": "equals", "values": ["de", "fr"]}],
        "timeframe": {"start": 1, "end": 14, "unit": "calendar_days", "only_aged": true},
        "winsorization": {"lower_percentile": 0.01, "upper_percentile": null, "lower_value": null, "upper_value": 1000.0, "subjects": "all"},
        "threshold": null, "conversion_threshold_days": null, "retention_threshold_days": null,
    });
    assert_eq!(made["numerator"], numerator);
    let told = ["guardrail_cutoff", "is_guardrail", "display", "kind"].map(|field| made[field].clone());
    assert_eq!(told, [json!(-0.05), json!(true), json!("percent"), json!("ratio")]);
    let aged = |end: u32| json!({"start": 0, "end": end, "unit": "days", "only_aged": true});
    assert_eq!(named(&server, "metrics", "Big").await.unwrap()["numerator"]["timeframe"], aged(7));
    assert_eq!(named(&server, "metrics", "Buyer").await.unwrap()["numerator"]["timeframe"], aged(3));
    assert_eq!(named(&server, "metrics", "Late").await.unwrap()["numerator"]["timeframe"]["start"], 7);
    // The same again is nothing.
    for path in ["/metrics/sync", "/metrics/sync/async", "/metrics/sync?allow_upgrades=true"] {
        let again = ask(&server, Method::POST, path, payload.clone()).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    server.stop().await;
}

async fn nobody_else_edits_what_is_managed(database: Database) {
    let (server, _) = syncable(&database).await;
    sync(&server, &payload("prod", json!([sum("Revenue")]))).await.expect(200);
    let source = named(&server, "fact_sources", "Purchases").await.unwrap();
    let made = named(&server, "metrics", "Revenue").await.unwrap();
    let (metric, facts) = (
        format!("/metrics/{}", made["id"].as_str().unwrap()),
        format!("/fact_sources/{}", source["id"].as_str().unwrap()),
    );
    for path in [&metric, &facts] {
        for refused in [server.patch(path, json!({"name": "mine"})).await, server.delete(path).await] {
            let told = refused.expect(409)["detail"].as_str().unwrap().to_owned();
            assert!(told.contains("metric sync 'prod'") && told.contains("https://git.example/"), "{told}");
        }
        assert_eq!(server.patch(path, json!({"managed_by": null})).await.status, 409);
    }
    let number = made["number"].as_i64().unwrap();
    let told = ask(&server, Method::PUT, &format!("/metrics/{number}"), json!({"name": "mine"})).await.expect(409);
    assert!(told["message"].as_str().unwrap().contains("metric sync 'prod'"), "{told}");
    assert_eq!(get(&server, &format!("/metrics/{number}")).await["is_certified"], true);
    let mark = json!({"sync_tag": "prod"});
    let own = json!({"name": "x", "warehouse_id": source["warehouse_id"], "sql": "SELECT 1", "timestamp_column": "at",
        "entities": source["entities"], "facts": [{"name": "f"}], "managed_by": mark});
    server.post("/fact_sources", own).await.expect(422);
    server.stop().await;
}

async fn an_edit_in_the_files_keeps_what_a_thing_is(database: Database) {
    let (server, _) = syncable(&database).await;
    let first = payload("prod", json!([sum("Revenue"), sum("Other")]));
    sync(&server, &first).await.expect(200);
    let (before, source) = (
        named(&server, "metrics", "Revenue").await.unwrap(),
        named(&server, "fact_sources", "Purchases").await.unwrap(),
    );
    let mut second = first.clone();
    second["metrics"][0]["description"] = json!("edited");
    sync(&server, &second).await.expect(200);
    let after = named(&server, "metrics", "Revenue").await.unwrap();
    assert_eq!((&after["id"], &after["description"]), (&before["id"], &json!("edited")));
    assert_eq!(after["numerator"]["fact_id"], before["numerator"]["fact_id"]);
    let same = named(&server, "fact_sources", "Purchases").await.unwrap();
    assert_eq!((&same["version"], &same["facts"]), (&source["version"], &source["facts"]), "it was not edited");
    let history = server.get(&format!("/metrics/{}/history", before["id"].as_str().unwrap())).await;
    assert_eq!(items(&history)[1]["reason"], "metric sync 'prod'");
    // A fact that moves to another source takes its metrics along; what it leaves is gone.
    let mut moved = second.clone();
    let spent = moved["fact_sources"][0]["facts"].as_array_mut().unwrap().remove(0);
    let mut other = moved["fact_sources"][0].clone();
    (other["name"], other["facts"]) = (json!("Payments"), json!([spent]));
    moved["fact_sources"].as_array_mut().unwrap().push(other);
    sync(&server, &moved).await.expect(200);
    let payments = named(&server, "fact_sources", "Payments").await.unwrap();
    let there = named(&server, "metrics", "Revenue").await.unwrap();
    assert_eq!((&there["id"], &there["numerator"]["fact_id"]), (&before["id"], &payments["facts"][0]["id"]));
    let left = named(&server, "fact_sources", "Purchases").await.unwrap();
    assert_eq!(left["facts"].as_array().unwrap().len(), 1);
    server.stop().await;
}

async fn names_of_others_are_not_taken(database: Database) {
    let (server, definitions) = syncable(&database).await;
    let declared = payload("prod", json!([sum("revenue per user")]));
    let told = sync(&server, &declared).await.expect(422);
    let says = told["errors"][0]["message"].as_str().unwrap();
    assert_eq!(told["errors"][0]["field"], "metrics[revenue per user].name");
    assert!(says.contains("no sync manages") && says.contains("allow_upgrades"), "{told}");
    assert!(named(&server, "fact_sources", "Purchases").await.is_none(), "nothing of it is there");
    let upgraded = ask(&server, Method::POST, "/metrics/sync?allow_upgrades=true", declared.clone()).await.expect(200);
    assert_eq!(upgraded["status"], "success");
    let there = named(&server, "metrics", "revenue per user").await.unwrap();
    assert_eq!(
        (there["id"].as_str(), &there["managed_by"]["sync_tag"]),
        (Some(definitions.metric.as_str()), &json!("prod"))
    );
    // Another tag takes nothing, with upgrades or without.
    let mut other = declared.clone();
    other["sync_tag"] = json!("staging");
    for path in ["/metrics/sync", "/metrics/sync?allow_upgrades=true"] {
        let told = ask(&server, Method::POST, path, other.clone()).await.expect(422);
        let fields: Vec<_> = told["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
        assert_eq!(fields, ["fact_sources[Purchases].name", "metrics[revenue per user].name"]);
        assert!(told["message"].as_str().unwrap().contains("managed by the metric sync 'prod'"), "{told}");
    }
    server.stop().await;
}

/// As many experiments as need several transactions, each told of once.
async fn what_is_declared_no_more_comes_off_experiments_with_one_event_each(database: Database) {
    const MANY: i64 = 120;
    let (server, definitions) = syncable(&database).await;
    let warehouse = server.get("/warehouses").await["items"][0]["id"].as_str().unwrap().to_owned();
    let all = payload("prod", json!([sum("A"), sum("B"), sum("C")]));
    sync(&server, &all).await.expect(200);
    let mut ids = Vec::new();
    for name in ["A", "B", "C"] {
        ids.push(named(&server, "metrics", name).await.unwrap()["id"].as_str().unwrap().to_owned());
    }
    let collection = server.make("/collections", json!({"name": "all", "metric_ids": ids})).await;
    for number in 0..MANY {
        let mut body = draft(&format!("e{number}"));
        body["metrics"] = json!(ids.iter().map(|id| json!({"metric_id": id})).collect::<Vec<_>>());
        server.experiment(body).await;
    }
    let mut fewer = payload("prod", json!([sum("C")]));
    let begun = ask(&server, Method::POST, "/metrics/sync/async", fewer.clone()).await.expect(202);
    assert_eq!(begun["status"], "pending", "{begun}");
    // Whenever it stops, it goes on.
    server.stop().await;
    let server = restarted(&database, &warehouse).await;
    let mut status = begun.clone();
    while status["status"] == "pending" {
        status = get(&server, &format!("/metrics/sync/{}", begun["id"])).await;
    }
    assert_eq!(status["status"], "success");
    for number in 1..=MANY {
        let attached = server.get(&format!("/experiments/{number}/metrics")).await;
        let names: Vec<_> = items(&attached).iter().map(|item| item["name"].clone()).collect();
        assert_eq!(names, ["C"], "experiment {number}");
        let history = server.get(&format!("/experiments/{number}/history")).await;
        let removed: Vec<_> = items(&history).iter().filter(|change| change["action"] == "metric_removed").collect();
        assert_eq!(removed.len(), 1);
        assert_eq!(
            (removed[0]["changes"].as_array().unwrap().len(), &removed[0]["reason"]),
            (2, &json!("metric sync 'prod'"))
        );
    }
    let path = "/events?types=experiment.metric.updated&limit=250";
    let log = server.eventually(path, |page| items(page).len() as i64 == 2 * MANY).await;
    assert_eq!(items(&log).len() as i64, 2 * MANY, "attached, and taken off, once each");
    assert!(named(&server, "metrics", "A").await.is_none());
    let left = server.get(&format!("/collections/{collection}")).await;
    assert_eq!(left["metric_ids"], json!([ids[2]]));
    // What others need is not removed: then nothing is.
    fewer["metrics"] = json!([sum("D")]);
    let told = sync(&server, &fewer).await.expect(422);
    assert_eq!(told["errors"][0]["field"], "collections[all]", "{told}");
    server.delete(&format!("/collections/{collection}")).await.expect(204);
    let fact = named(&server, "fact_sources", "Purchases").await.unwrap()["facts"][0]["id"].clone();
    let entity = &definitions.entity;
    let own = json!({"name": "Own", "entity_id": entity, "kind": "simple", "numerator": {"fact_id": fact, "operation": "sum"}});
    server.make("/metrics", own).await;
    fewer["fact_sources"][0]["facts"].as_array_mut().unwrap().remove(0);
    fewer["metrics"] = json!([]);
    let told = sync(&server, &fewer).await.expect(422);
    assert!(told["message"].as_str().unwrap().contains("the metric 'Own' is of it"), "{told}");
    assert!(named(&server, "metrics", "C").await.is_some(), "nothing was changed");
    server.stop().await;
}

/// The payload with one source, of which something is otherwise.
fn source(change: Value) -> Value {
    let mut declared = payload("prod", json!([]));
    extend(&mut declared["fact_sources"][0], change);
    declared
}

/// The same with one metric.
fn metric(change: Value) -> Value {
    let mut declared = payload("prod", json!([sum("M")]));
    extend(&mut declared["metrics"][0], change);
    declared
}

fn side(change: Value) -> Value {
    let mut numerator = json!({"fact_name": "Spent", "operation": "sum"});
    extend(&mut numerator, change);
    metric(json!({"numerator": numerator}))
}

fn threshold(change: Value) -> Value {
    let mut settings = json!({"comparison_operator": "gt", "aggregation_type": "count", "breach_value": 1});
    extend(&mut settings, change);
    side(json!({"operation": "threshold", "threshold_metric_settings": settings}))
}

fn extend(object: &mut Value, change: Value) {
    object.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
}

async fn each_is_refused_by_its_field(server: &Server, wrong: impl IntoIterator<Item = (Value, &str)>) {
    for (declared, field) in wrong {
        let told = sync(server, &declared).await.expect(422);
        assert_eq!(told["errors"][0]["field"], field, "{told}");
        // The other way tells the same as a sync that failed.
        let failed = ask(server, Method::POST, "/metrics/sync/async", declared).await.expect(202);
        assert_eq!(failed["status"], "failed");
        assert!(failed["errors"][0].as_str().unwrap().starts_with(field), "{failed}");
    }
    assert!(named(server, "fact_sources", "Purchases").await.is_none(), "nothing of it is there");
}

/// Everything that cannot be computed is refused by its name, and all of it at once.
async fn what_cannot_be_computed_of_sources_is_refused_by_its_field(database: Database) {
    let (server, _) = syncable(&database).await;
    let property = json!([{"name": "Country", "column": "country", "include_experiment_computation": true}]);
    let wrong = [
        (source(json!({"partition_date": "day"})), "fact_sources[Purchases].partition_date"),
        (source(json!({"team_id": 3})), "fact_sources[Purchases].team_id"),
        (
            source(json!({"properties": property})),
            "fact_sources[Purchases].properties[Country].include_experiment_computation",
        ),
        (
            source(json!({"entities": [{"entity_name": "ghost", "column": "x"}]})),
            "fact_sources[Purchases].entities[0].entity_name",
        ),
        (source(json!({"sql": "SELEC * FROM orders"})), "fact_sources[Purchases].sql"),
        (source(json!({"timestamp_column": "amount"})), "fact_sources[Purchases].timestamp_column"),
        (source(json!({"facts": [{"name": "Spent", "column": "nothing"}]})), "fact_sources[Purchases].facts[0].column"),
        (source(json!({"facts": []})), "fact_sources[Purchases].facts"),
        (source(json!({"colour": "red"})), "fact_sources[Purchases].colour"),
        (source(json!({"name": ""})), "fact_sources[0].name"),
        (payload("", json!([])), "sync_tag"),
    ];
    each_is_refused_by_its_field(&server, wrong).await;
    // What is wrong with several is told of all of them at once.
    let mut several = source(json!({"sql": "SELEC * FROM orders"}));
    several["metrics"] =
        json!([{"name": "M", "entity": "ghost", "numerator": {"fact_name": "Ghost", "operation": "sum"}}]);
    let told = sync(&server, &several).await.expect(422);
    let fields: Vec<_> =
        told["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["metrics[M].entity", "metrics[M].numerator.fact_name", "fact_sources[Purchases].sql"]);
    let hostile = payload("a\u{0}b", json!([]));
    assert_eq!(ask(&server, Method::POST, "/metrics/sync/async", hostile).await.expect(202)["status"], "failed");
    for body in ["", "[]", "{", "{\"metrics\": 7}"] {
        let answer = super::send(&server, ADMIN_KEY, Method::POST, "/metrics/sync", body.to_owned()).await;
        assert!([400, 422].contains(&answer.status), "{body}: {answer:?}");
    }
    ask(&server, Method::GET, "/metrics/sync/999", Value::Null).await.expect(404);
    ask(&server, Method::GET, "/metrics/sync/x", Value::Null).await.expect(404);
    server.stop().await;
}

async fn what_cannot_be_computed_of_metrics_is_refused_by_its_field(database: Database) {
    let (server, _) = syncable(&database).await;
    let wrong = [
        (metric(json!({"type": "funnel"})), "metrics[M].type"),
        (metric(json!({"type": "ratio"})), "metrics[M].type"),
        (metric(json!({"entity": "ghost"})), "metrics[M].entity"),
        (metric(json!({"team_id": 7})), "metrics[M].team_id"),
        (metric(json!({"guardrail_cutoff": 1000})), "metrics[M].guardrail_cutoff"),
        (metric(json!({"minimum_detectable_effect": 0})), "metrics[M].minimum_detectable_effect"),
        (metric(json!({"metric_display_style": "money"})), "metrics[M].metric_display_style"),
        (metric(json!({"numerator": null})), "metrics[M].numerator"),
        (metric(json!({"percentile": {"fact_name": "Spent", "percentile_value": 0.5}})), "metrics[M].numerator"),
        (side(json!({"fact_name": "Ghost"})), "metrics[M].numerator.fact_name"),
        (side(json!({"operation": "median"})), "metrics[M].numerator.operation"),
        (
            side(json!({"filters": [{"fact_property": "Ghost", "operation": "equals", "values": ["x"]}]})),
            "metrics[M].numerator.filters[0].fact_property",
        ),
        (side(json!({"enable_aging_subject_filter": true})), "metrics[M].numerator.enable_aging_subject_filter"),
        (
            side(
                json!({"operation": "retention", "retention_threshold_days": 7, "enable_aging_subject_filter": false}),
            ),
            "metrics[M].numerator.enable_aging_subject_filter",
        ),
        (
            side(json!({"operation": "retention", "retention_threshold_days": 1.5})),
            "metrics[M].numerator.retention_threshold_days",
        ),
        (side(json!({"aggregation_timeframe_end_value": 7})), "metrics[M].numerator.aggregation_timeframe_unit"),
        (
            side(json!({"aggregation_timeframe_end_value": 0.5, "aggregation_timeframe_unit": "days"})),
            "metrics[M].numerator.aggregation_timeframe_end_value",
        ),
        (side(json!({"winsorization_upper_percentile": 99})), "metrics[M].numerator.winsorization_upper_percentile"),
        (
            side(json!({"winsorization_upper_percentile": 0.9, "winsor_upper_fixed_value": 5})),
            "metrics[M].numerator.winsor_upper_fixed_value",
        ),
        (threshold(json!({"breach_value": -1})), "metrics[M].numerator.threshold_metric_settings.breach_value"),
        (threshold(json!({"timeframe_value": 7})), "metrics[M].numerator.threshold_metric_settings.timeframe_unit"),
        (payload("prod", json!([sum("M"), sum("M")])), "metrics[M].name"),
    ];
    each_is_refused_by_its_field(&server, wrong).await;
    server.stop().await;
}

async fn without_a_warehouse_sources_are_refused_by_the_setting(database: Database) {
    let server = Server::start(&database).await;
    server.make("/entities", json!({"name": "user"})).await;
    let told = sync(&server, &payload("prod", json!([]))).await.expect(422);
    assert!(told["message"].as_str().unwrap().contains("default_warehouse_id"), "{told}");
    server.stop().await;
    let server = restarted(&database, "wh_00000000000000000000000007").await;
    let told = sync(&server, &payload("prod", json!([]))).await.expect(422);
    assert_eq!(told["errors"][0]["field"], "fact_sources[Purchases].warehouse_id", "{told}");
    server.stop().await;
}

on_both!(
    what_is_declared_is_there,
    nobody_else_edits_what_is_managed,
    an_edit_in_the_files_keeps_what_a_thing_is,
    names_of_others_are_not_taken,
    what_is_declared_no_more_comes_off_experiments_with_one_event_each,
    what_cannot_be_computed_of_sources_is_refused_by_its_field,
    what_cannot_be_computed_of_metrics_is_refused_by_its_field,
    without_a_warehouse_sources_are_refused_by_the_setting,
);
