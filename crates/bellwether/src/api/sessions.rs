//! Who asks, their sessions, and the links that let people in. A link's text is shown once, when it is made.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::answer::{Answer, Created, Gone, Page};
use super::body::Body;
use super::params::{Ids, LONGEST_PAGE, Params, check_limit, cursor, default_limit};
use crate::domain::actor::{Actor, Credential, Principal};
use crate::domain::clock::Timestamp;
use crate::domain::error::Refusal;
use crate::domain::id::{PersonId, SessionId};
use crate::domain::key::Role;
use crate::domain::session::{LINK_MINUTES, MOST_LINK_MINUTES, Session};
use crate::store::sessions;

/// Whoever asks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PrincipalView {
    actor: Actor,
    role: Role,
    /// By which they were let in, where it was a session.
    session_id: Option<SessionId>,
}

pub async fn me(principal: Principal) -> Json<PrincipalView> {
    let session_id = if let Credential::Session(id) = principal.credential { Some(id) } else { None };
    Json(PrincipalView { actor: principal.actor, role: principal.role, session_id })
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionView {
    id: SessionId,
    person_id: PersonId,
    /// What the browser says that it is.
    client: String,
    created_at: Timestamp,
    /// To a minute.
    last_used_at: Timestamp,
    expires_at: Timestamp,
}

impl SessionView {
    fn of(session: &Session) -> Self {
        Self {
            id: session.id,
            person_id: session.person_id,
            client: session.client.clone(),
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The `next` of the page before.
    #[serde(default)]
    after: String,
    /// Of items on a page.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = LONGEST_PAGE))]
    limit: u32,
    /// One's own unless given; an admin may look at another's.
    person_id: Option<PersonId>,
}

pub async fn list(
    State(api): State<Shared>,
    principal: Principal,
    Params(listing): Params<Listing>,
) -> Answer<Json<Page<SessionView>>> {
    let limit = check_limit(listing.limit)?;
    let after = cursor::<SessionId>(&listing.after)?.map(|id| id.to_string()).unwrap_or_default();
    let own = if let Actor::Person { id, .. } = &principal.actor { Some(*id) } else { None };
    let person = match listing.person_id {
        Some(person) if own != Some(person) && principal.role < Role::Admin => {
            let message = "it is another's; leave it out to see your own sessions, or ask as an admin";
            return Err(Refusal::invalid("person_id", message).into());
        }
        Some(person) => Some(person),
        None => own,
    };
    // A key has no sessions.
    let Some(person) = person else { return Ok(Json(Page { items: Vec::new(), next: None })) };
    let found = api.read(move |tx| Ok(sessions::list(tx, person, &after, limit)?)).await?;
    Ok(Page::of(&found, limit, |session| session.id.to_string(), SessionView::of))
}

pub async fn end(State(api): State<Shared>, principal: Principal, Ids(id): Ids<SessionId>) -> Answer<Gone> {
    api.registry.end_session(&principal, id).await?;
    Ok(Gone)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// For how long it is in force.
    #[serde(default = "usual_minutes")]
    #[schemars(range(min = 1, max = MOST_LINK_MINUTES))]
    minutes: u32,
}

fn usual_minutes() -> u32 {
    LINK_MINUTES
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct LoginLinkView {
    person_id: PersonId,
    /// Whoever opens it is this person. It is shown this once.
    url: String,
    expires_at: Timestamp,
}

pub async fn make_link(
    State(api): State<Shared>,
    principal: Principal,
    Ids(person_id): Ids<PersonId>,
    Body(request): Body<LinkRequest>,
) -> Answer<Created<Json<LoginLinkView>>> {
    let (link, text) = api.registry.make_login_link(principal.actor, person_id, request.minutes).await?;
    let url = format!("{}/login?token={text}", api.public_url);
    Ok(Created(Json(LoginLinkView { person_id, url, expires_at: link.expires_at })))
}
