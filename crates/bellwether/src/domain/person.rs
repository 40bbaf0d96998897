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
        name_of_actor(&mut errors, &self.name);
        errors.finish()
    }
}

/// What stands in logs and on terminals must stay within its line.
pub fn name_of_actor(errors: &mut FieldErrors, name: &str) {
    errors.name("name", name);
    let is_plain = !name.chars().any(char::is_control);
    errors.check(is_plain, "name", || "it has control characters, such as line breaks; leave them out".to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_within_its_line() {
        for (name, is_allowed) in
            [("Ada L.", true), ("Zoë 💡", true), ("a\nb", false), ("\u{1b}[2J", false), ("", false)]
        {
            let person = Person { name: name.to_owned(), role: Role::Read };
            assert_eq!(person.validate().is_ok(), is_allowed, "{name:?}");
        }
    }
}
