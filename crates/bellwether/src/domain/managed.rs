//! Who keeps a definition in place of the API's users: a metric sync, which takes it from files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManagedBy {
    pub sync_tag: String,
    /// Where its files are.
    #[serde(default)]
    pub reference_url: Option<String>,
}
