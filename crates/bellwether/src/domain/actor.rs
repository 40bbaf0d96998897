//! Who made a change: a key of the API, or Bellwether itself. People come with the console.

use serde::{Deserialize, Serialize};

use super::id::KeyId;

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
