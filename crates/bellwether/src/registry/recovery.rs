//! By hand: have a delivery sent again, or cancelled; recover what was exhausted, replay what was never owed.
//!
//! Recovering is a little work at a time, at low priority, each step a transaction that moves its cursor along: it blocks
//! nothing, shows how far it has come, can be stopped, and goes on after a crash.

use super::{Context, DeliveryHint, Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::delivery::{Delivery, Origin};
use crate::domain::endpoint::{EndpointState, Settings};
use crate::domain::error::{Conflict, Refusal};
use crate::domain::event::Event;
use crate::domain::filter::{Before, Clause, Facts};
use crate::domain::id::{DeliveryId, EndpointId, RecoveryId};
use crate::domain::recovery::{Recovery, RecoveryKind, RecoveryState};
use crate::store::events::{self, Remembered};
use crate::store::{StoreError, Tx, changes, deliveries, endpoints, experiments, lanes, recoveries, undelivered};

/// Rows moved in one transaction.
const BATCH: u32 = 250;
impl Registry {
    /// Owes the event of `id` to the same endpoint once more, outside the order.
    pub async fn resend(&self, id: DeliveryId) -> Result<Delivery> {
        self.command(move |context, tx| {
            let of = deliveries::get(tx, id)?.ok_or_else(|| Refusal::not_found("delivery", id))?;
            if endpoints::get(tx, &context.setup.vault, of.endpoint_id)?.is_none() {
                return Err(
                    Refusal::conflict(Conflict::State, "the endpoint was deleted; nothing is sent to it").into()
                );
            }
            let gone = "the event is past retention; nothing is left to send";
            let event = events::hold(tx, of.event_id)?.ok_or_else(|| Refusal::conflict(Conflict::State, gone))?;
            let again = DeliveryId::of(context.setup.ids.next());
            let owed = [(again, of.lane)];
            deliveries::insert(tx, &event, Origin::Resend, context.setup.clock.now(), &owed)?;
            context.hint_after_commit(tx, DeliveryHint::Look(of.endpoint_id));
            Ok(deliveries::get(tx, again)?.ok_or_else(|| Refusal::not_found("delivery", again))?)
        })
        .await
    }

    /// Ends a pending delivery. What is on its way to the receiver just now may still arrive.
    pub async fn cancel_delivery(&self, id: DeliveryId) -> Result<Delivery> {
        self.command(move |context, tx| {
            let found = |tx: &mut dyn Tx| {
                Ok::<_, super::Error>(deliveries::get(tx, id)?.ok_or_else(|| Refusal::not_found("delivery", id))?)
            };
            let delivery = found(tx)?;
            let is_cancelled = match delivery.position() {
                Some(position) => undelivered::cancel(tx, &position, "cancelled by hand", context.setup.clock.now())?,
                None => false,
            };
            if !is_cancelled {
                let detail = format!("the delivery has ended already: {}", found(tx)?.state.as_str());
                return Err(Refusal::conflict(Conflict::State, detail).into());
            }
            // The lane may hold it in memory.
            lanes::revise(tx, delivery.endpoint_id)?;
            endpoints::renew_generation(tx, context.setup.ids.as_ref())?;
            context.hint_after_commit(tx, DeliveryHint::EndpointsChanged);
            found(tx)
        })
        .await
    }

    pub async fn request_recovery(
        &self,
        actor: Actor,
        endpoint: EndpointId,
        kind: RecoveryKind,
        since: Timestamp,
    ) -> Result<Recovery> {
        self.command(move |context, tx| {
            let now = context.setup.clock.now();
            if since > now {
                let message = format!("{since} was given, which is ahead; give a time in the past");
                return Err(Refusal::invalid("since", message).into());
            }
            let found = context.lock_endpoint(tx, endpoint)?;
            if found.state == EndpointState::Disabled {
                let detail = "the endpoint is disabled; enable it first, then recover";
                return Err(Refusal::conflict(Conflict::State, detail).into());
            }
            let recovery = Recovery {
                id: RecoveryId::of(context.setup.ids.next()),
                endpoint_id: endpoint,
                kind,
                since,
                state: RecoveryState::Running,
                place: (0, 0),
                examined: 0,
                moved: 0,
                actor: actor.clone(),
                created_at: now,
                ended_at: None,
            };
            recoveries::save(tx, &recovery).map_err(|error| match error {
                StoreError::Unique(_) => super::Error::from(Refusal::conflict(
                    Conflict::State,
                    "a recovery of this endpoint is under way; wait for it, or stop it first",
                )),
                other => other.into(),
            })?;
            let action = if kind == RecoveryKind::Recover { "recovery_requested" } else { "replay_requested" };
            context.note_endpoint(tx, &actor, endpoint, action, Vec::new(), &format!("since {since}"))?;
            let hints = context.hints.clone();
            tx.after_commit(Box::new(move || hints.recovery()));
            Ok(recovery)
        })
        .await
    }

    /// It goes no further; what it has moved stays moved.
    pub async fn stop_recovery(&self, id: RecoveryId) -> Result<Recovery> {
        self.command(move |context, tx| {
            let mut recovery = recoveries::lock(tx, id)?.ok_or_else(|| Refusal::not_found("recovery", id))?;
            if recovery.state != RecoveryState::Running {
                return Err(Refusal::conflict(Conflict::State, "the recovery has ended already").into());
            }
            recovery.state = RecoveryState::Stopped;
            recovery.ended_at = Some(context.setup.clock.now());
            recoveries::save(tx, &recovery)?;
            Ok(recovery)
        })
        .await
    }

    /// A step of each recovery that is under way; `true` if any went on. One that cannot keeps the others from nothing.
    pub async fn recover_some(&self) -> Result<bool> {
        let running: Vec<RecoveryId> = self.db().look(|tx: &mut dyn Tx| recoveries::running(tx)).await?;
        let mut has_moved = false;
        for id in running {
            let context = self.context.clone();
            match self.db().write_outcomes(move |tx| context.recover_step(tx, id)).await {
                Ok(()) => has_moved = true,
                Err(error) => tracing::error!(%error, recovery = %id, "a recovery cannot go on; trying again later"),
            }
        }
        Ok(has_moved)
    }
}

impl Context {
    fn recover_step(&self, tx: &mut dyn Tx, id: RecoveryId) -> Result<()> {
        let Some(mut recovery) = recoveries::lock(tx, id)?.filter(|recovery| recovery.state == RecoveryState::Running)
        else {
            return Ok(());
        };
        let now = self.setup.clock.now();
        let is_deleted = endpoints::get(tx, &self.setup.vault, recovery.endpoint_id)?.is_none();
        let count = match recovery.kind {
            _ if is_deleted => 0,
            RecoveryKind::Recover => {
                let places = recoveries::recoverable_after(tx, &recovery, BATCH)?;
                for place in &places {
                    recovery.moved += recoveries::revive(tx, &recovery, *place, now)?;
                    recovery.examined += 1;
                }
                // Several deliveries may lie at one place, and then count as examined together.
                recovery.examined = recovery.examined.max(recovery.moved);
                recovery.place = places.last().copied().unwrap_or(recovery.place);
                places.len()
            }
            RecoveryKind::Replay => self.replay_step(tx, &mut recovery, now)?,
        };
        if count < BATCH as usize {
            recovery.state = RecoveryState::Done;
            recovery.ended_at = Some(now);
        }
        recoveries::save(tx, &recovery)?;
        self.hint_after_commit(tx, DeliveryHint::Look(recovery.endpoint_id));
        Ok(())
    }

    fn replay_step(&self, tx: &mut dyn Tx, recovery: &mut Recovery, now: Timestamp) -> Result<usize> {
        let Some(endpoint) = endpoints::get(tx, &self.setup.vault, recovery.endpoint_id)? else { return Ok(0) };
        let Some(lane) = lanes::get(tx, endpoint.id)? else { return Ok(0) };
        let page = recoveries::events_after(tx, recovery, BATCH)?;
        for passed in &page {
            recovery.place = passed.place;
            recovery.examined += 1;
            let Some((event, remembered)) = &passed.candidate else { continue };
            if unmet_then(tx, &endpoint.settings, event, remembered.clone())?.is_some() {
                continue;
            }
            // Retention may have removed it since the page was read.
            if events::hold(tx, event.id)?.is_none() {
                continue;
            }
            let owed = [(DeliveryId::of(self.setup.ids.next()), lane.number)];
            deliveries::insert(tx, event, Origin::Replay, now, &owed)?;
            recovery.moved += 1;
        }
        Ok(page.len())
    }
}

/// The first clause of what `settings` want that `event` did not meet when it happened: neither by the experiment as it was
/// after it, nor as it was before. Its key stands in the event; what else a filter asks for is remembered with it.
pub(super) fn unmet_then(
    tx: &mut dyn Tx,
    settings: &Settings,
    event: &Event,
    remembered: Option<Remembered>,
) -> Result<Option<Clause>> {
    let Remembered { tags, entity_id, before } = match remembered {
        Some(remembered) => remembered,
        None => from_history(tx, settings, event)?,
    };
    let key = event.experiment_key();
    let run = event.run_facts();
    let after = Facts { topic: event.topic, experiment_key: &key, tags: &tags, entity_id, run };
    let Some(clause) = settings.unmet_by(&after) else { return Ok(None) };
    Ok(settings.unmet_by(&before.facts(after)).map(|_| clause))
}

/// What an older version has not remembered is as the history says that it was.
fn from_history(tx: &mut dyn Tx, settings: &Settings, event: &Event) -> Result<Remembered> {
    let (id, revision) = (event.experiment_id, event.revision);
    let now = |tx: &mut dyn Tx| experiments::get_deleted_too(tx, id);
    let mut found = Remembered::default();
    if !settings.filter.tags.is_empty() {
        found.tags = match changes::value_before(tx, id, revision, "tags")? {
            Some(value) => serde_json::from_value(value).unwrap_or_default(),
            None => now(tx)?.map(|experiment| experiment.configuration.tags).unwrap_or_default(),
        };
    }
    if !settings.filter.entity_ids.is_empty() {
        found.entity_id = match changes::value_before(tx, id, revision, "entity_id")? {
            Some(value) => serde_json::from_value(value).unwrap_or_default(),
            None => now(tx)?.and_then(|experiment| experiment.configuration.entity_id),
        };
    }
    found.before = Before::of(&changes::of_revision(tx, id, revision)?);
    Ok(found)
}
