//! The whole server over real HTTP: what a user does, what the API shows of it, and what a receiver gets.

mod bad_bodies;
mod bad_input;
mod bad_rows;
mod broken_commits;
mod by_hand;
mod definitions;
mod documented;
mod door;
mod encryption_key;
mod endpoints;
mod eppo;
mod events_table;
mod failures;
mod filters;
mod folder;
mod health;
mod https;
mod idempotency;
mod keys;
mod lists;
mod locks;
mod log;
mod metrics;
mod outcomes;
pub mod people;
mod recoveries;
mod refusals;
mod restart;
mod retention;
mod rotation;
mod schedules;
mod story;
mod stream;
mod telemetry;
mod uploads;
mod waits;

use serde_json::{Value, json};

use crate::server::{Server, quick_retries};

/// An endpoint that hears everything, quick to try again; gives its id and its secret.
pub async fn subscribe(server: &Server, url: &str) -> (String, String) {
    subscribe_with(server, json!({"url": url})).await
}

/// The same with more fields, which win.
pub async fn subscribe_with(server: &Server, fields: Value) -> (String, String) {
    let mut body = json!({"retry_schedule": quick_retries()});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let made = server.post("/endpoints", body).await.expect(201);
    let text = |name: &str| made[name].as_str().expect("the answer tells it").to_owned();
    (text("id"), text("secret"))
}

/// Renames an experiment, which is one event.
pub async fn rename(server: &Server, id: i64, name: &str) {
    server.patch(&format!("/experiments/{id}"), json!({"name": name})).await.expect(200);
}

/// Every event of the log, as type and revision, in order. Waits until there are `count`.
pub async fn log(server: &Server, count: usize) -> Vec<(String, i64)> {
    let page = server.eventually("/events?limit=250", |page| items(page).len() >= count).await;
    let of = |item: &Value| (item["event"].as_str().unwrap().to_owned(), item["revision"].as_i64().unwrap());
    items(&page).iter().map(of).collect()
}

/// What became of the event of an experiment's revision for an endpoint, and why.
pub async fn why(server: &Server, experiment: i64, revision: i64, endpoint: &str) -> Value {
    let path = format!("/events?limit=250&experiment={experiment}");
    let is_it = move |item: &&Value| item["revision"] == revision;
    let log = server.eventually(&path, |page| items(page).iter().any(|item| is_it(&item))).await;
    let event = items(&log).iter().find(is_it).expect("it is there")["id"].as_str().unwrap().to_owned();
    server.get(&format!("/events/{event}/endpoints/{endpoint}")).await
}

/// The endpoint's only delivery of an experiment's revision, once it is in `state`.
pub async fn delivery(server: &Server, endpoint: &str, revision: i64, state: &str) -> Value {
    let path = format!("/deliveries?endpoint={endpoint}&state={state}");
    let is_it = move |item: &&Value| item["revision"] == revision;
    let page = server.eventually(&path, |page| items(page).iter().any(|item| is_it(&item))).await;
    items(&page).iter().find(is_it).expect("it is there").clone()
}

pub fn items(page: &Value) -> &Vec<Value> {
    page["items"].as_array().expect("a list")
}
