//! Eppo's API over real HTTP: what programs that were written for it send, and what they get.

mod editing;
mod package;
mod reading;
mod rollout;
mod syncing;

use bellwether_testkit::databases::Database;
use http::Method;
use serde_json::{Value, json};

use crate::server::{ADMIN_KEY, Answer, Definitions, Server, config};

/// As a program that knows Eppo's API alone; `path` is below /eppo/api/v1.
pub async fn ask(server: &Server, method: Method, path: &str, body: Value) -> Answer {
    ask_as(server, ADMIN_KEY, method, path, body).await
}

pub async fn ask_as(server: &Server, key: &str, method: Method, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(server, key, method, path, body).await
}

/// The same with a body that may be no JSON.
pub async fn send(server: &Server, key: &str, method: Method, path: &str, body: String) -> Answer {
    let headers = [("x-eppo-token", key), ("content-type", "application/json"), ("accept", "application/json")];
    server.raw(method, &format!("//eppo/api/v1{path}"), &headers, body).await
}

pub async fn get(server: &Server, path: &str) -> Value {
    ask(server, Method::GET, path, Value::Null).await.expect(200)
}

/// The numbers of what a list holds, in its order.
pub fn numbers(list: &Value) -> Vec<i64> {
    list.as_array().expect("a bare array").iter().map(|item| item["id"].as_i64().expect("a number")).collect()
}

/// A server with definitions, and an experiment that runs.
async fn running(database: &Database) -> (Server, Definitions, i64) {
    let server = Server::start(database).await;
    let definitions = Definitions::make(&server, database).await;
    let mut body = definitions.experiment("checkout-cta");
    body["tags"] = json!(["checkout", "q1"]);
    let id = server.experiment(body).await;
    server.post(&format!("/experiments/{id}/start"), Value::Null).await.expect(200);
    (server, definitions, id)
}

/// A server with definitions whose warehouse is the one that synced sources lie in; its folder has the table `orders`.
async fn syncable(database: &Database) -> (Server, Definitions) {
    let server = Server::start(database).await;
    let definitions = Definitions::make(&server, database).await;
    let warehouse = server.get("/warehouses").await["items"][0]["id"].as_str().unwrap().to_owned();
    server.stop().await;
    let orders = "user_id,at,amount,country\nu1,2026-03-02T10:00:00Z,7,de\nu2,2026-03-02T10:00:00Z,9,fr\n";
    std::fs::write(database.folder().join("files/orders.csv"), orders).unwrap();
    (restarted(database, &warehouse).await, definitions)
}

async fn restarted(database: &Database, warehouse: &str) -> Server {
    let default_warehouse_id = Some(warehouse.parse().unwrap());
    Server::with(bellwether::config::Config { default_warehouse_id, ..config(database) }).await
}

/// What a folder of files declares.
fn payload(tag: &str, metrics: Value) -> Value {
    json!({
        "sync_tag": tag, "reference_url": "https://git.example/metrics",
        "fact_sources": [{
            "name": "Purchases", "sql": "SELECT * FROM orders", "timestamp_column": "at",
            "entities": [{"entity_name": "user", "column": "user_id"}],
            "facts": [
                {"name": "Spent", "column": "amount", "description": "What was paid", "desired_change": "increase"},
                {"name": "Bought", "column": null},
            ],
            "properties": [{"name": "Country", "column": "country", "description": "", "include_experiment_computation": false}],
            "always_full_refresh": true,
        }],
        "metrics": metrics,
    })
}

fn sum(name: &str) -> Value {
    json!({"name": name, "entity": "user", "numerator": {"fact_name": "Spent", "operation": "sum"}})
}
