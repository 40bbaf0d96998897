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
    what_an_experiment_sets_for_a_metric_is_configuration
);
