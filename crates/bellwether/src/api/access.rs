//! Who may do what: every request below /api/v1 carries a key or a browser's session, and each route asks for a role.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tokio::sync::Semaphore;

use super::Shared;
use super::answer::Answer;
use super::peer::Peer;
use super::problem::{Kind, Problem};
use crate::domain::actor::{Actor, Credential, Principal};
use crate::domain::key::Role;
use crate::platform::telemetry::Counter;

/// Lets those through who have `role`; to stand on the routes themselves (see `routes`).
pub(super) fn open_to(role: Role, methods: MethodRouter<Shared>) -> MethodRouter<Shared> {
    methods.route_layer(middleware::from_fn_with_state(role, require))
}

async fn require(State(role): State<Role>, principal: Principal, request: Request, next: Next) -> Answer<Response> {
    if principal.role >= role {
        return Ok(next.run(request).await);
    }
    let (needed, has) = (role.as_str(), principal.role.as_str());
    let detail = format!("this needs the role '{needed}'; {} has '{has}'", principal.actor);
    Err(Problem::of(Kind::Forbidden, detail))
}

/// Who makes a request: one that knows its principal, or has none.
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let nobody = || Problem::of(Kind::Unauthorized, "no key was given");
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

/// Lets a request through with its [`Principal`], or answers 401. What it may do, each route says (see [`open_to`]).
pub async fn check(State(api): State<Shared>, request: Request, next: Next) -> Result<Response, Problem> {
    let unauthorized = |detail| Problem::of(Kind::Unauthorized, detail);
    let principal = match bearer(request.headers()) {
        Some(text) => holder(&api, text.trim()).await?,
        None => {
            let without = "no key was given; send the header 'Authorization: Bearer bw_…', or log in";
            let text = session_text(&request).ok_or_else(|| unauthorized(without))?;
            // A browser sends its session along with whatever any site has it ask for.
            if !request.method().is_safe() {
                check_origin(&api, &request)?;
            }
            api.registry.authenticate_session(&text).await?
        }
    };
    Ok(let_in(&api, principal, request, next).await)
}

/// Who holds the key that `text` is, if it is in force.
pub async fn holder(api: &Shared, text: &str) -> Result<Option<Principal>, Problem> {
    let key = api.registry.authenticate(text).await?;
    Ok(key.map(|key| {
        let actor = Actor::Key { id: key.id, name: key.name };
        Principal { role: key.role, actor, credential: Credential::Key(key.id) }
    }))
}

/// Lets the request of a principal through; who is none is answered 401.
pub async fn let_in(api: &Shared, principal: Option<Principal>, mut request: Request, next: Next) -> Response {
    if let Some(principal) = principal {
        request.extensions_mut().insert(principal);
        return next.run(request).await;
    }
    let is_to_close = api.guesses.note(request.extensions().get::<Peer>().copied()).await;
    let detail = "this key is not known, was revoked or has expired; ask an admin for another, or log in again";
    let mut response = Problem::of(Kind::Unauthorized, detail).into_response();
    if is_to_close {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(text)
}

/// What a session's cookie is called, over https and over http: a page that came by http cannot set the first.
pub const SESSION_COOKIES: [&str; 2] = ["__Host-bellwether_session", "bellwether_session"];

/// Of a request that came by https, the first alone counts: whoever can set the other may be on the way.
pub fn session_text(request: &Request) -> Option<String> {
    let is_https = request.extensions().get::<Peer>().is_some_and(|peer| peer.is_https);
    let name = if is_https { SESSION_COOKIES[0] } else { SESSION_COOKIES[1] };
    let cookies = request.headers().get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, value)| value.to_owned())
}

/// A change that a browser asks for must come from a page of this server.
pub fn check_origin(api: &Shared, request: &Request) -> Result<(), Problem> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_own = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let scheme =
                if request.extensions().get::<Peer>().is_some_and(|peer| peer.is_https) { "https" } else { "http" };
            let host = text("host").or(request.uri().authority().map(|authority| authority.as_str()));
            origin_of(&api.public_url) == Some(origin)
                || host.is_some_and(|host| origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")))
        }
        (None, None) => false,
    };
    if is_own {
        return Ok(());
    }
    let detail = "a browser's session changes things from this server's own pages alone; nothing was changed: use a key, or \
                  set public_url to the address that people use";
    Err(Problem::of(Kind::ForeignOrigin, detail))
}

/// Scheme, host and port of a URL, as browsers name them.
fn origin_of(url: &str) -> Option<&str> {
    let host = url.find("://")? + 3;
    Some(&url[..url[host..].find('/').map_or(url.len(), |path| host + path)])
}

/// How long an answer to a wrong key is held back: a key that is right never is.
const HELD_BACK: Duration = Duration::from_millis(50);

/// Keys that were refused since the start.
pub struct Guesses {
    count: Counter,
    held_back: Semaphore,
}

impl Guesses {
    /// So many answers at a time.
    pub fn held_back(most: usize) -> Self {
        Self { count: Counter::default(), held_back: Semaphore::new(most) }
    }

    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Holds the answer back, or tells that too many are held back: then the connection is to be closed with the answer.
    pub async fn note(&self, peer: Option<Peer>) -> bool {
        if let Some(count) = self.count.add_notable() {
            let peer = peer.map(|peer| peer.address.to_string());
            tracing::warn!(peer, count, "a key was refused");
        }
        // Nobody waits for a place: whoever holds many connections open by guessing would keep others out.
        match self.held_back.try_acquire() {
            Ok(_place) => {
                tokio::time::sleep(HELD_BACK).await;
                false
            }
            Err(_) => true,
        }
    }
}
