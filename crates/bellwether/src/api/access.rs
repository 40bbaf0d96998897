//! Who may do what: every request below /api/v1 carries a key, and each route asks for a role.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::Shared;
use super::acceptor::Peer;
use super::problem::Problem;
use crate::domain::actor::Actor;
use crate::domain::key::Role;
use crate::platform::telemetry::Counter;

/// Resources that only admins change: they reach into warehouses, or give access.
const ADMIN_RESOURCES: [&str; 4] = ["warehouses", "assignment_sources", "fact_sources", "keys"];

/// The role that a request needs. `path` is below /api/v1.
pub fn role_for(method: &Method, path: &str) -> Role {
    let resource = path.trim_start_matches('/').split('/').next().unwrap_or("");
    match *method {
        Method::GET | Method::HEAD if resource == "keys" => Role::Admin,
        Method::GET | Method::HEAD => Role::Read,
        _ if ADMIN_RESOURCES.contains(&resource) => Role::Admin,
        _ => Role::Write,
    }
}

/// Lets a request through with its [`Actor`], or answers 401 or 403.
pub async fn check(State(api): State<Shared>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let unauthorized = |detail| Problem::of(StatusCode::UNAUTHORIZED, "unauthorized", detail);
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
    let needed = role_for(request.method(), request.uri().path());
    if key.role < needed {
        let detail =
            format!("this needs the role '{}'; the key '{}' has '{}'", needed.as_str(), key.name, key.role.as_str());
        return Err(Problem::of(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    request.extensions_mut().insert(Actor::Key { id: key.id, name: key.name });
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
            let peer = peer.map(|Peer(address)| address.to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_as_the_docs_say() {
        for (method, path, role) in [
            (Method::GET, "/experiments/1", Role::Read),
            (Method::GET, "/warehouses", Role::Read),
            (Method::GET, "/keys", Role::Admin),
            (Method::POST, "/experiments", Role::Write),
            (Method::PATCH, "/metrics/met_1", Role::Write),
            (Method::POST, "/endpoints", Role::Write),
            (Method::POST, "/experiments/1/runs", Role::Write),
            (Method::DELETE, "/warehouses/wh_1", Role::Admin),
            (Method::POST, "/assignment_sources", Role::Admin),
            (Method::PATCH, "/fact_sources/fs_1", Role::Admin),
            (Method::POST, "/keys", Role::Admin),
        ] {
            assert_eq!(role_for(&method, path), role, "{method} {path}");
        }
    }
}
