//! Metric syncs: fact sources and metrics as files declare them, all of a tag at once. What is declared is checked as a whole
//! and written in one transaction, with the removal of what is declared no more begun in it: that is taken off experiments, so
//! many in a transaction, and then deleted. A sync of which something remains is `pending`, and goes on after a crash.

use bellwether_webhook::EventType;
use serde_json::json;

use super::record::Action;
use super::{Context, Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::configuration::FieldChange;
use crate::domain::definition::FactSource;
use crate::domain::error::{Conflict, Refusal};
use crate::domain::id::{ExperimentId, FactId};
use crate::domain::metric::Metric;
use crate::domain::metric_sync::{Declared, MetricSync, Remaining, SyncState};
use crate::store::{Tx, definitions, experiments, metric_syncs, settings};

/// Experiments that metrics are taken off in one transaction.
const BATCH: u32 = 50;
/// Syncs of a tag that are remembered.
const REMEMBERED: u32 = 100;

/// What became of what was declared.
#[derive(Debug, Clone)]
pub enum Synced {
    /// It is what the last sync of the tag declared.
    Unchanged,
    /// It is done, or under way.
    Sync(Box<MetricSync>),
}

impl Registry {
    pub async fn sync_metrics(&self, actor: Actor, declared: Declared) -> Result<Synced> {
        if let Some(known) = self.known_sync(&declared).await? {
            return Ok(known);
        }
        self.command(move |context, tx| {
            // Others wait here: one sync is carried out at a time.
            let id = settings::next_number(tx, settings::METRIC_SYNCS)?;
            if let Some(known) = known(tx, &declared)? {
                return Ok(known);
            }
            let remaining = context.apply(tx, &actor, &declared)?;
            let now = context.setup.clock.now();
            let mut sync = MetricSync {
                id,
                sync_tag: declared.tag.clone(),
                state: SyncState::Pending,
                digest: declared.digest.clone(),
                errors: Vec::new(),
                remaining,
                actor: actor.clone(),
                created_at: now,
                ended_at: None,
            };
            context.carry_sync_on(tx, &mut sync)?;
            metric_syncs::forget_old(tx, &sync.sync_tag, REMEMBERED)?;
            let hints = context.hints.clone();
            tx.after_commit(Box::new(move || hints.metric_sync()));
            Ok(Synced::Sync(Box::new(sync)))
        })
        .await
    }

    async fn known_sync(&self, declared: &Declared) -> Result<Option<Synced>> {
        let declared = declared.clone();
        self.db().read(move |tx: &mut dyn Tx| known(tx, &declared)).await
    }

    /// Remembers that nothing came of what was declared, and why.
    pub async fn note_failed_sync(&self, actor: Actor, tag: String, errors: Vec<String>) -> Result<MetricSync> {
        self.command(move |context, tx| {
            let now = context.setup.clock.now();
            let sync = MetricSync {
                id: settings::next_number(tx, settings::METRIC_SYNCS)?,
                sync_tag: tag.clone(),
                state: SyncState::Failed,
                digest: String::new(),
                errors: errors.clone(),
                remaining: Remaining::default(),
                actor: actor.clone(),
                created_at: now,
                ended_at: Some(now),
            };
            metric_syncs::save(tx, &sync)?;
            metric_syncs::forget_old(tx, &tag, REMEMBERED)?;
            Ok(sync)
        })
        .await
    }

    /// Does a little more of the oldest sync that is pending; `false` where none is.
    pub async fn carry_syncs_on(&self) -> Result<bool> {
        if !self.db().look(|tx: &mut dyn Tx| metric_syncs::is_any_pending(tx)).await? {
            return Ok(false);
        }
        self.command(|context, tx| {
            let Some(mut sync) = metric_syncs::lock_pending(tx)? else { return Ok(false) };
            context.carry_sync_on(tx, &mut sync)?;
            Ok(true)
        })
        .await
    }

    pub async fn metric_sync(&self, id: i64) -> Result<MetricSync> {
        let found = self.db().read(move |tx: &mut dyn Tx| metric_syncs::get(tx, id)).await?;
        Ok(found.ok_or_else(|| Refusal::not_found("metric sync", id))?)
    }
}

/// What is to be said without doing anything, if anything.
fn known(tx: &mut dyn Tx, declared: &Declared) -> Result<Option<Synced>> {
    let Some(latest) = metric_syncs::latest(tx, &declared.tag)? else { return Ok(None) };
    let is_same = latest.digest == declared.digest;
    match latest.state {
        SyncState::Success if is_same => Ok(Some(Synced::Unchanged)),
        SyncState::Pending if is_same => Ok(Some(Synced::Sync(Box::new(latest)))),
        SyncState::Pending => {
            let detail = format!(
                "the metric sync {} of '{}' is still under way; wait for it to end, then sync again",
                latest.id, latest.sync_tag
            );
            Err(Refusal::conflict(Conflict::State, detail).into())
        }
        SyncState::Success | SyncState::Failed => Ok(None),
    }
}

impl Context {
    /// Takes what is declared no more off some experiments; when it is off all, removes it and ends the sync.
    fn carry_sync_on(&self, tx: &mut dyn Tx, sync: &mut MetricSync) -> Result<()> {
        let some = experiments::with_metrics(tx, &sync.remaining.metrics, BATCH)?;
        for id in &some {
            self.take_off(tx, sync, *id)?;
        }
        let is_last = some.len() < BATCH as usize;
        if is_last {
            self.remove_undeclared(tx, sync)?;
            sync.state = SyncState::Success;
            sync.remaining = Remaining::default();
            sync.ended_at = Some(self.setup.clock.now());
        }
        Ok(metric_syncs::save(tx, sync)?)
    }

    /// One event, however many metrics.
    fn take_off(&self, tx: &mut dyn Tx, sync: &MetricSync, id: ExperimentId) -> Result<()> {
        // One that was deleted has no metrics any more.
        let Some(mut experiment) = experiments::lock(tx, id)? else { return Ok(()) };
        let mut changes = Vec::new();
        for there in experiments::attached_metrics(tx, id)? {
            if sync.remaining.metrics.contains(&there.metric_id) {
                experiments::detach(tx, id, there.metric_id, there.group_id)?;
                changes.push(FieldChange { field: "metrics".into(), from: json!(there), to: json!(null) });
            }
        }
        let action = Action::new(EventType::MetricUpdated, "metric_removed", changes);
        let action = Action { reason: reason(&sync.sync_tag), ..action };
        self.advance(tx, &mut experiment, &sync.actor, action, None)
    }

    fn remove_undeclared(&self, tx: &mut dyn Tx, sync: &MetricSync) -> Result<()> {
        let (actor, reason) = (&sync.actor, reason(&sync.sync_tag));
        for id in &sync.remaining.metrics {
            if let Some(metric) = definitions::lock::<Metric>(tx, *id)? {
                self.undefine(tx, actor, metric, &reason)?;
            }
        }
        for id in &sync.remaining.sources {
            if let Some(source) = definitions::lock::<FactSource>(tx, *id)? {
                self.undefine(tx, actor, source, &reason)?;
            }
        }
        let mut sources: Vec<_> = sync.remaining.facts.iter().map(|(source, _)| *source).collect();
        sources.dedup();
        for id in sources {
            let Some(source) = definitions::lock::<FactSource>(tx, id)? else { continue };
            let is_gone = |fact: Option<FactId>| sync.remaining.facts.iter().any(|(_, gone)| fact == Some(*gone));
            let mut body = source.body.clone();
            body.facts.retain(|fact| !is_gone(fact.id));
            self.redefine(tx, actor, source, body, &reason)?;
        }
        Ok(())
    }
}

/// For the histories of what a sync changes.
pub(super) fn reason(tag: &str) -> String {
    format!("metric sync '{tag}'")
}
