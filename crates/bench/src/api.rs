//! A client of the API, with kept connections.

use std::net::SocketAddr;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::Problem;

/// The server answered, with a status other than 2xx. Any other error means that no answer came.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {body}")]
pub struct Refused {
    pub status: StatusCode,
    pub body: String,
}

#[derive(Clone)]
pub struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    authorization: String,
}

impl Api {
    pub fn at(address: SocketAddr, key: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, base: format!("http://{address}/api/v1"), authorization: format!("Bearer {key}") }
    }

    /// Sends any request, exactly so, and gives its answer as it begins.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Problem> {
        Ok(self.client.request(request).await?)
    }

    /// Sends a request and reads its JSON; an answer other than 2xx is [`Refused`].
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Problem> {
        let bytes = self.exchange(method, path, body).await?;
        Ok(if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? })
    }

    /// The same, and the answer's bytes as they came.
    pub async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes, Problem> {
        let text = body.map_or_else(String::new, Value::to_string);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(text)))?;
        let response = self.send(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            return Err(Refused { status, body: String::from_utf8_lossy(&bytes).into_owned() }.into());
        }
        Ok(bytes)
    }

    pub async fn get(&self, path: &str) -> Result<Value, Problem> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// A draft with this key; its number.
    pub async fn create_experiment(&self, key: &str) -> Result<i64, Problem> {
        let created = self.post("/experiments", &json!({"key": key, "name": key})).await?;
        created["id"].as_i64().ok_or_else(|| "the experiment has no number".into())
    }

    /// Changes an experiment, and gives the revision that this made.
    pub async fn change_experiment(&self, id: i64, owner: &str) -> Result<i64, Problem> {
        let changed = self.patch(&format!("/experiments/{id}"), &json!({"owner": owner})).await?;
        changed["revision"].as_i64().ok_or_else(|| "the experiment has no revision".into())
    }

    /// The whole event log: experiment, revision and id of each event, in the log's order.
    pub async fn event_log(&self) -> Result<Vec<(i64, i64, String)>, Problem> {
        let mut log = Vec::new();
        let mut after = "0".to_owned();
        loop {
            let page = self.get(&format!("/events?limit=250&after={after}")).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            if items.is_empty() {
                return Ok(log);
            }
            for item in items {
                let number = |field: &str| item[field].as_i64().ok_or("an event without a number");
                log.push((number("experiment_id")?, number("revision")?, item["id"].as_str().unwrap_or("").to_owned()));
            }
            after = page["next"].as_str().unwrap_or("").to_owned();
        }
    }
}
