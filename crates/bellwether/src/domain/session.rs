//! How people are let in: a login link is used once and begins a session; a session is what a browser shows with each request.

use std::time::Duration;

use super::clock::Timestamp;
use super::error::Refusal;
use super::id::{LoginLinkId, PersonId, SessionId};
use super::token::{self, Presented};

/// A session ends so long after its login, and earlier where nothing has been asked with it for so long.
pub const SESSION_LENGTH: Duration = Duration::from_hours(24 * 30);
pub const LONGEST_REST: Duration = Duration::from_hours(24 * 7);
/// Unless somebody asks for longer, as for an invitation.
pub const LINK_MINUTES: u32 = 10;
pub const MOST_LINK_MINUTES: u32 = 7 * 24 * 60;
/// Of what a browser says of itself.
const LONGEST_CLIENT: usize = 200;

const LINK_KIND: &str = "bwl";
const SESSION_KIND: &str = "bws";

/// For how long a link may be in force; `field` is where it was given.
pub fn check_minutes(field: &str, minutes: u32) -> Result<(), Refusal> {
    if (1..=MOST_LINK_MINUTES).contains(&minutes) {
        return Ok(());
    }
    let message = format!("{minutes} was given; from 1 to {MOST_LINK_MINUTES} (seven days) are allowed");
    Err(Refusal::invalid(field, message))
}

/// A link that lets its person in, once.
#[derive(Debug, Clone)]
pub struct LoginLink {
    pub id: LoginLinkId,
    pub person_id: PersonId,
    pub hash: Vec<u8>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct Session {
    pub id: SessionId,
    pub person_id: PersonId,
    pub hash: Vec<u8>,
    /// What the browser says that it is.
    pub client: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub last_used_at: Timestamp,
}

pub type PresentedLink = Presented<LoginLinkId>;
pub type PresentedSession = Presented<SessionId>;

pub fn parse_link(text: &str) -> Option<PresentedLink> {
    Presented::parse(LINK_KIND, LoginLinkId::PREFIX, text)
}

pub fn parse_session(text: &str) -> Option<PresentedSession> {
    Presented::parse(SESSION_KIND, SessionId::PREFIX, text)
}

impl LoginLink {
    /// A link that is in force for so many minutes, and its text. `secret` must come from a secure source.
    pub fn make(
        id: LoginLinkId,
        person_id: PersonId,
        secret: [u8; 32],
        now: Timestamp,
        minutes: u32,
    ) -> Result<(Self, String), Refusal> {
        check_minutes("minutes", minutes)?;
        let (text, hash) = token::issue(LINK_KIND, id.to_string().trim_start_matches(LoginLinkId::PREFIX), secret);
        let expires_at = now.plus(Duration::from_secs(u64::from(minutes) * 60));
        Ok((Self { id, person_id, hash, created_at: now, expires_at }, text))
    }

    pub fn admits(&self, presented: &PresentedLink, now: Timestamp) -> bool {
        presented.fits(&self.hash) && now < self.expires_at
    }
}

impl Session {
    /// A session that begins now, and its text.
    pub fn begin(id: SessionId, person_id: PersonId, secret: [u8; 32], client: &str, now: Timestamp) -> (Self, String) {
        let (text, hash) = token::issue(SESSION_KIND, id.to_string().trim_start_matches(SessionId::PREFIX), secret);
        let client = client.chars().filter(|letter| !letter.is_control()).take(LONGEST_CLIENT).collect();
        let expires_at = now.plus(SESSION_LENGTH);
        (Self { id, person_id, hash, client, created_at: now, expires_at, last_used_at: now }, text)
    }

    pub fn admits(&self, presented: &PresentedSession, now: Timestamp) -> bool {
        presented.fits(&self.hash) && self.is_in_force(now)
    }

    pub fn is_in_force(&self, now: Timestamp) -> bool {
        now < self.expires_at && now.since(self.last_used_at) < LONGEST_REST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(hours: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_hours(hours))
    }

    #[test]
    fn a_session_ends_by_age_and_by_rest() {
        let (mut session, text) = Session::begin(SessionId::of(1), PersonId::of(2), [3; 32], "a\nb", after(0));
        let presented = parse_session(&text).unwrap();
        assert_eq!(session.client, "ab");
        assert!(session.admits(&presented, after(24 * 7 - 1)) && !session.admits(&presented, after(24 * 7)));
        session.last_used_at = after(24 * 29);
        assert!(session.admits(&presented, after(24 * 30 - 1)) && !session.admits(&presented, after(24 * 30)));
    }

    #[test]
    fn a_link_is_in_force_for_as_long_as_was_asked() {
        let make = |minutes| LoginLink::make(LoginLinkId::of(1), PersonId::of(2), [3; 32], after(0), minutes);
        let (link, text) = make(60).unwrap();
        let presented = parse_link(&text).unwrap();
        assert!(link.admits(&presented, Timestamp::from_micros(3_599_999_999)) && !link.admits(&presented, after(1)));
        assert!(make(0).is_err() && make(MOST_LINK_MINUTES + 1).is_err());
        assert!(parse_session(&text).is_none());
    }
}
