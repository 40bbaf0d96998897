//! Who makes a request and who made a change: a person, a key of the API, or Bellwether itself.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::{KeyId, PersonId, SessionId};
use super::key::Role;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    Key {
        id: KeyId,
        name: String,
    },
    Person {
        id: PersonId,
        name: String,
    },
    /// A schedule, or the recovery of something that a crash left behind.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { name, .. } => write!(f, "the key '{name}'"),
            Self::Person { name, .. } => f.write_str(name),
            Self::System => f.write_str("Bellwether itself"),
        }
    }
}

/// By what somebody was let in. What lasts, ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    Key(KeyId),
    Session(SessionId),
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Session(id) => id.fmt(f),
        }
    }
}

/// Who makes a request, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub actor: Actor,
    pub role: Role,
    pub credential: Credential,
}
