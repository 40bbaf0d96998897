//! Commands on experiments: create, edit, delete. What changes their status is `transitions`.

use bellwether_webhook::EventType;
use serde_json::{Map, Value, json};

use super::edit::overlay;
use super::record::{Action, key_is_taken};
use super::{Context, Effect, Error, Registry, Result, RunHint};
use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::{Configuration, EntryPoint, FieldChange};
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use crate::domain::error::{FieldErrors, Refusal};
use crate::domain::experiment::{Experiment, NewExperiment};
use crate::domain::id::ExperimentId;
use crate::domain::lifecycle;
use crate::domain::metric::Metric;
use crate::domain::status::Status;
use crate::store::{StoreError, Tx, changes, definitions, experiments, runs};

impl Registry {
    pub async fn create_experiment(&self, actor: Actor, given: impl Into<NewExperiment>) -> Result<Experiment> {
        let NewExperiment { configuration, metrics } = given.into();
        configuration.validate()?;
        self.command(move |context, tx| {
            check_references(tx, None, &configuration)?;
            let now = context.setup.clock.now();
            let id = experiments::insert(tx, &configuration, now).map_err(|error| match error {
                StoreError::Unique(_) => key_is_taken(&configuration.key),
                other => other.into(),
            })?;
            let mut experiment = experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            let action = Action::new(EventType::ConfigurationUpdated, "created", configuration.to_changes());
            context.record(tx, &experiment, &actor, action, None)?;
            context.note_due(tx, &mut experiment)?;
            context.attach_all(tx, &mut experiment, &actor, &metrics, configuration.entity_id.is_some())?;
            Ok(experiment)
        })
        .await
    }

    pub async fn edit_experiment(
        &self,
        actor: Actor,
        id: ExperimentId,
        edit: Map<String, Value>,
        if_match: Option<String>,
    ) -> Result<Effect<Experiment>> {
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            let edited: Configuration = overlay(&experiment.configuration, edit.clone())?;
            let edits = experiment.configuration.changes_to(&edited);
            if edits.is_empty() {
                return Ok(Effect { value: experiment, is_changed: false });
            }
            check_edit(&experiment, &edited)?;
            check_references(tx, Some(&experiment.configuration), &edited)?;
            if edited.entity_id != experiment.configuration.entity_id {
                check_attached(tx, id, &edited)?;
            }
            // A later end brings scheduled runs back.
            let timing =
                |of: &Configuration| (of.schedule_id, of.assignments_end_date, of.events_end_date, of.is_archived);
            let is_rescheduled = timing(&experiment.configuration) != timing(&edited);
            let before = std::mem::replace(&mut experiment.configuration, edited);
            let action = Action::new(EventType::ConfigurationUpdated, "edited", edits);
            context.advance(tx, &mut experiment, &actor, action, None)?;
            experiments::index_words(tx, id, &before.words(), &experiment.configuration.words())?;
            let is_entity_set = before.entity_id.is_none()
                && experiment.configuration.entity_id.is_some()
                && changes::times_set(tx, id, "entity_id")? == 1;
            context.attach_all(tx, &mut experiment, &actor, &[], is_entity_set)?;
            let now = context.setup.clock.now();
            if let Some(transition) = lifecycle::resumed(&before, &experiment, now) {
                context.carry_out(tx, &mut experiment, transition)?;
            }
            if is_rescheduled && experiment.status != Status::Draft {
                context.schedule_next_run(tx, &mut experiment, now)?;
            }
            Ok(Effect { value: experiment, is_changed: true })
        })
        .await
    }

    /// A run that is under way ends first, as a failure.
    pub async fn delete_experiment(&self, actor: Actor, id: ExperimentId, if_match: Option<String>) -> Result<()> {
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            for run in runs::open_of(tx, id)? {
                context.end_open_run(tx, &mut experiment, run, "its experiment was deleted")?;
            }
            let changes =
                vec![FieldChange { field: "status".into(), from: json!(experiment.status), to: json!("deleted") }];
            context.advance(
                tx,
                &mut experiment,
                &actor,
                Action::new(EventType::StatusUpdated, "deleted", changes),
                None,
            )?;
            experiments::mark_deleted(tx, id, experiment.updated_at)?;
            Ok(())
        })
        .await
    }
}

impl Context {
    /// Notes when the next scheduled run is due, by the experiment's own schedule or the default one.
    pub fn schedule_next_run(&self, tx: &mut dyn Tx, experiment: &mut Experiment, now: Timestamp) -> Result<()> {
        let own = match experiment.configuration.schedule_id {
            Some(id) => definitions::get::<Schedule>(tx, id)?.map(|schedule| schedule.body),
            None => None,
        };
        let schedule = own.as_ref().unwrap_or(&self.setup.default_schedule);
        experiment.next_run_at = schedule.upcoming(now).of(experiment.id, now);
        experiments::set_next_run(tx, experiment.id, experiment.next_run_at)?;
        let hints = self.hints.clone();
        tx.after_commit(Box::new(move || hints.runs(RunHint::ScheduleChanged)));
        Ok(())
    }
}

/// What must hold of an edit beyond its own validity.
fn check_edit(experiment: &Experiment, edited: &Configuration) -> Result<()> {
    edited.validate()?;
    if experiment.status == Status::Draft {
        return Ok(());
    }
    if experiment.configuration.key != edited.key {
        let status = experiment.status.as_str();
        return Err(
            Refusal::invalid("key", format!("it can be edited in drafts only; this experiment is '{status}'")).into()
        );
    }
    lifecycle::requirements_to_run(edited).map_err(Error::from)
}

/// What is attached measures the entity that the experiment is to have.
fn check_attached(tx: &mut dyn Tx, id: ExperimentId, edited: &Configuration) -> Result<()> {
    let Some(entity) = edited.entity_id else { return Ok(()) };
    let mut errors = FieldErrors::default();
    for attached in experiments::attached_metrics(tx, id)? {
        let metric = definitions::get::<Metric>(tx, attached.metric_id)?;
        errors.check(metric.is_none_or(|metric| metric.body.entity_id == entity), "entity_id", || {
            format!("the attached metric '{}' measures another entity; remove it first", attached.name)
        });
    }
    errors.finish().map_err(Error::from)
}

/// What the configuration refers to must be there. Only what `before` did not refer to is looked up.
fn check_references(tx: &mut dyn Tx, before: Option<&Configuration>, after: &Configuration) -> Result<()> {
    let mut errors = FieldErrors::default();
    if let Some(id) = after.entity_id.filter(|id| before.is_none_or(|before| before.entity_id != Some(*id))) {
        errors.check(definitions::get::<Entity>(tx, id)?.is_some(), "entity_id", || {
            format!("there is no entity '{id}'; see /api/v1/entities")
        });
    }
    let source_or_entity_changed = before.is_none_or(|before| {
        (before.assignment_source_id, before.entity_id) != (after.assignment_source_id, after.entity_id)
    });
    if let Some(id) = after.assignment_source_id.filter(|_| source_or_entity_changed) {
        match definitions::get::<AssignmentSource>(tx, id)? {
            None => errors.add(
                "assignment_source_id",
                format!("there is no assignment source '{id}'; see /api/v1/assignment_sources"),
            ),
            Some(source) => errors.check(
                after.entity_id.is_none_or(|entity| entity == source.body.entity_id),
                "assignment_source_id",
                || {
                    format!(
                        "it assigns subjects of the entity {}, but the experiment's is another",
                        source.body.entity_id
                    )
                },
            ),
        }
    }
    let enters = |of: &Configuration| (of.entry_point, of.entity_id);
    let entry = after.entry_point.filter(|_| before.is_none_or(|before| enters(before) != enters(after)));
    if let Some(EntryPoint { fact_source_id: id }) = entry {
        const FIELD: &str = "entry_point.fact_source_id";
        match definitions::get::<FactSource>(tx, id)? {
            None => errors.add(FIELD, format!("there is no fact source '{id}'; see /api/v1/fact_sources")),
            Some(source) => {
                let has = |entity| source.body.entities.iter().any(|there| there.entity_id == entity);
                errors.check(after.entity_id.is_none_or(has), FIELD, || {
                    format!("the fact source '{}' has no column for the experiment's entity; add one", source.body.name)
                });
            }
        }
    }
    if let Some(id) = after.team_id.filter(|id| before.is_none_or(|before| before.team_id != Some(*id))) {
        errors.check(definitions::get::<Team>(tx, id)?.is_some(), "team_id", || {
            format!("there is no team '{id}'; see /api/v1/teams")
        });
    }
    if let Some(id) = after.schedule_id.filter(|id| before.is_none_or(|before| before.schedule_id != Some(*id))) {
        errors.check(definitions::get::<Schedule>(tx, id)?.is_some(), "schedule_id", || {
            format!("there is no schedule '{id}'; see /api/v1/schedules")
        });
    }
    errors.finish().map_err(Error::from)
}
