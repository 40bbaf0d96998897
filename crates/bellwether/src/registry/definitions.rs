//! Commands on definitions. They are not experiments: editing one makes no event.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_warehouse::WarehouseConfig;
use serde_json::{Map, Value};

use super::edit::{check_version, overlay};
use super::{Context, Effect, Error, Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::aggregation::Aggregation;
use crate::domain::change::Change;
use crate::domain::collection::Collection;
use crate::domain::configuration::FieldChange;
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use crate::domain::error::{Conflict, FieldErrors, Refusal, Validate};
use crate::domain::id::{EntityId, FactId};
use crate::domain::metric::{Metric, MetricKind};
use crate::domain::warehouse::{Engine, Warehouse};
use crate::store::definitions::{self, Definition, Stored};
use crate::store::{StoreError, Tx, changes, experiments, settings};

const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Users that a refusal names.
const MOST_USERS_NAMED: u32 = 10;
/// Looks at a time.
pub(super) const MOST_LOOKS: usize = 4;

/// A kind of definition as users write it.
pub trait Defined: Stored + Validate {
    /// What it is called in messages.
    const KIND: &'static str;

    /// Checks what it refers to, and fills in what Bellwether gives.
    fn complete(&mut self, _context: &Completion<'_>, _tx: &mut dyn Tx, _before: Option<&Self>) -> Result<()> {
        Ok(())
    }

    /// The warehouse that it names. That is looked at before the transaction and not in it: a disk may hang.
    fn engine(&self) -> Option<&Engine> {
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

impl Registry {
    pub async fn define<D: Defined>(&self, actor: Actor, body: D) -> Result<Definition<D>> {
        body.validate()?;
        if let Some(engine) = body.engine() {
            self.look_at(engine).await?;
        }
        self.command(move |context, tx| {
            let mut body = body.clone();
            body.complete(&Completion { context }, tx, None)?;
            let now = context.setup.clock.now();
            let id = D::Id::from(context.setup.ids.next());
            let number = definitions::next_number::<D>(tx)?;
            let definition = Definition { id, number, body, version: 1, created_at: now, updated_at: now };
            definitions::insert(tx, &definition).map_err(|error| refuse_taken(error, &definition.body))?;
            note_change(tx, &definition, &actor, "created", changes_between(None, Some(&definition.body)))?;
            Ok(definition)
        })
        .await
    }

    pub async fn redefine<D: Defined>(
        &self,
        actor: Actor,
        id: D::Id,
        edit: Map<String, Value>,
        if_match: Option<String>,
    ) -> Result<Effect<Definition<D>>> {
        let looked_at = self.look_for_edit::<D>(id, &edit).await?;
        self.command(move |context, tx| {
            let before = definitions::lock::<D>(tx, id)?.ok_or_else(|| Refusal::not_found(D::KIND, id))?;
            check_version(if_match.as_deref(), before.version)?;
            let mut body: D = overlay(&before.body, edit.clone())?;
            body.validate()?;
            let is_looked_at = body.engine() == before.body.engine() || body.engine() == looked_at.as_ref();
            if !is_looked_at {
                let detail = "where it lies was edited at the same time; read it again, then repeat the edit";
                return Err(Refusal::conflict(Conflict::State, detail).into());
            }
            body.complete(&Completion { context }, tx, Some(&before.body))?;
            if body == before.body {
                return Ok(Effect { value: before, is_changed: false });
            }
            let changes = changes_between(Some(&before.body), Some(&body));
            let after =
                Definition { body, version: before.version + 1, updated_at: context.setup.clock.now(), ..before };
            definitions::update(tx, &after).map_err(|error| refuse_taken(error, &after.body))?;
            note_change(tx, &after, &actor, "edited", changes)?;
            after.body.carry_through(&Completion { context }, tx, id)?;
            D::changed(&Completion { context }, tx);
            Ok(Effect { value: after, is_changed: true })
        })
        .await
    }

    /// The warehouse that an edit names in place of another, once it was looked at.
    async fn look_for_edit<D: Defined>(&self, id: D::Id, edit: &Map<String, Value>) -> Result<Option<Engine>> {
        let seen = self.db().read(move |tx: &mut dyn Tx| definitions::get::<D>(tx, id)).await?;
        let seen = seen.ok_or_else(|| Refusal::not_found(D::KIND, id))?.body;
        let edited: D = overlay(&seen, edit.clone())?;
        edited.validate()?;
        let engine = edited.engine().filter(|engine| seen.engine() != Some(*engine)).cloned();
        if let Some(engine) = &engine {
            self.look_at(engine).await?;
        }
        Ok(engine)
    }

    /// For so long at most, and at so many at a time: a look that hangs holds its place until it does not.
    async fn look_at(&self, engine: &Engine) -> Result<()> {
        let busy = "other warehouses are being looked at, and do not answer; nothing was changed, try again later";
        let permit = self.context.looks.clone().try_acquire_owned().map_err(|_| Error::Busy(busy))?;
        let config = warehouse_config(engine, self.files_roots());
        let looking = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            config.look()
        });
        match tokio::time::timeout(LOOK_TIMEOUT, looking).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(failure))) => Err(Refusal::invalid(place_of(engine), failure.to_string()).into()),
            Ok(Err(error)) => Err(StoreError::Failed(error.to_string()).into()),
            Err(_) => {
                let seconds = LOOK_TIMEOUT.as_secs();
                let message = format!("it did not answer within {seconds} s; check the disk or mount that it lies on");
                Err(Refusal::invalid(place_of(engine), message).into())
            }
        }
    }

    /// Refused, with their names, while others refer to it.
    pub async fn undefine<D: Defined>(&self, actor: Actor, id: D::Id, if_match: Option<String>) -> Result<()> {
        self.command(move |context, tx| {
            let before = definitions::lock::<D>(tx, id)?.ok_or_else(|| Refusal::not_found(D::KIND, id))?;
            check_version(if_match.as_deref(), before.version)?;
            let users = definitions::users::<D>(tx, id, MOST_USERS_NAMED + 1)?;
            if !users.is_empty() {
                return Err(refuse_in_use(D::KIND, before.body.name(), &users));
            }
            definitions::delete::<D>(tx, id).map_err(|error| match error {
                StoreError::Reference(_) => refuse_in_use(D::KIND, before.body.name(), &[]),
                other => other.into(),
            })?;
            D::changed(&Completion { context }, tx);
            let changes = changes_between(Some(&before.body), None);
            let now = context.setup.clock.now();
            let gone = Definition { version: before.version + 1, updated_at: now, ..before };
            note_change(tx, &gone, &actor, "deleted", changes)
        })
        .await
    }
}

fn refuse_in_use(kind: &str, name: &str, users: &[(String, String)]) -> Error {
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
) -> Result<()> {
    let change = Change {
        revision: definition.version,
        action: action.to_owned(),
        actor: actor.clone(),
        occurred_at: definition.updated_at,
        changes,
        reason: String::new(),
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

/// The field that says where a warehouse lies.
fn place_of(engine: &Engine) -> &'static str {
    match engine {
        Engine::Files { .. } => "path",
    }
}

/// What opens a warehouse. Folders must lie below one of `files_roots`.
pub fn warehouse_config(engine: &Engine, files_roots: &[PathBuf]) -> WarehouseConfig {
    match engine {
        Engine::Files { path, tables } => {
            WarehouseConfig::Files { path: path.into(), roots: files_roots.to_vec(), tables: tables.clone() }
        }
    }
}

fn refuse_taken<D: Defined>(error: StoreError, body: &D) -> Error {
    match error {
        StoreError::Unique(_) => Refusal::conflict(
            Conflict::Taken,
            format!("name: there is a {} named '{}' already; choose another", D::KIND, body.name()),
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
fn require<D: Defined>(tx: &mut dyn Tx, errors: &mut FieldErrors, field: &str, id: D::Id) -> Result<Option<D>> {
    let found = definitions::get::<D>(tx, id)?;
    errors.check(found.is_some(), field, || format!("there is no {} '{id}'; see /api/v1/{}", D::KIND, D::TABLE));
    Ok(found.map(|definition| definition.body))
}

impl Defined for Entity {
    const KIND: &'static str = "entity";
}

impl Defined for Team {
    const KIND: &'static str = "team";
}

impl Defined for Schedule {
    const KIND: &'static str = "schedule";

    /// Who follows it is due by what it says now.
    fn carry_through(&self, completion: &Completion<'_>, tx: &mut dyn Tx, id: Self::Id) -> Result<()> {
        let now = completion.context.setup.clock.now();
        experiments::reschedule(tx, id, self.upcoming(now), now)?;
        Ok(())
    }
}

impl Defined for Warehouse {
    const KIND: &'static str = "warehouse";

    fn engine(&self) -> Option<&Engine> {
        Some(&self.engine)
    }
}

impl Defined for AssignmentSource {
    const KIND: &'static str = "assignment source";

    fn complete(&mut self, _: &Completion<'_>, tx: &mut dyn Tx, _: Option<&Self>) -> Result<()> {
        let mut errors = FieldErrors::default();
        require::<Warehouse>(tx, &mut errors, "warehouse_id", self.warehouse_id)?;
        require::<Entity>(tx, &mut errors, "entity_id", self.entity_id)?;
        Ok(errors.finish()?)
    }
}

impl Defined for FactSource {
    const KIND: &'static str = "fact source";

    /// A fact keeps its id by its id or its name; another source's id cannot be taken.
    fn complete(&mut self, completion: &Completion<'_>, tx: &mut dyn Tx, before: Option<&Self>) -> Result<()> {
        let mut errors = FieldErrors::default();
        require::<Warehouse>(tx, &mut errors, "warehouse_id", self.warehouse_id)?;
        for (i, entity) in self.entities.iter().enumerate() {
            require::<Entity>(tx, &mut errors, &format!("entities[{i}].entity_id"), entity.entity_id)?;
        }
        let known = before.map_or(&[][..], |before| &before.facts);
        for i in 0..self.facts.len() {
            let named = known.iter().find(|fact| fact.name == self.facts[i].name).and_then(|fact| fact.id);
            match self.facts[i].id {
                None => self.facts[i].id = named.or_else(|| Some(FactId::of(completion.context.setup.ids.next()))),
                Some(id) => {
                    errors.check(known.iter().any(|fact| fact.id == Some(id)), &format!("facts[{i}].id"), || {
                        format!("{id} is not a fact of this source; leave the id out for a new fact")
                    })
                }
            }
            let twice = self.facts[..i].iter().any(|fact| fact.id == self.facts[i].id);
            errors.check(!twice, &format!("facts[{i}].id"), || "it stands twice".to_owned());
            let kept = known.iter().find(|fact| fact.id == self.facts[i].id).and_then(|fact| fact.number);
            check_number(&mut errors, &format!("facts[{i}].number"), self.facts[i].number, kept);
            self.facts[i].number = kept;
        }
        let known = before.map_or(&[][..], |before| &before.properties);
        for (i, property) in self.properties.iter_mut().enumerate() {
            let kept = known.iter().find(|there| there.name == property.name).and_then(|there| there.number);
            check_number(&mut errors, &format!("properties[{i}].number"), property.number, kept);
            property.number = kept;
        }
        errors.finish()?;
        self.number(tx)
    }
}

impl FactSource {
    /// Numbers the facts and properties that have none.
    pub(super) fn number(&mut self, tx: &mut dyn Tx) -> Result<()> {
        for fact in self.facts.iter_mut().filter(|fact| fact.number.is_none()) {
            fact.number = Some(settings::next_number(tx, settings::FACTS)?);
        }
        for property in self.properties.iter_mut().filter(|property| property.number.is_none()) {
            property.number = Some(settings::next_number(tx, settings::FACT_PROPERTIES)?);
        }
        Ok(())
    }
}

/// A number is Bellwether's to give.
fn check_number(errors: &mut FieldErrors, field: &str, given: Option<i64>, kept: Option<i64>) {
    errors.check(given.is_none() || given == kept, field, || match kept {
        Some(kept) => format!("{} was given; it is {kept} and stays so: leave it out", given.unwrap_or_default()),
        None => format!("{} was given; it gets one by itself: leave it out", given.unwrap_or_default()),
    });
}

impl Defined for Metric {
    const KIND: &'static str = "metric";

    fn complete(&mut self, _: &Completion<'_>, tx: &mut dyn Tx, _: Option<&Self>) -> Result<()> {
        let mut errors = FieldErrors::default();
        require::<Entity>(tx, &mut errors, "entity_id", self.entity_id)?;
        if let Some(id) = self.team_id {
            require::<Team>(tx, &mut errors, "team_id", id)?;
        }
        for (field, aggregation) in self.aggregations() {
            match definitions::source_of_fact(tx, aggregation.fact_id)? {
                None => errors.add(
                    format!("{field}.fact_id"),
                    format!("there is no fact '{}'; see the facts of /api/v1/fact_sources", aggregation.fact_id),
                ),
                Some(source) => {
                    check_aggregation(&mut errors, &field, &aggregation, self.entity_id, &source.body);
                    check_operation(&mut errors, &field, &aggregation, self.kind, &source.body);
                }
            }
        }
        Ok(errors.finish()?)
    }
}

/// Whether the source of an aggregation's fact has what the aggregation asks for.
fn check_aggregation(
    errors: &mut FieldErrors,
    field: &str,
    aggregation: &Aggregation,
    entity: EntityId,
    source: &FactSource,
) {
    errors.check(source.entities.iter().any(|there| there.entity_id == entity), "entity_id", || {
        let entities: Vec<_> = source.entities.iter().map(|there| there.entity_id.to_string()).collect();
        format!(
            "the fact's source '{}' has no column for this entity; its entities are: {}",
            source.name,
            entities.join(", ")
        )
    });
    for (i, filter) in aggregation.filters.iter().enumerate() {
        let is_known = source.properties.iter().any(|property| property.name == filter.property);
        errors.check(is_known, &format!("{field}.filters[{i}].property"), || {
            let known: Vec<_> = source.properties.iter().map(|property| property.name.as_str()).collect();
            format!(
                "the fact's source '{}' has no property '{}'; its properties are: {}",
                source.name,
                filter.property,
                known.join(", ")
            )
        });
    }
}

/// Where each row counts 1, some operations mean nothing, nor does a percentile.
fn check_operation(
    errors: &mut FieldErrors,
    field: &str,
    aggregation: &Aggregation,
    kind: MetricKind,
    source: &FactSource,
) {
    let is_of_rows = source.facts.iter().any(|fact| fact.id == Some(aggregation.fact_id) && fact.column.is_none());
    if !is_of_rows || aggregation.operation.works_on_rows() {
        return;
    }
    if kind == MetricKind::Percentile {
        let message = "the fact has no column, so that each row counts 1; choose one with a column of numbers";
        return errors.add(format!("{field}.fact_id"), message);
    }
    let operation = aggregation.operation.as_str();
    let message =
        format!("'{operation}' was given, but the fact has no column, so that each row counts 1; use 'count'");
    errors.add(format!("{field}.operation"), message);
}

impl Defined for Collection {
    const KIND: &'static str = "collection";

    fn complete(&mut self, _: &Completion<'_>, tx: &mut dyn Tx, _: Option<&Self>) -> Result<()> {
        let mut errors = FieldErrors::default();
        for (i, id) in self.metric_ids.iter().enumerate() {
            require::<Metric>(tx, &mut errors, &format!("metric_ids[{i}]"), *id)?;
        }
        if let Some(id) = self.team_id {
            require::<Team>(tx, &mut errors, "team_id", id)?;
        }
        Ok(errors.finish()?)
    }
}
