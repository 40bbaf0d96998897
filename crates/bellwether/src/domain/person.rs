//! People: who uses the console, with a role like a key's. They are let in by links and stay in by sessions (see `session`);
//! there are no passwords.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{FieldErrors, Refusal, Validate};
use super::key::Role;
use super::schema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// As the history calls them.
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    pub role: Role,
}

impl Validate for Person {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        errors.finish()
    }
}
