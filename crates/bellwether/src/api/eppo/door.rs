//! Who is let in, and how it is said that something is wrong: keys in the header `X-Eppo-Token`, errors as Eppo writes them.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::{Value, json};

use crate::api::access::{holder, let_in};
use crate::api::problem::{Kind, Problem};
use crate::api::{LARGEST_BODY, Shared};

const TOKEN: &str = "x-eppo-token";

/// Lets a request through with its principal, or answers 401.
pub async fn check(State(api): State<Shared>, request: Request, next: Next) -> Result<Response, Problem> {
    let Some(token) = request.headers().get(TOKEN) else {
        let detail = "no key was given; send a key of Bellwether, which begins with 'bw_', in the header X-Eppo-Token";
        return Err(Problem::of(Kind::Unauthorized, detail));
    };
    let principal = match token.to_str() {
        Ok(text) => holder(&api, text.trim()).await?,
        Err(_) => None,
    };
    Ok(let_in(&api, principal, request, next).await)
}

/// A problem as Eppo's clients know it: the status, its words, and a message; the fields that are wrong beside it.
pub async fn in_eppos_form(response: Response) -> Response {
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !is_problem {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let mut told = json!({"statusCode": problem["status"], "error": problem["title"], "message": problem["detail"]});
    if problem["errors"].is_array() {
        told["errors"] = problem["errors"].clone();
    }
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::WWW_AUTHENTICATE);
    Response::from_parts(parts, Body::from(told.to_string()))
}
