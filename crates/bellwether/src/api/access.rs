//! Who may do what: every request below /api/v1 carries a key, and each route asks for a role.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tokio::sync::Semaphore;

use super::Shared;
use super::answer::Answer;
use super::peer::Peer;
use super::problem::{Kind, Problem};
use crate::domain::actor::{Actor, Principal};
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
pub async fn check(State(api): State<Shared>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let unauthorized = |detail| Problem::of(Kind::Unauthorized, detail);
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, text) =
        bearer.ok_or_else(|| unauthorized("no key was given; send the header 'Authorization: Bearer bw_…'"))?;
    let Some(key) = api.registry.authenticate(text.trim()).await? else {
        let is_to_close = api.guesses.note(request.extensions().get::<Peer>().copied()).await;
        let problem = unauthorized("this key is not known, was revoked or has expired; ask an admin for another");
        let mut response = problem.into_response();
        if is_to_close {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        return Ok(response);
    };
    request.extensions_mut().insert(Principal { role: key.role, actor: Actor::Key { id: key.id, name: key.name } });
    Ok(next.run(request).await)
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
    async fn note(&self, peer: Option<Peer>) -> bool {
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
