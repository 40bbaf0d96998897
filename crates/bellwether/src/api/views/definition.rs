//! A definition: its body's fields, between what Bellwether adds.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::clock::Timestamp;
use crate::registry::Defined;
use crate::store::definitions::Definition;

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{D}View")]
pub struct DefinitionView<D> {
    id: String,
    number: i64,
    #[serde(flatten)]
    body: D,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<D: Defined> DefinitionView<D> {
    pub fn of(definition: &Definition<D>) -> Self {
        Self {
            id: definition.id.to_string(),
            number: definition.number,
            body: definition.body.clone(),
            version: definition.version,
            created_at: definition.created_at,
            updated_at: definition.updated_at,
        }
    }
}
