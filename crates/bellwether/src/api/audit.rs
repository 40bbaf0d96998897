//! The audit trail: who changed what, the latest first.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::answer::{Answer, Page};
use super::params::{PageParams, Params, check_limit, cursor};
use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::FieldChange;
use crate::store::audit::{self, Entry};

/// One change of something.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct EntryView {
    occurred_at: Timestamp,
    actor: Actor,
    /// An experiment's number as text, or an id, which says by its beginning of what.
    subject: String,
    action: String,
    changes: Vec<FieldChange>,
    reason: String,
}

impl EntryView {
    fn of(entry: &Entry) -> Self {
        Self {
            occurred_at: entry.place.occurred_at,
            actor: entry.actor.clone(),
            subject: entry.subject.clone(),
            action: entry.action.clone(),
            changes: entry.changes.clone(),
            reason: entry.reason.clone(),
        }
    }
}

pub async fn list(State(api): State<Shared>, Params(page): Params<PageParams>) -> Answer<Json<Page<EntryView>>> {
    let limit = check_limit(page.limit)?;
    let after = cursor::<audit::Place>(&page.after)?;
    let found = api.read(move |tx| Ok(audit::list(tx, after.as_ref(), limit)?)).await?;
    Ok(Page::of(&found, limit, |entry| entry.place.to_string(), EntryView::of))
}
