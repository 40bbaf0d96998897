//! Lists as a user asks for them: searched, filtered, sorted, page by page; and what is refused.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::{Value, json};

use super::items;
use crate::server::{ADMIN_KEY, Definitions, Server, draft};

fn keys(page: &Value) -> Vec<&str> {
    items(page).iter().map(|item| item["key"].as_str().unwrap()).collect()
}

async fn experiments_are_found_by_what_they_say(database: Database) {
    let server = Server::start(&database).await;
    for (key, name, owner) in [("checkout-cta", "Zebra", "Ada"), ("search", "apple", "Bob"), ("basket", "Mango", "Ada")]
    {
        let mut body = draft(key);
        (body["name"], body["owner"]) = (name.into(), owner.into());
        server.experiment(body).await;
    }
    server.patch("/experiments/key:basket", json!({"hypothesis": "A larger CTA sells more."})).await.expect(200);
    let list = async |query: &str| server.get(&format!("/experiments?{query}")).await;
    assert_eq!(keys(&list("search=cta").await), ["checkout-cta", "basket"]);
    assert_eq!(keys(&list("search=CTA+sell").await), ["basket"]);
    assert_eq!(keys(&list("sort=name").await), ["search", "basket", "checkout-cta"]);
    assert_eq!(keys(&list("sort=-updated_at&limit=1").await), ["basket"]);
    assert_eq!(keys(&list("owner=Ada&sort=-name").await), ["checkout-cta", "basket"]);
    assert_eq!(keys(&list("owner=ada").await), [""; 0], "exactly this text");
    assert_eq!(keys(&list("status=running,draft&search=apple").await), ["search"]);
    let first = list("sort=name&limit=2").await;
    let next = first["next"].as_str().unwrap();
    assert_eq!(keys(&list(&format!("sort=name&limit=2&after={next}")).await), ["checkout-cta"]);
    server.delete("/experiments/key:search").await.expect(204);
    assert_eq!(keys(&list("search=apple").await), [""; 0]);
    server.stop().await;
}

async fn definitions_are_found_by_name_and_by_what_they_refer_to(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let team = server.post("/teams", json!({"name": "Growth", "description": "sells more"})).await.expect(201);
    let (team, metric) = (team["id"].as_str().unwrap(), &definitions.metric);
    server.patch(&format!("/metrics/{metric}"), json!({"team_id": team})).await.expect(200);
    let found = async |path: &str| items(&server.get(path).await).len();
    assert_eq!(found("/teams?search=sell+grow").await, 1);
    assert_eq!(found(&format!("/metrics?team_id={team}")).await, 1);
    assert_eq!(found(&format!("/metrics?entity_id={}&search=nothing", definitions.entity)).await, 0);
    let refused = server.delete(&format!("/teams/{team}")).await;
    assert!(refused.expect(409)["detail"].as_str().unwrap().contains("the metric '"), "{refused:?}");
    let mut body = draft("k");
    body["team_id"] = json!("team_00000000000000000000000000");
    let refused = server.post("/experiments", body).await.expect(422);
    assert_eq!(refused["errors"][0]["field"], "team_id", "{refused}");
    server.stop().await;
}

async fn what_a_list_cannot_be_asked_for_is_refused_by_name(database: Database) {
    let server = Server::start(&database).await;
    let after_name = "WyItbmFtZSIsImEiLDFd";
    for (path, field, said) in [
        ("/experiments?sort=status", "sort", "updated_at"),
        ("/experiments?sort=", "sort", "updated_at"),
        ("/experiments?search=-", "search", "from 1 to 10 words"),
        ("/experiments?search=%00", "search", "U+0000"),
        ("/experiments?status=draft,", "status", "ready_for_review"),
        ("/experiments?entity_id=x", "entity_id", "ent_"),
        ("/experiments?created_since=yesterday", "created_since", "yesterday"),
        ("/experiments?query=x", "query", "unknown"),
        ("/experiments?sort=name&after=7", "after", "sort=name"),
        (&format!("/experiments?sort=name&after={after_name}"), "after", "sort=name"),
        ("/metrics?warehouse_id=wh_00000000000000000000000000", "warehouse_id", "entity_id, team_id"),
        ("/entities?after=met_00000000000000000000000000", "after", "sort=id"),
    ] {
        let refused = server.call_as(ADMIN_KEY, Method::GET, path, Value::Null).await.expect(422);
        let error = &refused["errors"][0];
        assert_eq!(error["field"], field, "{path}: {refused}");
        assert!(error["message"].as_str().unwrap().contains(said), "{path}: {refused}");
    }
    server.stop().await;
}

on_both!(
    experiments_are_found_by_what_they_say,
    definitions_are_found_by_name_and_by_what_they_refer_to,
    what_a_list_cannot_be_asked_for_is_refused_by_name,
);
