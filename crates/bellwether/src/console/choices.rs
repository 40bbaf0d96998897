//! What forms let choose of: definitions by their names.

use serde::Deserialize;

use crate::console::failure::Failure;
use crate::console::form::Kind;
use crate::console::visit::Visit;

/// Something that has a name.
#[derive(Deserialize)]
pub struct Named {
    pub id: String,
    pub name: String,
}

/// All definitions of a kind, or none, which is called `nothing`.
pub async fn named(visit: &Visit, path: &str, nothing: &str) -> Result<Kind, Failure> {
    let found: Vec<Named> = visit.all(&format!("/{path}?sort=name")).await?;
    Ok(optional(nothing, found.into_iter().map(|named| (named.id, named.name))))
}

/// Of pairs of value and name, or none.
pub fn optional(nothing: &str, pairs: impl IntoIterator<Item = (String, String)>) -> Kind {
    let first = [(String::new(), nothing.to_owned())];
    Kind::Choice(first.into_iter().chain(pairs).collect())
}
