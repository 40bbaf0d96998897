//! How many rows a form has for the items of its lists.

use serde_json::Value;

use super::Fields;
use super::json::{items, text};

/// What that goes by.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    /// As many as the API shows, and room for more.
    Shown(&'a Value),
    /// As many as the browser's form had.
    Sent(&'a Fields),
}

impl Rows<'_> {
    pub fn of(self, list: &str, more: usize) -> usize {
        match self {
            Self::Shown(shown) => items(shown, list) + more,
            Self::Sent(fields) => fields.rows(list),
        }
    }

    /// What stands in a hidden input.
    pub fn text(self, name: &str) -> String {
        match self {
            Self::Shown(shown) => text(shown, name),
            Self::Sent(fields) => fields.text(name),
        }
    }
}
