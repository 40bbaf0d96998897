//! Changes of status: those that somebody asks for, and those that come by themselves, by date or by results. Which may come
//! and which is due is `domain::lifecycle`'s; here each becomes one event.

use std::sync::PoisonError;
use std::time::Duration;

use bellwether_webhook::EventType;
use serde_json::json;

use super::record::Action;
use super::runs::definitions_of;
use super::{Context, Error, Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::FieldChange;
use crate::domain::experiment::Experiment;
use crate::domain::id::ExperimentId;
use crate::domain::lifecycle::{self, Due, FINAL_RUN_PATIENCE, Transition};
use crate::domain::run::{Asked, Mode, RunState};
use crate::domain::status::{Decision, Status};
use crate::store::{StoreError, Tx, changes, experiments, runs};

/// When something is looked at again that was due and could not be done.
const TRY_AGAIN: Duration = Duration::from_mins(10);

/// An experiment that runs now.
#[derive(Debug, Clone)]
pub struct Started {
    pub experiment: Experiment,
    /// Whether its start date was unset or ahead, and is now.
    pub has_set_start: bool,
}

impl Registry {
    /// Starts a draft. One that has just started by itself stays as it is: it is as somebody wants it to be.
    pub async fn start_experiment(&self, actor: Actor, id: ExperimentId, if_match: Option<String>) -> Result<Started> {
        self.on_experiment(id, if_match, move |context, tx, before| {
            let was_sooner = before.status == Status::Running
                && changes::last_actor(tx, id, "started")?.is_some_and(|starter| starter == Actor::System);
            if was_sooner {
                return Ok(Started { experiment: before, has_set_start: false });
            }
            let now = context.setup.clock.now();
            let (status, configuration) = lifecycle::start(before.status, &before.configuration, now)?;
            let after = Experiment { status, configuration, ..before.clone() };
            let has_set_start =
                before.configuration.assignments_start_date != after.configuration.assignments_start_date;
            let experiment = context.become_status(tx, &before, after, &actor, "started", String::new())?;
            Ok(Started { experiment, has_set_start })
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
        self.on_experiment(id, if_match, move |context, tx, before| {
            let now = context.setup.clock.now();
            let (status, configuration) = lifecycle::decide(before.status, &before.configuration, &decision, now)?;
            let after = Experiment { status, configuration, decision: Some(decision.clone()), ..before.clone() };
            context.become_status(tx, &before, after, &actor, "decided", decision.reason.clone())
        })
        .await
    }

    pub async fn reopen_experiment(
        &self,
        actor: Actor,
        id: ExperimentId,
        if_match: Option<String>,
    ) -> Result<Experiment> {
        self.on_experiment(id, if_match, move |context, tx, before| {
            let after = Experiment { status: lifecycle::reopen(before.status)?, decision: None, ..before.clone() };
            context.become_status(tx, &before, after, &actor, "reopened", String::new())
        })
        .await
    }

    /// Carries out what is due by date. Tells how many experiments were looked at. One that cannot be read keeps the others
    /// from nothing, and is tried again.
    pub async fn carry_out_due(&self, limit: u32) -> Result<usize> {
        let now = self.context.trusted_now();
        let due = self.db().look(move |tx: &mut dyn Tx| experiments::due_by_date(tx, now, limit)).await?;
        if due.is_empty() {
            return Ok(0); // As nearly always: nobody who writes is disturbed.
        }
        self.command(move |context, tx| {
            for id in &due {
                match context.carry_out_due(tx, *id, now) {
                    Err(error @ (Error::Refused(_) | Error::Store(StoreError::Corrupt { .. }))) => {
                        tracing::error!(%error, experiment = id, "what is due cannot be carried out; trying again later");
                        experiments::set_due(tx, *id, Some(now.plus(TRY_AGAIN)))?;
                    }
                    other => other?,
                }
            }
            Ok(due.len())
        })
        .await
    }
}

impl Context {
    /// Another node may have been first, and somebody may have edited it meanwhile: decided again, under the lock.
    fn carry_out_due(&self, tx: &mut dyn Tx, id: ExperimentId, now: Timestamp) -> Result<()> {
        let Some(mut experiment) = experiments::lock(tx, id)? else { return Ok(()) };
        if experiment.due_at.is_none_or(|due_at| due_at > now) {
            return Ok(());
        }
        match lifecycle::due(&experiment, now) {
            None => self.note_due(tx, &mut experiment),
            Some(Due::Transition(transition)) => self.carry_out(tx, &mut experiment, transition),
            Some(Due::FinalRun) => self.have_final_run(tx, &mut experiment, now),
        }
    }

    /// A run of everything until the end, unless there is one; what it finds decides. Without one, the time decides.
    fn have_final_run(&self, tx: &mut dyn Tx, experiment: &mut Experiment, now: Timestamp) -> Result<()> {
        let end = experiment.configuration.end().unwrap_or(now);
        let open = runs::open_of(tx, experiment.id)?;
        let asked = experiment.standing.final_asked.filter(|(_, of_end)| *of_end == end);
        let (asked_at, _) = *experiment.standing.final_asked.insert(asked.unwrap_or((now, end)));
        let mut next = asked_at.max(experiment.status_changed_at).plus(FINAL_RUN_PATIENCE);
        let definitions = Some(definitions_of(tx, experiment)?);
        if open.iter().all(|run| run.created_at < end || run.definitions != definitions) {
            // What was queued before the end cannot know it. One that has started meanwhile goes on.
            let mut fills_history = false;
            for run in open.iter().filter(|run| run.state == RunState::Queued) {
                fills_history |= run.fills_history;
                self.cancel_if_queued(tx, run.id)?;
            }
            let asked = Asked { mode: Mode::Full, fills_history };
            match self.open_run(tx, experiment, &Actor::System, asked, false, Some(end)) {
                Ok(_) => {}
                Err(Error::Refused(reason)) => {
                    tracing::info!(experiment = experiment.id, %reason, "a final run was not opened");
                    next = next.min(now.plus(TRY_AGAIN));
                }
                Err(error) => return Err(error),
            }
        }
        experiment.due_at = Some(next);
        experiments::set_standing(tx, experiment.id, &experiment.standing)?;
        Ok(experiments::set_due(tx, experiment.id, experiment.due_at)?)
    }

    /// Makes what comes by itself an event.
    pub fn carry_out(&self, tx: &mut dyn Tx, experiment: &mut Experiment, transition: Transition) -> Result<()> {
        let Transition { to, name, reason } = transition;
        let after = Experiment { status: to, ..experiment.clone() };
        *experiment = self.become_status(tx, experiment, after, &Actor::System, name, reason)?;
        Ok(())
    }

    /// One change of status, with what goes with it, as one event.
    fn become_status(
        &self,
        tx: &mut dyn Tx,
        before: &Experiment,
        mut after: Experiment,
        actor: &Actor,
        name: &'static str,
        reason: String,
    ) -> Result<Experiment> {
        let now = self.setup.clock.now();
        let change =
            |field: &str, from, to| if from == to { None } else { Some(FieldChange { field: field.into(), from, to }) };
        let mut changes =
            vec![FieldChange { field: "status".into(), from: json!(before.status), to: json!(after.status) }];
        changes.extend(change("decision", json!(before.decision), json!(after.decision)));
        changes.extend(before.configuration.changes_to(&after.configuration));
        // By a clock that is ahead it would be waited for too long.
        after.status_changed_at = now.min(self.trusted_now());
        // Before anything is recorded: a schedule that cannot be read leaves no half of a transition.
        if before.status == Status::Draft {
            self.schedule_next_run(tx, &mut after, now)?;
        }
        let action = Action { event_type: EventType::StatusUpdated, name, changes, reason };
        self.advance(tx, &mut after, actor, action, None)?;
        Ok(after)
    }

    /// Notes when something is due by date next, if that has changed.
    pub fn note_due(&self, tx: &mut dyn Tx, experiment: &mut Experiment) -> Result<()> {
        let due_at = lifecycle::due_at(experiment, self.trusted_now());
        if due_at != experiment.due_at {
            experiment.due_at = due_at;
            experiments::set_due(tx, experiment.id, due_at)?;
        }
        Ok(())
    }

    /// The time that changes by date go by.
    pub fn trusted_now(&self) -> Timestamp {
        let (wall, monotonic) = (self.setup.clock.now(), self.setup.clock.monotonic());
        let mut time = self.trusted_time.lock().unwrap_or_else(PoisonError::into_inner);
        time.at(wall, monotonic)
    }
}
