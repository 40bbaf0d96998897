//! A client for Bellwether's own API, over plain HTTP with a key: JSON in, JSON out.
//!
//! It knows no routes: those who use it name them.

use std::{error::Error, fmt, iter, time::Duration};

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

const TIME_LIMIT: Duration = Duration::from_secs(30);
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// Speaks to one server with one key.
pub struct ApiClient {
    http: Client<HttpConnector, Full<Bytes>>,
    base: String,
    authorization: String,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub struct ApiError {
    /// Method and path.
    pub request: String,
    /// None if there was no answer.
    pub status: Option<StatusCode>,
    /// The problem answer (RFC 9457); else what is known of the reason, as text.
    pub problem: Value,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} was answered {status}: ", self.request)?,
            None => write!(f, "{} was not answered: ", self.request)?,
        }
        let detail = self.problem.get("detail").or(self.problem.get("title")).unwrap_or(&self.problem);
        match detail.as_str() {
            Some(text) => f.write_str(text),
            None => write!(f, "{detail}"),
        }
    }
}

impl Error for ApiError {}

impl ApiClient {
    /// `server` is like `http://127.0.0.1:7070`.
    pub fn with_key(server: &str, key: &str) -> ApiClient {
        ApiClient {
            http: Client::builder(TokioExecutor::new()).build_http(),
            base: format!("{}/api/v1/", server.trim_end_matches('/')),
            authorization: format!("Bearer {key}"),
        }
    }

    /// `path` stands below `/api/v1/`.
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, ApiError> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Result<Value, ApiError> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// The answer's body; `null` if it has none.
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, ApiError> {
        let shown = format!("{method} {path}");
        let failed = |error: &dyn Error| ApiError {
            request: shown.clone(),
            status: None,
            problem: Value::String(causes(error)),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, &self.authorization);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = request.body(Full::new(body)).map_err(|error| failed(&error))?;
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|error| failed(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
            Ok((status, body.map_err(|error| failed(error.as_ref()))?.to_bytes()))
        };
        let (status, body) =
            tokio::time::timeout(TIME_LIMIT, exchange).await.map_err(|error| failed(&error)).flatten()?;
        let json = match body.as_ref() {
            [] => Value::Null,
            body => {
                serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into()))
            }
        };
        if status.is_success() {
            Ok(json)
        } else {
            Err(ApiError { request: shown, status: Some(status), problem: json })
        }
    }
}

/// The error and what lies beneath it: the outermost alone says no more than that something went wrong.
fn causes(error: &dyn Error) -> String {
    let chain = iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
