//! The key that secrets are encrypted with: its name, and its rotation. The key itself is never told.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::answer::Answer;
use super::body::{Body, Nothing};
use crate::domain::actor::Principal;
use crate::registry::EncryptionKey;

#[derive(Debug, Serialize, JsonSchema)]
pub struct EncryptionKeyView {
    /// What it is called in messages; it says nothing of the key.
    name: String,
    /// Others that this node could open with, by name.
    others: Vec<String>,
}

impl EncryptionKeyView {
    fn of(key: EncryptionKey) -> Self {
        Self { name: key.name, others: key.others }
    }
}

pub async fn get(State(api): State<Shared>) -> Json<EncryptionKeyView> {
    Json(EncryptionKeyView::of(api.registry.encryption_key()))
}

/// Answers once everything is sealed with the other key.
pub async fn rotate(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<EncryptionKeyView>> {
    Ok(Json(EncryptionKeyView::of(api.registry.rotate_encryption_key(actor).await?)))
}
