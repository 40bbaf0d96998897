//! What is done to things that have a history but no versions of their own: keys, login links, settings of the installation. The
//! audit trail tells it. Definitions write their own (`definitions`), and so do experiments (`record`) and endpoints.

use serde_json::Value;

use super::Result;
use crate::domain::actor::Actor;
use crate::domain::change::Change;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::FieldChange;
use crate::store::{Tx, changes};

/// What was done to `subject`, an id that says by its beginning what it is of. No secret may stand in `changes`.
pub fn note(
    tx: &mut dyn Tx,
    subject: &str,
    action: &str,
    actor: &Actor,
    at: Timestamp,
    changes: Vec<FieldChange>,
) -> Result<()> {
    let change = Change {
        revision: changes::next_version_of_definition(tx, subject)?,
        action: action.to_owned(),
        actor: actor.clone(),
        occurred_at: at,
        changes,
        reason: String::new(),
    };
    Ok(changes::insert_of_definition(tx, subject, &change)?)
}

/// A field that was `from`, and is `to` now.
pub fn changed(field: &str, from: Value, to: Value) -> FieldChange {
    FieldChange { field: field.to_owned(), from, to }
}
