//! The pages that let people in and out. Opening a link changes nothing, for mail programs open links too: the page's script, or
//! its button, submits a form, and that alone uses the link up.

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use serde::Deserialize;

use super::Shared;
use super::access::{self, SESSION_COOKIES};
use super::assets::asset;
use super::body::whole;
use super::peer::Peer;
use super::problem::Problem;
use crate::domain::actor::Credential;

const PAGE: &str = include_str!("login/page.html");
const STYLE: &str = include_str!("login/style.css");
const SCRIPT: &str = include_str!("login/submit.js");
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// Where somebody who was let in finds what there is; like all links here from where the page is, which a proxy may put deeper.
const HOME: &str = "experiments";

/// What is open to all.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/login", routing::get(page).post(log_in))
        .route("/logout", routing::post(log_out))
        .route("/login/style.css", routing::get(|headers| asset(headers, "text/css; charset=utf-8", STYLE)))
        .route("/login/submit.js", routing::get(|headers| asset(headers, "text/javascript; charset=utf-8", SCRIPT)))
}

fn html(status: StatusCode, content: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, PAGE.replace("<!--content-->", content)).into_response()
}

const HOW: &str = "<p>People log in by a link that is sent to them. An admin makes one with \
                   <code>bellwether login-link NAME</code>.</p>";

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// The page of a link.
async fn page(RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let token = serde_urlencoded::from_str(&query).map(|Token { token }| token).unwrap_or_default();
    if token.is_empty() {
        return html(StatusCode::OK, HOW);
    }
    if !is_plain(&token) {
        return refused();
    }
    let form = format!(
        "<p>This link lets you in, once.</p>\n<form id=\"login\" method=\"post\" action=\"login\">\
         <input type=\"hidden\" name=\"token\" value=\"{token}\"><button>Log in</button></form>\n\
         <script src=\"login/submit.js\"></script>"
    );
    html(StatusCode::OK, &form)
}

/// Nothing else stands in a link, so that nothing needs to be escaped.
fn is_plain(token: &str) -> bool {
    token.len() <= 200 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn refused() -> Response {
    let content =
        format!("<p role=\"alert\">This link is not in force: it was used before, or has expired.</p>\n{HOW}");
    html(StatusCode::UNAUTHORIZED, &content)
}

/// Uses the link up, and gives the browser its session.
async fn log_in(State(api): State<Shared>, request: Request) -> Result<Response, Problem> {
    access::check_origin(&api, &request)?;
    let peer = request.extensions().get::<Peer>().copied();
    let (parts, body) = whole(request).await?;
    let client = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let token = serde_urlencoded::from_bytes(&body).map(|Token { token }| token).unwrap_or_default();
    let Some((session, text)) = api.registry.log_in(&token, &client).await? else {
        api.guesses.note(peer).await;
        return Ok(refused());
    };
    tracing::info!(session = %session.id, person = %session.person_id, "a person has logged in");
    let is_https = peer.is_some_and(|peer| peer.is_https);
    let age = session.expires_at.since(session.created_at).as_secs();
    Ok(see_other(HOME, cookie(is_https, &text, age)))
}

/// Ends the browser's session.
async fn log_out(State(api): State<Shared>, request: Request) -> Result<Response, Problem> {
    access::check_origin(&api, &request)?;
    let is_https = request.extensions().get::<Peer>().is_some_and(|peer| peer.is_https);
    let text = access::session_text(&request).unwrap_or_default();
    if let Some(principal) = api.registry.authenticate_session(&text).await?
        && let Credential::Session(id) = principal.credential
    {
        api.registry.end_session(&principal, id).await?;
    }
    Ok(see_other("login", cookie(is_https, "", 0)))
}

/// No script reads it, no other site's form sends it; over https nothing else may set it.
fn cookie(is_https: bool, value: &str, age: u64) -> String {
    let (name, secure) = if is_https { (SESSION_COOKIES[0], "; Secure") } else { (SESSION_COOKIES[1], "") };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
}

fn see_other(place: &'static str, cookie: String) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, HeaderValue::from_static(place));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    (StatusCode::SEE_OTHER, headers).into_response()
}
