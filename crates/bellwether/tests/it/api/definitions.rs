//! What definitions tell of themselves besides their bodies: who changed them, their numbers, and who uses them.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use serde_json::{Value, json};

use super::items;
use crate::server::{Definitions, Server};

async fn each_change_stands_in_the_history_with_who_made_it(database: Database) {
    let server = Server::start(&database).await;
    let id = server.make("/entities", json!({"name": "user"})).await;
    let path = format!("/entities/{id}");
    server.patch(&path, json!({"name": "user"})).await.expect(200);
    server.patch(&path, json!({"name": "person"})).await.expect(200);
    server.delete(&path).await.expect(204);
    let history = server.get(&format!("{path}/history")).await;
    let told: Vec<_> = items(&history)
        .iter()
        .map(|entry| (entry["version"].clone(), entry["action"].clone(), entry["changes"].clone()))
        .collect();
    let change = |from: Value, to: Value| json!([{"field": "name", "from": from, "to": to}]);
    assert_eq!(
        told,
        [
            (json!(1), json!("created"), change(Value::Null, json!("user"))),
            (json!(2), json!("edited"), change(json!("user"), json!("person"))),
            (json!(3), json!("deleted"), change(json!("person"), Value::Null)),
        ]
    );
    assert!(items(&history).iter().all(|entry| entry["actor"]["type"] == "key"), "{history}");
    let page = server.get(&format!("{path}/history?after=1&limit=1")).await;
    assert_eq!((items(&page).len(), &items(&page)[0]["version"]), (1, &json!(2)));
    let unknown = format!("/entities/ent_{}/history", "0".repeat(26));
    server.call_as(crate::server::ADMIN_KEY, http::Method::GET, &unknown, Value::Null).await.expect(404);
    server.stop().await;
}

async fn numbers_count_each_kind_and_are_never_given_again(database: Database) {
    let server = Server::start(&database).await;
    let number = async |id: &str| server.get(&format!("/entities/{id}")).await["number"].clone();
    let first = server.make("/entities", json!({"name": "a"})).await;
    let second = server.make("/entities", json!({"name": "b"})).await;
    assert_eq!((number(&first).await, number(&second).await), (json!(1), json!(2)));
    server.patch(&format!("/entities/{first}"), json!({"name": "c"})).await.expect(200);
    assert_eq!(number(&first).await, json!(1), "an edit keeps it");
    server.delete(&format!("/entities/{second}")).await.expect(204);
    let third = server.make("/entities", json!({"name": "b"})).await;
    assert_eq!(number(&third).await, json!(3));
    server.stop().await;
}

async fn facts_and_properties_keep_their_numbers_by_name(database: Database) {
    let server = Server::start(&database).await;
    Definitions::make(&server, &database).await;
    let source = items(&server.get("/fact_sources").await)[0].clone();
    let path = format!("/fact_sources/{}", source["id"].as_str().unwrap());
    let numbers = |of: &Value| -> Vec<i64> {
        of.as_array().unwrap().iter().map(|fact| fact["number"].as_i64().unwrap()).collect()
    };
    assert_eq!(numbers(&source["facts"]), [1, 2]);
    let properties = json!([{"name": "country", "column": "country"}, {"name": "device", "column": "device"}]);
    let edited = server.patch(&path, json!({"properties": properties})).await.expect(200);
    assert_eq!(numbers(&edited["properties"]), [1, 2]);
    let properties = json!([{"name": "shop", "column": "shop"}, {"name": "device", "column": "gadget"}]);
    let edited = server.patch(&path, json!({"properties": properties})).await.expect(200);
    assert_eq!(numbers(&edited["properties"]), [3, 2], "device keeps its own, whatever its column");
    // What was read can be sent back as it stands.
    let same = json!({"facts": edited["facts"], "properties": edited["properties"]});
    assert_eq!(server.patch(&path, same).await.expect(200)["version"], edited["version"]);
    let refused = server.patch(&path, json!({"properties": [{"name": "device", "column": "d", "number": 9}]})).await;
    assert!(refused.expect(422)["detail"].as_str().unwrap().contains("it is 2 and stays so"));
    server.stop().await;
}

async fn what_is_in_use_says_by_what(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let id = server.experiment(definitions.experiment("checkout")).await;
    let metric = json!({"metric_id": definitions.metric});
    server.post(&format!("/experiments/{id}/metrics"), metric).await.expect(201);
    let detail = async |path: &str| {
        let refused = server.delete(path).await.expect(409);
        assert_eq!(refused["type"], "urn:bellwether:problem:in-use", "{path}");
        refused["detail"].as_str().unwrap().to_owned()
    };
    let warehouse = items(&server.get("/warehouses").await)[0]["id"].as_str().unwrap().to_owned();
    let facts = items(&server.get("/fact_sources").await)[0]["id"].as_str().unwrap().to_owned();
    for (path, users) in [
        (
            format!("/entities/{}", definitions.entity),
            vec![
                "assignment source 'assignments'",
                "experiment 'checkout'",
                "fact source 'orders'",
                "metric 'revenue per user'",
            ],
        ),
        (format!("/warehouses/{warehouse}"), vec!["assignment source 'assignments'", "fact source 'orders'"]),
        (format!("/assignment_sources/{}", definitions.source), vec!["experiment 'checkout'"]),
        (format!("/fact_sources/{facts}"), vec!["metric 'revenue per user'", "metric 'orders per user'"]),
        (format!("/metrics/{}", definitions.metric), vec!["experiment 'checkout'"]),
        (format!("/metrics/{}", definitions.other_metric), vec!["collection 'guardrails'"]),
    ] {
        let detail = detail(&path).await;
        for user in users {
            assert!(detail.contains(&format!("the {user}")), "{path}: {detail}");
        }
    }
    let schedule = server.make("/schedules", json!({"name": "yearly", "cron": "0 6 1 1 *"})).await;
    let path = format!("/experiments/{id}");
    let uses = json!({"schedule_id": schedule, "entry_point": {"fact_source_id": facts}});
    server.patch(&path, uses).await.expect(200);
    assert!(detail(&format!("/schedules/{schedule}")).await.contains("the experiment 'checkout'"));
    server.delete(&path).await.expect(204);
    for path in [
        format!("/schedules/{schedule}"),
        format!("/metrics/{}", definitions.metric),
        format!("/assignment_sources/{}", definitions.source),
    ] {
        server.delete(&path).await.expect(204);
    }
    server.stop().await;
}

/// Facts may change names among themselves; what metrics filter by or are of is not taken from under them.
async fn what_metrics_go_by_stays_in_their_source(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let source = items(&server.get("/fact_sources").await)[0].clone();
    let path = format!("/fact_sources/{}", source["id"].as_str().unwrap());
    let mut facts = source["facts"].clone();
    let names: Vec<_> = (0..2).map(|i| facts[i]["name"].clone()).collect();
    (facts[0]["name"], facts[1]["name"]) = (names[1].clone(), names[0].clone());
    let edited = server.patch(&path, json!({"facts": facts})).await.expect(200);
    assert_eq!(edited["facts"], facts, "each with its own id");

    let property = |name: &str| json!([{"name": name, "column": "country"}]);
    server.patch(&path, json!({"properties": property("country")})).await.expect(200);
    let mut metric = server.get(&format!("/metrics/{}", definitions.metric)).await;
    metric["numerator"]["filters"] = json!([{"property": "country", "operation": "equals", "values": ["de"]}]);
    let filtered = json!({"numerator": metric["numerator"]});
    server.patch(&format!("/metrics/{}", definitions.metric), filtered).await.expect(200);
    for properties in [property("land"), json!([])] {
        let refused = server.patch(&path, json!({"properties": properties})).await.expect(422);
        assert_eq!(refused["errors"][0]["field"], "properties");
        let message = refused["errors"][0]["message"].as_str().unwrap();
        assert!(
            message.contains("'country' is left out, and the metric 'revenue per user' filters by it"),
            "{message}"
        );
    }
    let by_name = facts.as_array().unwrap().iter().map(|fact| json!({"name": fact["name"], "column": fact["column"]}));
    let by_name = json!({"facts": by_name.collect::<Value>()});
    assert_eq!(server.patch(&path, by_name).await.expect(200)["facts"], facts, "known by their names");
    let refused = server.patch(&path, json!({"facts": [facts[0]]})).await.expect(409);
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("is still referred to by the metric '"), "{detail}");
    let other = server.make("/entities", json!({"name": "device"})).await;
    let entities = json!([{"entity_id": other, "column": "device_id"}]);
    let refused = server.patch(&path, json!({"entities": entities})).await.expect(422);
    assert_eq!(refused["errors"][0]["field"], "entities", "{refused}");
    // Its column is another matter.
    let moved = json!([{"name": "country", "column": "land"}, {"name": "shop", "column": "shop"}]);
    server.patch(&path, json!({"properties": moved})).await.expect(200);
    server.stop().await;
}

on_both!(
    what_metrics_go_by_stays_in_their_source,
    each_change_stands_in_the_history_with_who_made_it,
    numbers_count_each_kind_and_are_never_given_again,
    facts_and_properties_keep_their_numbers_by_name,
    what_is_in_use_says_by_what,
);
