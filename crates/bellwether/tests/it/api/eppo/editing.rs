//! Making experiments and metrics, and editing metrics: in numbers, and nothing ignored that would change them.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::{Value, json};

use super::{ask, get, running, send};
use crate::server::{ADMIN_KEY, Server};

async fn an_experiment_is_made_as_a_draft(database: Database) {
    let (server, ..) = running(&database).await;
    let body = json!({
        "name": "Banner", "experiment_key": "banner", "entity_id": 1, "assignment_source_id": "1", "hypothesis": "more",
        "traffic_allocation": 0.4, "assignments_start_date": "2099-01-01T00:00:00Z", "assignments_end_date": "2099-02-01",
        "variations": [
            {"name": "Control", "variant_key": "control", "is_control": true, "is_active": true, "weighted_expected_traffic": 0.75},
            {"variant_key": "b", "is_active": true, "is_control": false, "weighted_expected_traffic": 0.25},
        ],
        "metrics": [{"metric_id": 2, "is_primary": true}, {"metric_id": 1, "is_primary": false}],
    });
    let made = ask(&server, Method::POST, "/experiments", body.clone()).await.expect(201);
    assert_eq!((&made["status"], &made["experiment_key"]), (&json!("Draft"), &json!("banner")));
    assert_eq!(made["assignments_end_date"], "2099-02-02T00:00:00Z", "a bare day is included whole");
    assert_eq!(made["variations"][0]["weighted_expected_traffic"], 0.75);
    let id = made["id"].as_i64().unwrap();
    let attached = server.get(&format!("/experiments/{id}/metrics")).await;
    let attached: Vec<_> = attached["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["name"].clone(), item["is_primary"].clone()))
        .collect();
    assert_eq!(attached, [(json!("revenue per user"), json!(true)), (json!("orders per user"), json!(false))]);
    // The same again, and what is wrong with others.
    let taken = ask(&server, Method::POST, "/experiments", body.clone()).await.expect(409);
    assert!(taken["message"].as_str().unwrap().contains("banner"), "{taken}");
    let wrong = |change: &[(&str, Value)]| {
        let mut body = body.clone();
        body["experiment_key"] = json!("other");
        for (pointer, value) in change {
            match body.pointer_mut(pointer) {
                Some(place) => *place = value.clone(),
                None => body[pointer.trim_start_matches('/')] = value.clone(),
            }
        }
        body
    };
    for (body, field) in [
        (wrong(&[("/entity_id", json!(7))]), "entity_id"),
        (wrong(&[("/assignment_source_id", json!(7))]), "assignment_source_id"),
        (wrong(&[("/metrics/0/metric_id", json!(7))]), "metrics[0].metric_id"),
        (wrong(&[("/metrics/1/is_primary", json!(true))]), "metrics[1].is_primary"),
        (wrong(&[("/variations/0/weighted_expected_traffic", Value::Null)]), "variations"),
        (wrong(&[("/variations/1/weighted_expected_traffic", json!(-1))]), "variations[1].weighted_expected_traffic"),
        (wrong(&[("/variations/1/variant_key", json!("control"))]), "variations[1].variant_key"),
        (wrong(&[("/traffic_allocation", json!(40))]), "traffic_allocation"),
        (wrong(&[("/assignments_start_date", json!("soon"))]), "assignments_start_date"),
        (wrong(&[("/experiment_key", json!(""))]), "experiment_key"),
        (wrong(&[("/holdout_id", json!(3))]), "holdout_id"),
        (wrong(&[("/entity_id", json!(1.5))]), "entity_id"),
    ] {
        let told = ask(&server, Method::POST, "/experiments", body).await.expect(422);
        assert_eq!(told["errors"][0]["field"], field, "{told}");
    }
    for body in ["{", "[]", "{\"name\": \"a\", \"name\": \"b\"}", "nothing"] {
        let told = send(&server, ADMIN_KEY, Method::POST, "/experiments", body.to_owned()).await.expect(400);
        assert_eq!((&told["statusCode"], &told["error"]), (&json!(400), &json!("Bad Request")), "{body}");
    }
    server.stop().await;
}

async fn an_experiment_is_edited_and_deleted(database: Database) {
    let (server, _, id) = running(&database).await;
    let path = format!("/experiments/{id}");
    let variations = json!([{"variant_key": "control", "is_control": true}, {"variant_key": "blue"}]);
    let body = json!({"name": "New", "tags": ["q2"], "assignments_end_date": "2099-01-01", "variations": variations});
    let edited = ask(&server, Method::PUT, &path, body.clone()).await.expect(200);
    assert_eq!(
        (&edited["name"], &edited["tags"], &edited["status"]),
        (&json!("New"), &json!(["q2"]), &json!("Running"))
    );
    assert_eq!(edited["variations"][1]["variant_key"], "blue");
    let kept = get(&server, &path).await;
    assert_eq!(
        (&kept["experiment_key"], &kept["entity_id"]),
        (&json!("checkout-cta"), &json!(1)),
        "not named, not edited"
    );
    for (body, field) in [
        (json!({"metrics": []}), "metrics"),
        (json!({"status": "Concluded"}), "status"),
        (json!({"experiment_key": "other"}), "experiment_key"),
        (json!({"entity_id": 9}), "entity_id"),
        (json!({"assignments_end_date": "2020-01-01"}), "assignments_end_date"),
    ] {
        let told = ask(&server, Method::PUT, &path, body).await.expect(422);
        assert_eq!(told["errors"][0]["field"], field, "{told}");
    }
    let gone = ask(&server, Method::DELETE, &format!("{path}/"), Value::Null).await.expect(200);
    assert_eq!((&gone["id"], &gone["is_deleted"]), (&json!(id), &json!(true)));
    ask(&server, Method::DELETE, &path, Value::Null).await.expect(404);
    ask(&server, Method::PUT, &path, body).await.expect(404);
    server.stop().await;
}

async fn metric(server: &Server, body: Value) -> Value {
    ask(server, Method::POST, "/metrics", body).await.expect(201)
}

async fn metrics_of_every_kind_are_made_and_edited(database: Database) {
    let (server, ..) = running(&database).await;
    let count = json!({"metric_event_measure_id": 2, "operation": "count", "filters": []});
    let revenue = json!({"metric_event_measure_id": 1, "operation": "sum", "filters": []});
    let simple = json!({
        "name": "Orders", "description": "how many", "metric_display_style": "decimal", "minimum_detectable_effect": 0.05,
        "entity_id": 1, "desired_change": "increase", "numerator": count, "denominator": null,
    });
    let made = metric(&server, simple.clone()).await;
    for field in
        ["name", "description", "metric_display_style", "minimum_detectable_effect", "desired_change", "numerator"]
    {
        assert_eq!(made[field], simple[field], "{field}");
    }
    let ratio =
        metric(&server, json!({"name": "Basket", "entity_id": 1, "numerator": revenue, "denominator": count})).await;
    assert_eq!((&ratio["type"], &ratio["denominator"]), (&json!("ratio"), &count));
    let percentile = json!({"metric_event_measure_id": 1, "filters": [], "percentile_value": 0.95});
    let made =
        metric(&server, json!({"name": "p95", "entity_id": "1", "type": "percentile", "percentile": percentile})).await;
    assert_eq!(made["percentile"], percentile);
    let funnel = json!({
        "funnel_steps": [{"metric_event_measure_id": 2}, {"metric_event_measure_id": 1}],
        "conversion_time_from": "firstEvent", "conversion_time_value": 120, "conversion_time_units": "seconds",
    });
    let made = metric(&server, json!({"name": "Funnel", "entity_id": 1, "funnel_aggregation": funnel})).await;
    let shown = &made["funnel_aggregation"];
    assert_eq!((&shown["conversion_time_value"], &shown["conversion_time_units"]), (&json!(2.0), &json!("minutes")));
    let words = ["countDistinct", "countDistinctValue", "timeTo", "lastValue", "firstValue", "mean"];
    for operation in words {
        let numerator = json!({"metric_event_measure_id": 1, "operation": operation, "filters": []});
        let made = metric(&server, json!({"name": operation, "entity_id": 1, "numerator": numerator})).await;
        assert_eq!(get(&server, &format!("/metrics/{}", made["id"])).await["numerator"], numerator);
    }
    let more = [
        json!({"operation": "retention", "retention_threshold_days": 7.0}),
        json!({"operation": "conversion", "conversion_threshold_days": 3.0}),
        json!({"operation": "threshold", "threshold_metric_settings":
            {"comparison_operator": "gte", "aggregation_type": "sum", "breach_value": 10.0}}),
    ];
    for mut numerator in more {
        numerator["metric_event_measure_id"] = json!(1);
        numerator["filters"] = json!([]);
        let made =
            metric(&server, json!({"name": numerator["operation"], "entity_id": 1, "numerator": numerator})).await;
        assert_eq!(made["numerator"], numerator);
    }
    server.stop().await;
}

async fn an_edit_keeps_what_it_does_not_say(database: Database) {
    let (server, definitions, _) = running(&database).await;
    let ours = format!("/metrics/{}", definitions.metric);
    let timeframe = json!({"start": 0, "end": 7, "unit": "days", "only_aged": true});
    let fact = server.get(&ours).await["numerator"]["fact_id"].clone();
    let winsorization = json!({"upper_percentile": 0.99, "subjects": "positive"});
    let numerator =
        json!({"fact_id": fact, "operation": "sum", "timeframe": timeframe, "winsorization": winsorization});
    server.patch(&ours, json!({"numerator": numerator})).await.expect(200);
    // A client that knows of no timeframe renames it, and gives what it knows of the rest.
    let body =
        json!({"name": "Revenue", "entity_id": 1, "numerator": {"metric_event_measure_id": 1, "operation": "sum"}});
    let edited = ask(&server, Method::PUT, "/metrics/2", body).await.expect(200);
    assert_eq!(
        (&edited["name"], &edited["numerator"]["aggregation_timeframe_end_value"]),
        (&json!("Revenue"), &json!(7.0))
    );
    let kept = server.get(&ours).await;
    assert_eq!((&kept["numerator"]["timeframe"], &kept["name"]), (&timeframe, &json!("Revenue")));
    assert_eq!(kept["numerator"]["winsorization"]["subjects"], "positive");
    // What was read can be written back as it is.
    let read = get(&server, "/metrics/2").await;
    ask(&server, Method::PUT, "/metrics/2", read).await.expect(200);
    assert_eq!(server.get(&ours).await["version"], kept["version"], "nothing was changed");
    let both = json!({"numerator": {"metric_event_measure_id": 1, "operation": "sum"},
                      "percentile": {"metric_event_measure_id": 1, "percentile_value": 0.5}});
    for (body, field) in [
        (both, "numerator"),
        (json!({"denominator": {"metric_event_measure_id": 1, "operation": "sum"}}), "denominator"),
        (json!({"numerator": {"metric_event_measure_id": 9, "operation": "sum"}}), "numerator.metric_event_measure_id"),
        (json!({"numerator": {"operation": "sum"}}), "numerator.metric_event_measure_id"),
        (json!({"numerator": {"metric_event_measure_id": 1, "operation": "median"}}), "numerator.operation"),
        (
            json!({"numerator": {"metric_event_measure_id": 1, "operation": "sum", "filters":
            [{"metric_event_dimension_id": 1, "operation": "EQUALS", "values": ["x"]}]}}),
            "numerator.filters[0].metric_event_dimension_id",
        ),
        (
            json!({"numerator": {"metric_event_measure_id": 1, "operation": "retention", "retention_threshold_days": 1.5}}),
            "numerator.retention_threshold_days",
        ),
        (
            json!({"numerator": {"metric_event_measure_id": 1, "operation": "threshold", "threshold_metric_settings":
            {"comparison_operator": "gte", "aggregation_type": "sum", "breach_value": 0}}}),
            "numerator.threshold_metric_settings.breach_value",
        ),
        (json!({"percentile": {"metric_event_measure_id": 1, "percentile_value": 95}}), "percentile.percentile_value"),
        (
            json!({"funnel_aggregation": {"funnel_steps": [{"metric_event_measure_id": 1}]}}),
            "funnel_aggregation.funnel_steps",
        ),
        (json!({"type": "funnel"}), "type"),
        (json!({"team_id": 5}), "team_id"),
        (json!({"colour": "red"}), "colour"),
        (json!({"minimum_detectable_effect": 500}), "minimum_detectable_effect"),
    ] {
        let told = ask(&server, Method::PUT, "/metrics/2", body).await.expect(422);
        assert_eq!(told["errors"][0]["field"], field, "{told}");
    }
    ask(&server, Method::PUT, "/metrics/99", json!({"name": "x"})).await.expect(404);
    assert_eq!(server.get(&ours).await["version"], kept["version"], "nothing was changed");
    server.stop().await;
}

on_both!(
    an_experiment_is_made_as_a_draft,
    an_experiment_is_edited_and_deleted,
    metrics_of_every_kind_are_made_and_edited,
    an_edit_keeps_what_it_does_not_say,
);
