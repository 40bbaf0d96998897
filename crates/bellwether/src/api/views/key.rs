//! A key of the API. Its text is shown once, when it is made.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::key::{ApiKey, Role};
use crate::registry::IssuedKey;

#[derive(Debug, Serialize, JsonSchema)]
pub struct KeyView {
    id: KeyId,
    name: String,
    role: Role,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl KeyView {
    pub fn of(key: &ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            role: key.role,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct IssuedKeyView {
    #[serde(flatten)]
    view: KeyView,
    key: String,
}

impl IssuedKeyView {
    pub fn of(issued: IssuedKey) -> Self {
        Self { view: KeyView::of(&issued.key), key: issued.text }
    }
}
