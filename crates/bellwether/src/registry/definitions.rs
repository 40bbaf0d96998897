//! Commands on definitions, and what each kind refers to. They are not experiments: editing one makes no event.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_warehouse::{ErrorKind, WarehouseConfig};
use serde_json::{Map, Value};

use super::defining::{Completion, Defined, refuse_managed, refuse_mark, require};
use super::edit::{check_version, overlay};
use super::{Effect, Error, Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::aggregation::Aggregation;
use crate::domain::collection::Collection;
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use crate::domain::error::{Conflict, FieldErrors, Refusal};
use crate::domain::id::EntityId;
use crate::domain::managed::ManagedBy;
use crate::domain::metric::{Metric, MetricKind};
use crate::domain::warehouse::{Engine, Warehouse};
use crate::store::definitions::{self, Definition};
use crate::store::{StoreError, Tx, experiments};

const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Looks at a time.
pub(super) const MOST_LOOKS: usize = 4;

impl Registry {
    pub async fn define<D: Defined>(&self, actor: Actor, body: D) -> Result<Definition<D>> {
        body.validate()?;
        if let Some(engine) = body.engine() {
            self.look_at(engine).await?;
        }
        if body.managed_by().is_some() {
            return Err(refuse_mark().into());
        }
        self.command(move |context, tx| context.define(tx, &actor, body.clone(), "")).await
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
            refuse_managed(&before.body)?;
            let body: D = overlay(&before.body, edit.clone())?;
            if body.managed_by().is_some() {
                return Err(refuse_mark().into());
            }
            body.validate()?;
            let is_looked_at = body.engine() == before.body.engine() || body.engine() == looked_at.as_ref();
            if !is_looked_at {
                let detail = "where it lies was edited at the same time; read it again, then repeat the edit";
                return Err(Refusal::conflict(Conflict::State, detail).into());
            }
            body.check_needed(tx, &before)?;
            context.redefine(tx, &actor, before, body, "")
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
            Ok(Ok(Err(failure))) => {
                let field = if failure.kind == ErrorKind::MissingTable { "tables" } else { place_of(engine) };
                Err(Refusal::invalid(field, failure.to_string()).into())
            }
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
            refuse_managed(&before.body)?;
            context.undefine(tx, &actor, before, "")
        })
        .await
    }
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

impl Defined for Metric {
    const KIND: &'static str = "metric";

    fn managed_by(&self) -> Option<&ManagedBy> {
        self.managed_by.as_ref()
    }

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
