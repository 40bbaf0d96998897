//! A request of a browser: who makes it, and the API as they may use it. What is asked of the API carries the browser's session
//! and says where the page came from, so that the API judges it as if the browser had asked itself.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::failure::{Failure, FieldProblem, Reason};
use super::once::SentToken;
use super::page::{Frame, List, Notice, escaped};
use crate::api::Peer;
use crate::domain::actor::Actor;
use crate::domain::key::Role;

/// What the API judges a browser by.
const PASSED_ON: [&str; 5] = ["cookie", "host", "origin", "sec-fetch-site", "user-agent"];
const IDEMPOTENCY_KEY: header::HeaderName = header::HeaderName::from_static("idempotency-key");
const REPLAYED: header::HeaderName = header::HeaderName::from_static("idempotency-replayed");
const V1: &str = "/api/v1";
const CHANGED: &str =
    "Somebody has changed it since that page was made, and nothing was done; look at it as it is now.";
const ANSWER_UNKNOWN: &str = "urn:bellwether:problem:answer-unknown";
const SENT_TWICE: &str = "this form was sent more than once; it was done once, and what came of it is not told a second time: load \
                          the page anew to see it";
const REPEATED: &str = "(The form was sent more than once; it was done once.)";
/// Pages of a list that are read for one page of the console.
const MOST_PAGES: usize = 80;

/// Whoever visits, their page's frame, and their way to the API.
pub struct Visit {
    api: Api,
    pub frame: Frame,
}

/// The API with somebody's session.
struct Api {
    routes: Router,
    headers: HeaderMap,
    peer: Option<Peer>,
    /// By which a form that is sent again is known.
    token: Option<SentToken>,
    /// What was asked for had been carried out before.
    is_repeated: AtomicBool,
}

#[derive(Deserialize)]
struct Me {
    actor: Actor,
    role: Role,
}

#[derive(Default, Deserialize)]
struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    detail: String,
    #[serde(default)]
    errors: Vec<FieldProblem>,
}

impl FromRequestParts<Router> for Visit {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Router) -> Result<Self, Failure> {
        let given = |name: &&str| parts.headers.get(*name).map(|value| (name.to_owned().to_owned(), value.clone()));
        let headers = PASSED_ON.iter().filter_map(given);
        let headers = headers.filter_map(|(name, value)| Some((header::HeaderName::try_from(name).ok()?, value)));
        let peer = parts.extensions.get::<Peer>().copied();
        let mut frame = Frame::of(parts.uri.path(), &parts.headers);
        // Nobody is told what stands in a cookie before it is known that it may be theirs.
        let notice = frame.notice.take();
        let token = parts.extensions.get::<SentToken>().cloned();
        let api =
            Api { routes: api.clone(), headers: headers.collect(), peer, token, is_repeated: AtomicBool::new(false) };
        let me = api.ask(Method::GET, "/me", None, None).await.and_then(|answer| read(&answer));
        let Me { actor, role } = me.map_err(|reason| reason.on(&frame))?;
        (frame.visitor, frame.notice) = (Some((actor.to_string(), role)), notice);
        Ok(Self { api, frame })
    }
}

impl Visit {
    /// What the API shows at a path below `/api/v1`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.api.ask(Method::GET, path, None, None).await;
        answer.and_then(|answer| read(&answer)).map_err(|reason| reason.on(&self.frame))
    }

    /// Before a form is filled in that would be refused.
    pub fn must_write(&self) -> Result<(), Failure> {
        if self.frame.may_write() { Ok(()) } else { Err(Reason::forbidden("write").on(&self.frame)) }
    }

    /// A list as somebody has filtered it, or what is wrong with the filter: that is for its page to tell.
    pub async fn filtered<T: DeserializeOwned>(&self, path: &str) -> Result<Result<List<T>, String>, Failure> {
        match self.api.ask(Method::GET, path, None, None).await {
            Ok(answer) => read(&answer).map(Ok).map_err(|reason| reason.on(&self.frame)),
            Err(reason) if matches!(reason.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
                Ok(Err(reason.in_one()))
            }
            Err(reason) => Err(reason.on(&self.frame)),
        }
    }

    /// All pages of a list, one after the other; `path` has a query. Of more than anybody looks at, the rest is left.
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        let (mut items, mut after) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let page: List<T> = self.get(&format!("{path}&limit=250&after={}", escaped(&after))).await?;
            items.extend(page.items);
            let Some(next) = page.next else { break };
            after = next;
        }
        Ok(items)
    }

    /// The same, or that it is not there.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        self.unless(path, &[StatusCode::NOT_FOUND]).await
    }

    /// The same, or that the visitor's role is too low for it.
    pub async fn find_allowed<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        self.unless(path, &[StatusCode::NOT_FOUND, StatusCode::FORBIDDEN]).await
    }

    async fn unless<T: DeserializeOwned>(&self, path: &str, expected: &[StatusCode]) -> Result<Option<T>, Failure> {
        match self.api.ask(Method::GET, path, None, None).await {
            Ok(answer) => read(&answer).map(Some).map_err(|reason| reason.on(&self.frame)),
            Err(reason) if expected.contains(&reason.status) => Ok(None),
            Err(reason) => Err(reason.on(&self.frame)),
        }
    }

    /// Has the API answer what is a POST there but changes nothing: it may be asked for by whatever way somebody came here.
    pub async fn query<T: DeserializeOwned>(&self, path: &str) -> Result<T, Reason> {
        let mut headers = self.api.headers.clone();
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        let (peer, token) = (self.api.peer, None);
        let api = Api { routes: self.api.routes.clone(), headers, peer, token, is_repeated: AtomicBool::new(false) };
        read(&api.ask(Method::POST, path, Some(json!({})), None).await?)
    }

    /// Has the API change something; why it does not, is for the page to tell.
    pub async fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: Value) -> Result<T, Reason> {
        read(&self.api.ask(method, path, Some(body), None).await?)
    }

    /// The same, of what was read at this version.
    pub async fn send_at<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Value,
        version: &str,
    ) -> Result<T, Reason> {
        let tag = HeaderValue::from_str(&format!("\"{version}\"")).ok().filter(|_| !version.is_empty());
        read(&self.api.ask(method, path, Some(body), tag).await?)
    }

    /// Another page, relative to this one, which tells what was done.
    pub fn see(&self, place: &str, said: impl Into<String>) -> Response {
        let is_repeated = self.api.is_repeated.load(Ordering::Relaxed);
        let text = if is_repeated { format!("{} {REPEATED}", said.into()) } else { said.into() };
        see_other(place, &Notice { is_error: false, text })
    }

    /// The outcome of a button: the page to see next tells it, whichever way it went.
    pub fn told<T>(
        &self,
        place: &str,
        outcome: Result<T, Reason>,
        said: impl Into<String>,
    ) -> Result<Response, Failure> {
        match outcome {
            Ok(_) => Ok(self.see(place, said)),
            Err(reason) if reason.status == StatusCode::UNAUTHORIZED => Err(reason.on(&self.frame)),
            Err(reason) if reason.is_stale() => {
                Ok(see_other(place, &Notice { is_error: true, text: CHANGED.to_owned() }))
            }
            Err(reason) => Ok(see_other(place, &Notice { is_error: true, text: reason.in_one() })),
        }
    }
}

fn see_other(place: &str, notice: &Notice) -> Response {
    let mut headers = HeaderMap::new();
    headers.extend(HeaderValue::from_str(place).ok().map(|place| (header::LOCATION, place)));
    headers.extend(HeaderValue::from_str(&notice.cookie()).ok().map(|cookie| (header::SET_COOKIE, cookie)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (StatusCode::SEE_OTHER, headers).into_response()
}

impl Api {
    /// The answer's text. Not made anew for every type that is read of one, and in a box: the program holds it once.
    fn ask<'a>(
        &'a self,
        method: Method,
        path: &'a str,
        body: Option<Value>,
        if_match: Option<HeaderValue>,
    ) -> BoxFuture<'a, Result<String, Reason>> {
        Box::pin(async move {
            let content = body.map(|body| body.to_string()).unwrap_or_default();
            let token = self.token.as_ref().filter(|_| method != Method::GET);
            let key = token.and_then(|token| token.key(&method, path, &content));
            let mut headers = self.headers.clone();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.extend(if_match.map(|tag| (header::IF_MATCH, tag)));
            headers.extend(key.map(|key| (IDEMPOTENCY_KEY, key)));
            let mut request = Request::new(Body::from(content));
            *request.method_mut() = method;
            *request.uri_mut() = format!("{V1}{path}").parse().map_err(|_| Reason::not_found())?;
            *request.headers_mut() = headers;
            self.peer.map(|peer| request.extensions_mut().insert(peer));
            let Ok(response) = self.routes.clone().oneshot(request).await;
            let status = response.status();
            if response.headers().contains_key(REPLAYED) {
                self.is_repeated.store(true, Ordering::Relaxed);
            }
            let content = response.into_body().collect().await.map_err(|error| Reason::failed(&error.to_string()))?;
            judged(status, String::from_utf8_lossy(&content.to_bytes()).into_owned())
        })
    }
}

/// What the API answered, or why it refused.
fn judged(status: StatusCode, content: String) -> Result<String, Reason> {
    if status.is_success() {
        return Ok(if content.is_empty() { "null".to_owned() } else { content });
    }
    let problem = serde_json::from_str(&content);
    let problem = problem.unwrap_or_else(|_| Problem { detail: status.to_string(), ..Problem::default() });
    // People know of forms, not of keys.
    let detail = if problem.kind == ANSWER_UNKNOWN { SENT_TWICE.to_owned() } else { problem.detail };
    Err(Reason { status, detail, errors: problem.errors })
}

/// What an answer says.
fn read<T: DeserializeOwned>(answer: &str) -> Result<T, Reason> {
    // What it says may be a secret.
    serde_json::from_str(answer).map_err(|error| Reason::failed(&format!("an answer is not as it should be: {error}")))
}
