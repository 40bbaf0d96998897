//! Eppo's API over real HTTP: what programs that were written for it send, and what they get.

mod editing;
mod reading;
mod rollout;

use bellwether_testkit::databases::Database;
use http::Method;
use serde_json::{Value, json};

use crate::server::{ADMIN_KEY, Answer, Definitions, Server};

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
