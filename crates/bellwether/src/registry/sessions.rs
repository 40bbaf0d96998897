//! How people are let in: login links that are used once, and the sessions that they begin.

use std::sync::Arc;

use serde_json::json;

use super::keys::USE_NOTED_EVERY;
use super::trail::{self, changed};
use super::{Completion, Defined, Registry, Result};
use crate::domain::actor::{Actor, Credential, Principal};
use crate::domain::clock::Timestamp;
use crate::domain::error::Refusal;
use crate::domain::id::{LoginLinkId, PersonId, SessionId};
use crate::domain::key::Role;
use crate::domain::person::Person;
use crate::domain::session::{self, LONGEST_REST, LoginLink, PresentedSession, Session};
use crate::store::{Tx, definitions, sessions};

/// A session, and whose it is.
#[derive(Debug, Clone)]
pub struct Known {
    session: Session,
    person: Person,
}

impl Known {
    fn admit(self, presented: &PresentedSession, now: Timestamp) -> Option<Principal> {
        let Self { session, person } = self;
        let actor = Actor::Person { id: session.person_id, name: person.name };
        let principal = Principal { actor, role: person.role, credential: Credential::Session(session.id) };
        session.admits(presented, now).then_some(principal)
    }
}

/// Writes what became of a link into the audit trail, where its text does not stand.
fn note_link(tx: &mut dyn Tx, link: &LoginLink, actor: &Actor, action: &str, at: Timestamp) -> Result<()> {
    let whose = changed("person_id", json!(null), json!(link.person_id));
    trail::note(tx, &link.id.to_string(), action, actor, at, vec![whose])
}

/// The person that a new installation has.
const FIRST_PERSON: &str = "admin";

impl Registry {
    /// A link that lets a person in once, and its text.
    pub async fn make_login_link(&self, actor: Actor, person: PersonId, minutes: u32) -> Result<(LoginLink, String)> {
        let (id, secret) = (LoginLinkId::of(self.ids().next()), self.ids().secret_bytes());
        let (link, text) = LoginLink::make(id, person, secret, self.clock().now(), minutes)?;
        let stored = link.clone();
        self.command(move |_, tx| {
            definitions::get::<Person>(tx, person)?.ok_or_else(|| Refusal::not_found(Person::KIND, person))?;
            sessions::insert_link(tx, &stored)?;
            note_link(tx, &stored, &actor, "created", stored.created_at)
        })
        .await?;
        Ok((link, text))
    }

    /// The person whom a new installation lets in first, where there is nobody yet.
    pub async fn first_person(&self) -> Result<Option<PersonId>> {
        if !self.db().read(definitions::all::<Person>).await?.is_empty() {
            return Ok(None);
        }
        let person = Person { name: FIRST_PERSON.to_owned(), role: Role::Admin };
        Ok(Some(self.define(Actor::System, person).await?.id))
    }

    /// Uses a link up and begins a session: itself, and its text. `None`: the link is not in force, or was used.
    pub async fn log_in(&self, text: &str, client: &str) -> Result<Option<(Session, String)>> {
        let Some(presented) = session::parse_link(text) else { return Ok(None) };
        let presented = Arc::new(presented);
        // Whoever guesses keeps no change waiting.
        let (looked_for, now) = (presented.id, self.clock().now());
        let found: Result<Option<LoginLink>> =
            self.db().read(move |tx: &mut dyn Tx| Ok(sessions::link(tx, looked_for)?)).await;
        if !found?.is_some_and(|link| link.admits(&presented, now)) {
            return Ok(None);
        }
        let (id, secret, client) = (SessionId::of(self.ids().next()), self.ids().secret_bytes(), client.to_owned());
        self.command(move |context, tx| {
            let now = context.setup.clock.now();
            let link = sessions::link(tx, presented.id)?.filter(|link| link.admits(&presented, now));
            let Some(link) = link else { return Ok(None) };
            if !sessions::use_up_link(tx, link.id)? {
                return Ok(None);
            }
            let (session, text) = Session::begin(id, link.person_id, secret, &client, now);
            sessions::insert(tx, &session)?;
            let name = definitions::get::<Person>(tx, link.person_id)?.map(|person| person.body.name);
            let actor = Actor::Person { id: link.person_id, name: name.unwrap_or_default() };
            note_link(tx, &link, &actor, "used", now)?;
            Ok(Some((session, text)))
        })
        .await
    }

    /// Who shows this text of a session, if it is in force. Its use is noted once a minute at most.
    pub async fn authenticate_session(&self, text: &str) -> Result<Option<Principal>> {
        let Some(presented) = session::parse_session(text) else { return Ok(None) };
        let now = self.clock().now();
        if let Some(known) = self.context.known_sessions.get(presented.id, self.clock().monotonic()) {
            return Ok(known.admit(&presented, now));
        }
        let Some(known) = self.look_up_session(presented.id).await? else { return Ok(None) };
        let (id, last_used_at) = (known.session.id, known.session.last_used_at);
        let principal = known.admit(&presented, now);
        if principal.is_some() && now.since(last_used_at) >= USE_NOTED_EVERY {
            let db = self.db().clone();
            // No request waits for this, and none fails by it.
            tokio::spawn(async move { db.write_outcomes(move |tx| sessions::note_use(tx, id, now)).await.ok() });
        }
        Ok(principal)
    }

    /// Whether whoever was let in by this earlier would be let in now.
    pub async fn is_in_force(&self, credential: Credential) -> Result<bool> {
        match credential {
            Credential::Key(id) => self.is_key_in_force(id).await,
            Credential::Session(id) => {
                let known = match self.context.known_sessions.get(id, self.clock().monotonic()) {
                    Some(known) => Some(known),
                    None => self.look_up_session(id).await?,
                };
                let now = self.clock().now();
                Ok(known.is_some_and(|known| known.session.is_in_force(now)))
            }
        }
    }

    /// Whoever ends another's session must be an admin.
    pub async fn end_session(&self, by: &Principal, id: SessionId) -> Result<()> {
        let by = by.clone();
        self.command(move |_, tx| {
            let not_found = || Refusal::not_found("session", id);
            let session = sessions::get(tx, id)?.ok_or_else(not_found)?;
            let is_own = matches!(&by.actor, Actor::Person { id, .. } if *id == session.person_id);
            if !is_own && by.role < Role::Admin {
                return Err(not_found().into());
            }
            sessions::delete(tx, id)?;
            Ok(())
        })
        .await?;
        self.context.known_sessions.forget_all();
        Ok(())
    }

    /// Removes what nobody can use any more.
    pub async fn prune_sessions(&self) -> Result<()> {
        let now = self.clock().now();
        Ok(self.db().write_outcomes(move |tx| sessions::prune(tx, now, now.minus(LONGEST_REST))).await?)
    }

    async fn look_up_session(&self, id: SessionId) -> Result<Option<Known>> {
        let looked_up_at = self.clock().monotonic();
        let look = move |tx: &mut dyn Tx| {
            let Some(session) = sessions::get(tx, id)? else { return Ok(None) };
            let person = definitions::get::<Person>(tx, session.person_id)?;
            Ok(person.map(|person| Known { session, person: person.body }))
        };
        let known: Result<Option<Known>> = self.db().read(look).await;
        let known = known?;
        if let Some(known) = &known {
            self.context.known_sessions.put(id, looked_up_at, known.clone());
        }
        Ok(known)
    }
}

impl Defined for Person {
    const KIND: &'static str = "person";

    /// What they may do now, their sessions may do now.
    fn changed(completion: &Completion<'_>, tx: &mut dyn Tx) {
        let known = completion.context.known_sessions.clone();
        tx.after_commit(Box::new(move || known.forget_all()));
    }
}
