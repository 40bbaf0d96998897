//! Who makes a request and who made a change: a key of the API, or Bellwether itself. People come with the console.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::KeyId;
use super::key::Role;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    Key {
        id: KeyId,
        name: String,
    },
    /// A schedule, or the recovery of something that a crash left behind.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { name, .. } => write!(f, "the key '{name}'"),
            Self::System => f.write_str("Bellwether itself"),
        }
    }
}

/// Who makes a request, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub actor: Actor,
    pub role: Role,
}
