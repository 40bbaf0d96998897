//! `Idempotency-Key`: a client that has got no answer sends the same request again, and what it asked for happens once. What is
//! refused changes nothing, and leaves the key free.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Shared;
use super::body::whole;
use super::problem::{Kind, Problem};
use super::turns::Turn;
use crate::domain::actor::{Actor, Principal};
use crate::domain::error::Refusal;
use crate::registry::{Claim, Earlier, under};

const NAME: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const LONGEST_KEY: usize = 255;
/// Of an answer, these are given again.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];
/// No change is answered with more.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Carries a change with a key out once. To stand where it is known who asks.
pub async fn once(
    State(api): State<Shared>,
    principal: Principal,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let is_change = matches!(*request.method(), Method::POST | Method::PATCH | Method::DELETE);
    let Some(value) = request.headers().get(NAME).filter(|_| is_change) else { return Ok(next.run(request).await) };
    let key = key_of(value)?;
    let (parts, body) = request.into_parts();
    let (parts, body) = whole(Request::from_parts(parts, body)).await?;
    let mut digest = Sha256::new();
    let if_match = parts.headers.get(header::IF_MATCH).map(HeaderValue::as_bytes).unwrap_or_default();
    let role = principal.role.as_str().as_bytes();
    for part in [role, parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), if_match, &body] {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    let claim = Claim::of(holder(&principal.actor), key, digest.finalize().to_vec());
    let turn = api.turns.wait((claim.holder.clone(), claim.key.clone())).await;
    match api.registry.earlier(&claim).await? {
        Some(Earlier::Answered(answer)) => return answered_before(&answer),
        Some(Earlier::Different) => {
            let detail = "another request was sent with this Idempotency-Key; nothing was changed: give each request a key of \
                          its own, such as a UUID";
            return Err(Problem::of(Kind::IdempotencyKeyReused, detail));
        }
        Some(Earlier::Unanswered) => {
            let detail = "the request with this Idempotency-Key was carried out, and is not carried out again; its answer is still \
                          to come, or was lost: read the resource to see what it is now";
            return Err(Problem::of(Kind::AnswerUnknown, detail));
        }
        None => {}
    }
    // It goes on though the client hangs up, so that its answer is there when it asks again.
    let carrying_out = tokio::spawn(carry_out(api, claim, turn, next, Request::from_parts(parts, Body::from(body))));
    carrying_out.await.map_err(|error| {
        tracing::error!(%error, "a request failed");
        Problem::of(Kind::Internal, "the server failed on this request; its log says why")
    })
}

/// Answers, and keeps the answer if anything was changed; the turn lasts until then.
async fn carry_out(api: Shared, claim: Arc<Claim>, _turn: Turn, next: Next, request: Request) -> Response {
    let response = under(claim.clone(), next.run(request)).await;
    if !claim.is_carried_out() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_ANSWER).await.unwrap_or_default();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let header = |name: &HeaderName| parts.headers.get(name).map(|value| (name.to_string(), text(value)));
    let answer = Answer {
        status: parts.status.as_u16(),
        headers: KEPT_HEADERS.iter().filter_map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    // Without it, whoever sends the request again is told that it was carried out.
    if let Err(error) = api.registry.keep_answer(&claim, &serde_json::to_vec(&answer).unwrap_or_default()).await {
        tracing::warn!(%error, "the answer to a request with an Idempotency-Key could not be kept");
    }
    Response::from_parts(parts, Body::from(body))
}

fn key_of(value: &HeaderValue) -> Result<String, Refusal> {
    let text = value.to_str().ok().filter(|text| (1..=LONGEST_KEY).contains(&text.len()));
    text.map(str::to_owned).ok_or_else(|| {
        let message =
            format!("it is too long, empty or not plain; from 1 to {LONGEST_KEY} characters of ASCII are allowed");
        Refusal::invalid("Idempotency-Key", message)
    })
}

fn holder(actor: &Actor) -> String {
    match actor {
        Actor::Key { id, .. } => id.to_string(),
        Actor::Person { id, .. } => id.to_string(),
        Actor::System => "system".to_owned(),
    }
}

fn answered_before(kept: &[u8]) -> Result<Response, Problem> {
    let unreadable =
        || Problem::of(Kind::AnswerUnknown, "the request was carried out, but its answer cannot be read any more");
    let Answer { status, headers, body } = serde_json::from_slice(kept).map_err(|_| unreadable())?;
    let mut response = Response::new(Body::from(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| unreadable())?;
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
