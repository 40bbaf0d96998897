//! Metrics: what may be asked for, what is refused by its field, and what an experiment sets in place of a metric's own.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use serde_json::{Value, json};

use super::log;
use crate::server::{Definitions, Server};

/// The fields that a refusal names.
fn fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

async fn what_an_operation_cannot_be_given_is_refused_by_its_field(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let metric = server.get(&format!("/metrics/{}", definitions.metric)).await;
    let rows = server.get(&format!("/metrics/{}", definitions.other_metric)).await["numerator"]["fact_id"].clone();
    let amounts = metric["numerator"]["fact_id"].clone();
    let days = |days: i64| json!({"end": days, "unit": "days"});
    let cases = [
        (json!({"operation": "threshold"}), "numerator.threshold"),
        (
            json!({"operation": "sum", "threshold": {"of": "sum", "comparison": "gt", "value": 1}}),
            "numerator.threshold",
        ),
        (
            json!({"operation": "threshold", "threshold": {"of": "sum", "comparison": "gte", "value": 0}}),
            "numerator.threshold.value",
        ),
        (
            json!({"operation": "threshold", "threshold": {"of": "sum", "comparison": "gt", "value": 1, "within": {"length": 0, "unit": "days"}}}),
            "numerator.threshold.within.length",
        ),
        (
            json!({"operation": "threshold", "threshold": {"of": "sum", "comparison": "gt", "value": 1, "within": {"length": 1, "unit": "calendar_days"}}}),
            "numerator.threshold.within.unit",
        ),
        (json!({"operation": "retention"}), "numerator.retention_threshold_days"),
        (json!({"operation": "count", "retention_threshold_days": 3}), "numerator.retention_threshold_days"),
        (json!({"operation": "retention", "retention_threshold_days": 0}), "numerator.retention_threshold_days"),
        (
            json!({"operation": "retention", "retention_threshold_days": 7, "timeframe": {"end": 7, "unit": "days"}}),
            "numerator.retention_threshold_days",
        ),
        (json!({"operation": "sum", "conversion_threshold_days": 3}), "numerator.conversion_threshold_days"),
        (json!({"operation": "sum", "timeframe": days(0)}), "numerator.timeframe"),
        (json!({"operation": "sum", "timeframe": days(10_001)}), "numerator.timeframe"),
        (json!({"operation": "sum", "timeframe": {"start": 7, "end": 7, "unit": "days"}}), "numerator.timeframe"),
        (json!({"operation": "mean", "winsorization": {"upper_percentile": 0.9}}), "numerator.winsorization"),
        (json!({"operation": "sum", "winsorization": {}}), "numerator.winsorization"),
        (
            json!({"operation": "sum", "winsorization": {"upper_percentile": 1.5}}),
            "numerator.winsorization.upper_percentile",
        ),
        (
            json!({"operation": "sum", "winsorization": {"upper_percentile": 0.9, "upper_value": 3}}),
            "numerator.winsorization.upper_value",
        ),
        (
            json!({"operation": "sum", "winsorization": {"lower_value": 3, "upper_value": 3}}),
            "numerator.winsorization.upper_value",
        ),
        (
            json!({"operation": "sum", "filters": [{"property": "x", "operation": "equals", "values": ["a"]}]}),
            "numerator.filters[0].property",
        ),
        (
            json!({"operation": "sum", "filters": [{"property": "x", "operation": "equals", "values": []}]}),
            "numerator.filters[0].values",
        ),
        (json!({"operation": "first_value", "fact_id": rows}), "numerator.operation"),
        (json!({"operation": "count_distinct", "fact_id": rows}), "numerator.operation"),
    ];
    for (numerator, field) in cases {
        let mut given = json!({"fact_id": amounts});
        given.as_object_mut().unwrap().extend(numerator.as_object().unwrap().clone());
        let body = json!({"name": "m", "entity_id": definitions.entity, "kind": "simple", "numerator": given});
        let refused = server.post("/metrics", body).await.expect(422);
        assert_eq!(fields(&refused), [field], "{numerator}: {refused}");
    }
    server.stop().await;
}

async fn a_ratio_has_two_sides_that_cannot_leave_their_sources(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let fact = async |metric: &str| server.get(&format!("/metrics/{metric}")).await["numerator"]["fact_id"].clone();
    let (amounts, rows) = (fact(&definitions.metric).await, fact(&definitions.other_metric).await);
    let side = json!({"fact_id": amounts, "operation": "sum"});
    let of_kind = |kind: &str, denominator: Value| json!({"name": "m", "entity_id": definitions.entity, "kind": kind, "numerator": side, "denominator": denominator});
    assert_eq!(fields(&server.post("/metrics", of_kind("ratio", json!(null))).await.expect(422)), ["denominator"]);
    assert_eq!(fields(&server.post("/metrics", of_kind("simple", side.clone())).await.expect(422)), ["denominator"]);
    let ratio =
        server.post("/metrics", of_kind("ratio", json!({"fact_id": rows, "operation": "count"}))).await.expect(201);
    assert_eq!((&ratio["display"], &ratio["numerator"]["filters"]), (&json!("decimal"), &json!([])));
    let source = server.get("/fact_sources").await["items"][0].clone();
    let without = json!({"facts": [source["facts"][0]]});
    let path = format!("/fact_sources/{}", source["id"].as_str().unwrap());
    assert_eq!(server.patch(&path, without).await.expect(409)["type"], "urn:bellwether:problem:in-use");
    server.stop().await;
}

/// The fact of a column of numbers, and that of rows.
async fn facts(server: &Server, definitions: &Definitions) -> (Value, Value) {
    let fact = async |metric: &str| server.get(&format!("/metrics/{metric}")).await["numerator"]["fact_id"].clone();
    (fact(&definitions.metric).await, fact(&definitions.other_metric).await)
}

/// What is wrong with a percentile or a funnel, and the field that says so.
fn wrong_kinds(amounts: &Value, rows: &Value) -> Vec<(&'static str, Value, &'static str)> {
    let step = |fact: &Value| json!({"fact_id": fact});
    let steps = |count: usize| json!({"steps": vec![step(rows); count]});
    let window = |more: Value| json!({"steps": [step(rows), step(amounts)], "conversion_window": more});
    let level = |level: f64| json!({"fact_id": amounts, "level": level});
    let never = json!({"end": 0, "unit": "days"});
    let unknown = json!([{"property": "x", "operation": "equals", "values": ["a"]}]);
    vec![
        ("percentile", json!({"percentile": level(0.0)}), "percentile.level"),
        ("percentile", json!({"percentile": level(1.0)}), "percentile.level"),
        ("percentile", json!({"percentile": level(95.0)}), "percentile.level"),
        ("percentile", json!({"percentile": {"fact_id": amounts}}), "percentile.level"),
        (
            "percentile",
            json!({"percentile": {"fact_id": amounts, "level": 0.5, "operation": "sum"}}),
            "percentile.operation",
        ),
        ("percentile", json!({"percentile": {"fact_id": rows, "level": 0.5}}), "percentile.fact_id"),
        (
            "percentile",
            json!({"percentile": {"fact_id": amounts, "level": 0.5, "filters": unknown}}),
            "percentile.filters[0].property",
        ),
        (
            "percentile",
            json!({"percentile": {"fact_id": amounts, "level": 0.5, "timeframe": never}}),
            "percentile.timeframe",
        ),
        ("percentile", json!({}), "percentile"),
        (
            "percentile",
            json!({"percentile": level(0.5), "numerator": {"fact_id": amounts, "operation": "sum"}}),
            "numerator",
        ),
        (
            "simple",
            json!({"numerator": {"fact_id": amounts, "operation": "sum"}, "percentile": level(0.5)}),
            "percentile",
        ),
        ("simple", json!({}), "numerator"),
        ("funnel", json!({"funnel": steps(1)}), "funnel.steps"),
        ("funnel", json!({"funnel": steps(11)}), "funnel.steps"),
        (
            "funnel",
            json!({"funnel": {"steps": [step(rows), {"fact_id": "fac_00000000000000000000000000"}]}}),
            "funnel.steps[1].fact_id",
        ),
        ("funnel", json!({"funnel": {"steps": [step(rows), {"fact_id": rows, "name": " "}]}}), "funnel.steps[1].name"),
        (
            "funnel",
            json!({"funnel": {"steps": [step(rows), {"fact_id": rows, "filters": unknown}]}}),
            "funnel.steps[1].filters[0].property",
        ),
        ("funnel", json!({"funnel": window(json!({"length": 0, "unit": "days"}))}), "funnel.conversion_window.length"),
        (
            "funnel",
            json!({"funnel": window(json!({"length": 1, "unit": "calendar_days"}))}),
            "funnel.conversion_window.unit",
        ),
        (
            "funnel",
            json!({"funnel": window(json!({"length": 1, "unit": "days", "from": "start"}))}),
            "funnel.conversion_window.from",
        ),
        ("funnel", json!({"funnel": {"steps": [step(rows), step(rows)], "timeframe": never}}), "funnel.timeframe"),
        ("funnel", json!({"funnel": steps(2), "denominator": {"fact_id": rows, "operation": "count"}}), "denominator"),
    ]
}

async fn a_percentile_and_a_funnel_have_what_is_theirs_and_nothing_else(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let (amounts, rows) = facts(&server, &definitions).await;
    for (kind, fields_of_kind, field) in wrong_kinds(&amounts, &rows) {
        let mut body = json!({"name": "m", "entity_id": definitions.entity, "kind": kind});
        body.as_object_mut().unwrap().extend(fields_of_kind.as_object().unwrap().clone());
        let refused = server.post("/metrics", body.clone()).await.expect(422);
        assert_eq!(fields(&refused), [field], "{body}: {refused}");
    }

    let of_kind =
        |kind: &str, it: Value| json!({"name": kind, "entity_id": definitions.entity, "kind": kind, kind: it});
    let level = |level: f64| json!({"fact_id": amounts, "level": level});
    let percentile = server.post("/metrics", of_kind("percentile", level(0.95))).await.expect(201);
    assert_eq!((&percentile["percentile"]["filters"], &percentile["numerator"]), (&json!([]), &Value::Null));
    let path = format!("/metrics/{}", percentile["id"].as_str().unwrap());
    let refused = server.patch(&path, json!({"percentile": level(2.0)})).await.expect(422);
    assert_eq!(fields(&refused), ["percentile.level"]);
    assert_eq!(server.get(&path).await["percentile"], percentile["percentile"], "nothing was changed");

    let experiment = server.experiment(definitions.experiment("k")).await;
    let body = json!({"metric_id": percentile["id"], "winsorization": {"upper_percentile": 0.99}});
    let refused = server.post(&format!("/experiments/{experiment}/metrics"), body).await.expect(422);
    assert_eq!(fields(&refused), ["winsorization"]);
    server.stop().await;
}

async fn the_facts_of_all_steps_cannot_leave_their_sources(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let (amounts, rows) = facts(&server, &definitions).await;
    let step = |fact: &Value| json!({"fact_id": fact});
    // A fact that only a step holds, and not the last one.
    let source = server.get("/fact_sources").await["items"][0].clone();
    let path = format!("/fact_sources/{}", source["id"].as_str().unwrap());
    let mut facts = source["facts"].as_array().unwrap().clone();
    let without = json!({"facts": facts});
    facts.push(json!({"name": "clicks"}));
    let with = server.patch(&path, json!({"facts": facts})).await.expect(200);
    let clicks = with["facts"].as_array().unwrap().last().unwrap()["id"].clone();
    let given = json!({"steps": [step(&clicks), step(&rows)], "conversion_window": {"length": 2, "unit": "weeks"}});
    let metric = json!({"name": "f", "entity_id": definitions.entity, "kind": "funnel", "funnel": given});
    let funnel = server.post("/metrics", metric).await.expect(201);
    assert_eq!(funnel["funnel"]["conversion_window"]["from"], "assignment");
    let refused = server.patch(&path, without.clone()).await.expect(409);
    assert_eq!(refused["type"], "urn:bellwether:problem:in-use");
    let funnel = format!("/metrics/{}", funnel["id"].as_str().unwrap());
    server.patch(&funnel, json!({"funnel": {"steps": [step(&rows), step(&amounts)]}})).await.expect(200);
    server.patch(&path, without).await.expect(200);
    server.delete(&funnel).await.expect(204);
    server.stop().await;
}

async fn what_an_experiment_sets_for_a_metric_is_configuration(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let id = server.experiment(definitions.experiment("k")).await;
    let path = format!("/experiments/{id}/metrics");
    let week = json!({"start": 0, "end": 7, "unit": "days", "only_aged": false});
    let body = json!({"metric_id": definitions.metric, "timeframe": week});
    server.post(&path, body.clone()).await.expect(201);
    assert_eq!(server.post(&path, body).await.expect(200)["revision"], 2, "the same again changes nothing");
    let attached = server.get(&path).await["items"][0].clone();
    assert_eq!((&attached["timeframe"], &attached["winsorization"]), (&week, &Value::Null));

    let one = format!("{path}/{}", definitions.metric);
    let edit = json!({"is_primary": true, "timeframe": null, "minimum_detectable_effect": 0.02});
    assert_eq!(server.patch(&one, edit.clone()).await.expect(200)["revision"], 3, "one edit, one event");
    assert_eq!(server.patch(&one, edit).await.expect(200)["revision"], 3);
    assert_eq!(log(&server, 3).await[2], ("experiment.configuration.updated".to_owned(), 3));
    let history = server.get(&format!("/experiments/{id}/history")).await;
    let latest = history["items"].as_array().unwrap().iter().find(|change| change["revision"] == 3).unwrap();
    let metric = format!("metrics.{}", definitions.metric);
    let expected = json!([
        {"field": "primary_metric_id", "from": null, "to": definitions.metric},
        {"field": format!("{metric}.timeframe"), "from": week, "to": null},
        {"field": format!("{metric}.minimum_detectable_effect"), "from": null, "to": 0.02},
    ]);
    assert_eq!(latest["changes"], expected);

    let refused = server.patch(&one, json!({"timeframe": {"end": 0, "unit": "days"}})).await.expect(422);
    assert_eq!(fields(&refused), ["timeframe"]);
    let refused = server.patch(&one, json!({"minimum_detectable_effect": -1, "primary": true})).await.expect(422);
    assert_eq!(fields(&refused), ["primary"]);
    let conversion = json!({"name": "c", "entity_id": definitions.entity, "kind": "simple", "numerator":
        {"fact_id": server.get(&format!("/metrics/{}", definitions.metric)).await["numerator"]["fact_id"], "operation": "conversion"}});
    let conversion = server.make("/metrics", conversion).await;
    let body = json!({"metric_id": conversion, "winsorization": {"upper_percentile": 0.99}});
    assert_eq!(fields(&server.post(&path, body).await.expect(422)), ["winsorization"]);
    assert_eq!(server.get(&format!("/experiments/{id}")).await["revision"], 3);
    server.stop().await;
}

on_both!(
    what_an_operation_cannot_be_given_is_refused_by_its_field,
    a_ratio_has_two_sides_that_cannot_leave_their_sources,
    a_percentile_and_a_funnel_have_what_is_theirs_and_nothing_else,
    the_facts_of_all_steps_cannot_leave_their_sources,
    what_an_experiment_sets_for_a_metric_is_configuration
);
