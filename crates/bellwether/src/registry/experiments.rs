//! Commands on experiments: create, edit, start, decide, reopen, delete.

use bellwether_webhook::EventType;
use serde_json::{Map, Value, json};

use super::edit::overlay;
use super::record::{Action, key_is_taken};
use super::{Context, Effect, Error, Registry, Result, RunHint};
use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::{Configuration, FieldChange};
use crate::domain::definition::{AssignmentSource, Entity, Schedule};
use crate::domain::error::{Conflict, FieldErrors, Refusal};
use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::domain::lifecycle::{self, Decision, Status};
use crate::store::{StoreError, Tx, definitions, experiments};

impl Registry {
    pub async fn create_experiment(&self, actor: Actor, configuration: Configuration) -> Result<Experiment> {
        configuration.validate()?;
        self.command(move |context, tx| {
            check_references(tx, None, &configuration)?;
            let now = context.setup.clock.now();
            let id = experiments::insert(tx, &configuration, now).map_err(|error| match error {
                StoreError::Unique(_) => key_is_taken(&configuration.key),
                other => other.into(),
            })?;
            let experiment = experiments::get(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id))?;
            let action = Action::new(EventType::ConfigurationUpdated, "created", configuration.to_changes());
            context.record(tx, &experiment, &actor, action, None)?;
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
            let changes = experiment.configuration.changes_to(&edited);
            if changes.is_empty() {
                return Ok(Effect { value: experiment, is_changed: false });
            }
            check_edit(&experiment, &edited)?;
            check_references(tx, Some(&experiment.configuration), &edited)?;
            // A later end brings scheduled runs back.
            let timing = |of: &Configuration| (of.schedule_id, of.assignments_end_date, of.events_end_date);
            let is_rescheduled = timing(&experiment.configuration) != timing(&edited);
            experiment.configuration = edited;
            let action = Action::new(EventType::ConfigurationUpdated, "edited", changes);
            context.advance(tx, &mut experiment, &actor, action, None)?;
            if is_rescheduled && experiment.status != Status::Draft {
                context.schedule_next_run(tx, &mut experiment, context.setup.clock.now())?;
            }
            Ok(Effect { value: experiment, is_changed: true })
        })
        .await
    }

    pub async fn start_experiment(
        &self,
        actor: Actor,
        id: ExperimentId,
        if_match: Option<String>,
    ) -> Result<Experiment> {
        self.transition(actor, id, if_match, "started", String::new(), |experiment, now| {
            let (status, configuration) = lifecycle::start(experiment.status, &experiment.configuration, now)?;
            Ok(Experiment { status, configuration, ..experiment.clone() })
        })
        .await
    }

    pub async fn decide_experiment(
        &self,
        actor: Actor,
        id: ExperimentId,
        decision: Decision,
        if_match: Option<String>,
    ) -> Result<Experiment> {
        let reason = decision.reason.clone();
        self.transition(actor, id, if_match, "decided", reason, move |experiment, now| {
            let (status, configuration) =
                lifecycle::decide(experiment.status, &experiment.configuration, &decision, now)?;
            Ok(Experiment { status, configuration, decision: Some(decision.clone()), ..experiment.clone() })
        })
        .await
    }

    pub async fn reopen_experiment(
        &self,
        actor: Actor,
        id: ExperimentId,
        if_match: Option<String>,
    ) -> Result<Experiment> {
        self.transition(actor, id, if_match, "reopened", String::new(), |experiment, _| {
            Ok(Experiment { status: lifecycle::reopen(experiment.status)?, decision: None, ..experiment.clone() })
        })
        .await
    }

    /// One change of status, with what goes with it, as one event.
    async fn transition(
        &self,
        actor: Actor,
        id: ExperimentId,
        if_match: Option<String>,
        name: &'static str,
        reason: String,
        decide: impl Fn(&Experiment, Timestamp) -> std::result::Result<Experiment, Refusal> + Send + 'static,
    ) -> Result<Experiment> {
        self.on_experiment(id, if_match, move |context, tx, before| {
            let now = context.setup.clock.now();
            let mut after = decide(&before, now)?;
            let mut changes =
                vec![FieldChange { field: "status".into(), from: json!(before.status), to: json!(after.status) }];
            if before.decision != after.decision {
                changes.push(FieldChange {
                    field: "decision".into(),
                    from: json!(before.decision),
                    to: json!(after.decision),
                });
            }
            changes.extend(before.configuration.changes_to(&after.configuration));
            let action = Action { event_type: EventType::StatusUpdated, name, changes, reason: reason.clone() };
            context.advance(tx, &mut after, &actor, action, None)?;
            if before.status == Status::Draft {
                context.schedule_next_run(tx, &mut after, now)?;
            }
            Ok(after)
        })
        .await
    }

    pub async fn delete_experiment(&self, actor: Actor, id: ExperimentId, if_match: Option<String>) -> Result<()> {
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            if let Some(run) = crate::store::runs::open_of(tx, id)?.first() {
                return Err(Refusal::conflict(
                    Conflict::InUse,
                    format!("its run {} has not ended; cancel it or wait for it, then delete", run.id),
                )
                .into());
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
    if let Some(id) = after.schedule_id.filter(|id| before.is_none_or(|before| before.schedule_id != Some(*id))) {
        errors.check(definitions::get::<Schedule>(tx, id)?.is_some(), "schedule_id", || {
            format!("there is no schedule '{id}'; see /api/v1/schedules")
        });
    }
    errors.finish().map_err(Error::from)
}
