//! A change: the audit record of one revision of an experiment, or of an endpoint: who, when, what from, what to, why.

use super::actor::Actor;
use super::clock::Timestamp;
use super::configuration::FieldChange;
use super::id::EndpointChangeId;

/// The longest `changes` that a detailed event carries, in bytes of JSON.
const LONGEST_CHANGES: usize = 16 * 1024;

#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub revision: i64,
    /// What was done, as a word: `created`, `edited`, `started`, `metric_added`, …
    pub action: String,
    pub actor: Actor,
    pub occurred_at: Timestamp,
    pub changes: Vec<FieldChange>,
    pub reason: String,
}

impl Change {
    /// `changes` as a detailed event carries it, printed as ECMAScript prints it, and whether all of them fit.
    pub fn for_event(&self) -> (String, bool) {
        let value = serde_json::to_value(&self.changes).unwrap_or_default();
        let text = bellwether_webhook::ecma::stringify(&value);
        if text.len() <= LONGEST_CHANGES { (text, true) } else { ("[]".to_owned(), false) }
    }
}

/// The audit record of an endpoint: what a user or its receiver's behaviour made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointChange {
    pub id: EndpointChangeId,
    /// `created`, `edited`, `failing`, `disabled`, `recovered`, `rotated`, …
    pub action: String,
    pub actor: Actor,
    pub occurred_at: Timestamp,
    pub changes: Vec<FieldChange>,
    pub reason: String,
}
