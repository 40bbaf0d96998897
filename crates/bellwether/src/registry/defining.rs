//! What every kind of definition has in common: what it says of itself, and how it is written, with its history, within a
//! transaction. Who may ask for it, and with what, is the commands' (`definitions`, `metric_sync`).

use serde_json::{Map, Value};

use super::{Context, Effect, Error, Result};
use crate::domain::actor::Actor;
use crate::domain::change::Change;
use crate::domain::configuration::FieldChange;
use crate::domain::error::{Conflict, FieldErrors, Refusal, Validate};
use crate::domain::managed::ManagedBy;
use crate::domain::warehouse::Engine;
use crate::store::definitions::{self, Definition, Stored};
use crate::store::{StoreError, Tx, changes};

/// Users that a refusal names.
const MOST_USERS_NAMED: u32 = 10;

/// A kind of definition as users write it.
pub trait Defined: Stored + Validate {
    /// What it is called in messages.
    const KIND: &'static str;

    /// Checks what it refers to, and fills in what Bellwether gives.
    fn complete(&mut self, _context: &Completion<'_>, _tx: &mut dyn Tx, _before: Option<&Self>) -> Result<()> {
        Ok(())
    }

    /// Refuses an edit that takes out what others need. Asked of users' edits alone: a sync edits those others, too.
    fn check_needed(&self, _tx: &mut dyn Tx, _before: &Definition<Self>) -> Result<()> {
        Ok(())
    }

    /// The warehouse that it names. That is looked at before the transaction and not in it: a disk may hang.
    fn engine(&self) -> Option<&Engine> {
        None
    }

    /// The sync that keeps it, in place of whoever uses the API.
    fn managed_by(&self) -> Option<&ManagedBy> {
        None
    }

    /// What is to be forgotten once one was edited or removed.
    fn changed(_completion: &Completion<'_>, _tx: &mut dyn Tx) {}

    /// What follows from an edit, in the same transaction.
    fn carry_through(&self, _context: &Completion<'_>, _tx: &mut dyn Tx, _id: Self::Id) -> Result<()> {
        Ok(())
    }
}

/// What completing a definition, or carrying through an edit of it, may need.
pub struct Completion<'a> {
    pub(super) context: &'a Context,
}

impl Context {
    /// Writes a new one; `reason` is for its history.
    pub fn define<D: Defined>(
        &self,
        tx: &mut dyn Tx,
        actor: &Actor,
        mut body: D,
        reason: &str,
    ) -> Result<Definition<D>> {
        body.complete(&Completion { context: self }, tx, None)?;
        let now = self.setup.clock.now();
        let id = D::Id::from(self.setup.ids.next());
        let number = definitions::next_number::<D>(tx)?;
        let definition = Definition { id, number, body, version: 1, created_at: now, updated_at: now };
        definitions::insert(tx, &definition).map_err(|error| refuse_taken(error, &definition.body))?;
        note_change(tx, &definition, actor, "created", changes_between(None, Some(&definition.body)), reason)?;
        Ok(definition)
    }

    /// Writes `body` over one that is locked, if it is another.
    pub fn redefine<D: Defined>(
        &self,
        tx: &mut dyn Tx,
        actor: &Actor,
        before: Definition<D>,
        mut body: D,
        reason: &str,
    ) -> Result<Effect<Definition<D>>> {
        body.complete(&Completion { context: self }, tx, Some(&before.body))?;
        if body == before.body {
            return Ok(Effect { value: before, is_changed: false });
        }
        let changes = changes_between(Some(&before.body), Some(&body));
        let after = Definition { body, version: before.version + 1, updated_at: self.setup.clock.now(), ..before };
        definitions::update(tx, &after).map_err(|error| refuse_taken(error, &after.body))?;
        note_change(tx, &after, actor, "edited", changes, reason)?;
        after.body.carry_through(&Completion { context: self }, tx, after.id)?;
        D::changed(&Completion { context: self }, tx);
        Ok(Effect { value: after, is_changed: true })
    }

    /// Removes one that is locked. Refused, with their names, while others refer to it.
    pub fn undefine<D: Defined>(
        &self,
        tx: &mut dyn Tx,
        actor: &Actor,
        before: Definition<D>,
        reason: &str,
    ) -> Result<()> {
        let users = definitions::users::<D>(tx, before.id, MOST_USERS_NAMED + 1)?;
        if !users.is_empty() {
            return Err(refuse_in_use(D::KIND, before.body.name(), &users));
        }
        definitions::delete::<D>(tx, before.id).map_err(|error| match error {
            StoreError::Reference(_) => refuse_in_use(D::KIND, before.body.name(), &[]),
            other => other.into(),
        })?;
        D::changed(&Completion { context: self }, tx);
        let changes = changes_between(Some(&before.body), None);
        let gone = Definition { version: before.version + 1, updated_at: self.setup.clock.now(), ..before };
        note_change(tx, &gone, actor, "deleted", changes, reason)
    }
}

/// What a sync keeps is edited where the sync takes it from.
pub fn refuse_managed<D: Defined>(body: &D) -> Result<()> {
    let Some(managed) = body.managed_by() else { return Ok(()) };
    let (kind, name, tag) = (D::KIND, body.name(), &managed.sync_tag);
    let place = managed.reference_url.as_ref().map(|url| format!(", {url}")).unwrap_or_default();
    let detail = format!(
        "the {kind} '{name}' is managed by the metric sync '{tag}': edit or remove it in the files that are synced{place}, \
         and sync again"
    );
    Err(Refusal::conflict(Conflict::State, detail).into())
}

/// Only a sync marks as its own.
pub fn refuse_mark() -> Refusal {
    Refusal::invalid("managed_by", "it was given; it is set by metric syncs alone: leave it out")
}

pub fn refuse_in_use(kind: &str, name: &str, users: &[(String, String)]) -> Error {
    let most = MOST_USERS_NAMED as usize;
    let named: Vec<_> = users.iter().take(most).map(|(kind, name)| format!("the {kind} '{name}'")).collect();
    let more = if users.len() > most { " and more" } else { "" };
    let by = if named.is_empty() { String::new() } else { format!(" by {}{more}", named.join(", ")) };
    let detail = format!("the {kind} '{name}' is still referred to{by}; remove what uses it first");
    Refusal::conflict(Conflict::InUse, detail).into()
}

/// Writes what was done into the history of a definition, as it is after it.
fn note_change<D: Defined>(
    tx: &mut dyn Tx,
    definition: &Definition<D>,
    actor: &Actor,
    action: &str,
    changes: Vec<FieldChange>,
    reason: &str,
) -> Result<()> {
    let change = Change {
        revision: definition.version,
        action: action.to_owned(),
        actor: actor.clone(),
        occurred_at: definition.updated_at,
        changes,
        reason: reason.to_owned(),
    };
    Ok(changes::insert_of_definition(tx, &definition.id.to_string(), &change)?)
}

/// What differs, field by field; `None` before it was there, and after.
fn changes_between<D: Defined>(before: Option<&D>, after: Option<&D>) -> Vec<FieldChange> {
    let fields = |of: Option<&D>| match of.map(serde_json::to_value) {
        Some(Ok(Value::Object(fields))) => fields,
        _ => Map::new(),
    };
    let (before, after) = (fields(before), fields(after));
    let value = |of: &Map<String, Value>, field: &String| of.get(field).cloned().unwrap_or_default();
    let added = after.keys().filter(|field| !before.contains_key(*field));
    before
        .keys()
        .chain(added)
        .map(|field| FieldChange { field: field.clone(), from: value(&before, field), to: value(&after, field) })
        .filter(|change| change.from != change.to)
        .collect()
}

fn with_article(kind: &str) -> String {
    if kind.starts_with(['a', 'e']) { format!("an {kind}") } else { format!("a {kind}") }
}

fn refuse_taken<D: Defined>(error: StoreError, body: &D) -> Error {
    match error {
        StoreError::Unique(_) => Refusal::conflict(
            Conflict::Taken,
            format!("name: there is {} named '{}' already; choose another", with_article(D::KIND), body.name()),
        )
        .into(),
        StoreError::Reference(_) => Refusal::conflict(
            Conflict::InUse,
            format!(
                "'{}': something that it leaves out is still referred to, or what it refers to was just removed",
                body.name()
            ),
        )
        .into(),
        other => other.into(),
    }
}

/// Notes under `field` that there is no such thing.
pub fn require<D: Defined>(tx: &mut dyn Tx, errors: &mut FieldErrors, field: &str, id: D::Id) -> Result<Option<D>> {
    let found = definitions::get::<D>(tx, id)?;
    errors.check(found.is_some(), field, || format!("there is no {} '{id}'; see /api/v1/{}", D::KIND, D::TABLE));
    Ok(found.map(|definition| definition.body))
}
