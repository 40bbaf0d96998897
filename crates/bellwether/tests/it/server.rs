//! The whole server, asked over real HTTP, and the definitions that most tests need.

use std::sync::Arc;

use bellwether::app::{self, Running};
use bellwether::config::Config;
use bellwether::domain::address::AddressPolicy;
use bellwether::domain::clock::Clock;
use bellwether_bench::api::Api;
use bellwether_testkit::databases::Database;
use bellwether_testkit::receiver::PATIENCE;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};

/// The first admin key of every server here.
pub const ADMIN_KEY: &str = "bw_01jzzzzzzzzzzzzzzzzzzzzzzz_0123456789abcdef0123456789abcdef";

/// A server in the database's folder that may reach receivers on this machine.
pub fn config(database: &Database) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        database_url: database.url().map(str::to_owned),
        admin_key: Some(ADMIN_KEY.to_owned()),
        addresses: AddressPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()], allow_http: false },
        program: env!("CARGO_BIN_EXE_bellwether").into(),
        ..Config::defaults(database.folder())
    }
}

pub struct Server {
    running: Running,
    api: Api,
}

/// What the API answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("the answer is no JSON: {self:?}"))
    }

    /// The body, if the status is this one.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

impl Server {
    pub async fn start(database: &Database) -> Self {
        Self::with(config(database)).await
    }

    pub async fn with(config: Config) -> Self {
        let running = app::start(config).await.expect("the server starts");
        Self::of(running)
    }

    /// By another clock than the machine's.
    pub async fn by(config: Config, clock: Arc<dyn Clock>) -> Self {
        let running = app::start_by(config, clock).await.expect("the server starts");
        Self::of(running)
    }

    fn of(running: Running) -> Self {
        Self { api: Api::at(running.address(), ADMIN_KEY), running }
    }

    pub fn running(&self) -> &Running {
        &self.running
    }

    pub async fn stop(self) {
        drop(self.api);
        self.running.stop().await;
    }

    /// Any request, exactly so. `path` is below `/api/v1` unless it begins with two slashes.
    pub async fn raw(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let address = self.running.address();
        let uri = match path.strip_prefix('/').filter(|rest| rest.starts_with('/')) {
            Some(root) => format!("http://{address}{root}"),
            None => format!("http://{address}/api/v1{path}"),
        };
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("the request is well formed");
        let answered = tokio::time::timeout(PATIENCE, self.api.send(request)).await;
        let (parts, body) = answered.expect("the server answers").expect("the server answers").into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Asks for what does not end by itself: the status, and the body as it comes.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let mut request = Request::builder().uri(format!("http://{}/api/v1{path}", self.running.address()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).expect("the request is well formed");
        let answered = tokio::time::timeout(PATIENCE, self.api.send(request)).await;
        answered.expect("the server answers").expect("the server answers")
    }

    /// As the holder of `key`, with JSON.
    pub async fn call_as(&self, key: &str, method: Method, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(method, path, &headers, body).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call_as(ADMIN_KEY, Method::GET, path, Value::Null).await.expect(200)
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call_as(ADMIN_KEY, Method::POST, path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call_as(ADMIN_KEY, Method::PATCH, path, body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call_as(ADMIN_KEY, Method::DELETE, path, Value::Null).await
    }

    /// Makes it and gives its id.
    pub async fn make(&self, resource: &str, body: Value) -> String {
        let made = self.post(resource, body).await.expect(201);
        made["id"].as_str().expect("what is made has an id").to_owned()
    }

    /// Makes an experiment and gives its number.
    pub async fn experiment(&self, body: Value) -> i64 {
        self.post("/experiments", body).await.expect(201)["id"].as_i64().expect("a number")
    }

    /// Reads `path` again and again until `holds`. For what is written a little after a receiver was answered.
    pub async fn eventually(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let reading = tokio::time::timeout(PATIENCE, async {
            loop {
                last = self.get(path).await;
                if holds(&last) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        let came = reading.await;
        came.unwrap_or_else(|_| panic!("{path} did not come to what was waited for in {PATIENCE:?}: {last}"));
        last
    }
}

impl Server {
    /// The same for a path that is not below `/api/v1`, whatever it answers meanwhile.
    pub async fn eventually_root(&self, path: &str, holds: impl Fn(&Answer) -> bool) -> Answer {
        let reading = tokio::time::timeout(PATIENCE, async {
            loop {
                let answer = self.raw(Method::GET, &format!("/{path}"), &[], "").await;
                if holds(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        });
        reading.await.unwrap_or_else(|_| panic!("{path} did not come to what was waited for in {PATIENCE:?}"))
    }
}

/// What an experiment needs to be started.
pub struct Definitions {
    pub entity: String,
    pub source: String,
    pub metric: String,
    pub other_metric: String,
    pub collection: String,
}

impl Definitions {
    pub async fn make(server: &Server, database: &Database) -> Self {
        let files = database.folder().join("files");
        std::fs::create_dir_all(&files).expect("the folder can be made");
        let entity = server.make("/entities", json!({"name": "user"})).await;
        let path = files.to_str().expect("a printable name");
        let warehouse = server.make("/warehouses", json!({"name": "files", "kind": "files", "path": path})).await;
        let columns =
            json!({"subject": "user_id", "timestamp": "at", "experiment_key": "experiment", "variation": "variation"});
        let source = json!({"name": "assignments", "warehouse_id": warehouse, "entity_id": entity, "sql": "SELECT * FROM assignments", "columns": columns});
        let source = server.make("/assignment_sources", source).await;
        let facts = json!({
            "name": "orders", "warehouse_id": warehouse, "sql": "SELECT * FROM orders", "timestamp_column": "at",
            "entities": [{"entity_id": entity, "column": "user_id"}],
            "facts": [{"name": "revenue", "column": "amount"}, {"name": "orders"}],
        });
        let facts = server.post("/fact_sources", facts).await.expect(201);
        let metric = |name: &str, fact: usize, operation: &str| {
            let fact = &facts["facts"][fact]["id"];
            let numerator = json!({"fact_id": fact, "operation": operation});
            json!({"name": name, "entity_id": entity, "kind": "simple", "numerator": numerator})
        };
        let other = server.make("/metrics", metric("orders per user", 1, "count")).await;
        let metric = server.make("/metrics", metric("revenue per user", 0, "sum")).await;
        let collection = json!({"name": "guardrails", "metric_ids": [other]});
        let collection = server.make("/collections", collection).await;
        Self { entity, source, metric, other_metric: other, collection }
    }

    /// A draft that has all it needs to start.
    pub fn experiment(&self, key: &str) -> Value {
        json!({
            "key": key, "name": "Checkout", "entity_id": self.entity, "assignment_source_id": self.source,
            "variations": [{"key": "control", "weight": 1, "is_control": true}, {"key": "red", "weight": 1}],
            "assignments_start_date": "2026-03-01",
        })
    }
}

/// A bare draft.
pub fn draft(key: &str) -> Value {
    json!({"key": key, "name": "Draft"})
}

/// How long an endpoint of the tests waits before it tries again: as short as may be.
pub fn quick_retries() -> Value {
    json!([1, 1])
}
