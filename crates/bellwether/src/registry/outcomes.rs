//! What attempts came to, written in one transaction with all that follows: where each delivery stands, how the endpoint
//! fares, and, where the breaker opens or closes or the endpoint is given up, its history and the events about it.
//!
//! A node that lost a lane while it was paused, or cut off, writes nothing here: the fence is another's by then.

use std::collections::HashMap;
use std::sync::Arc;

use super::endpoints::disabled;
use super::{Context, DeliveryHint, Error, Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::delivery::Outcome;
use crate::domain::endpoint::{Endpoint, EndpointState};
use crate::domain::health::{Health, HealthChange};
use crate::domain::id::EndpointId;
use crate::domain::topic::EndpointEvent;
use crate::store::{StoreError, Tx, endpoints, lanes, outcomes, undelivered};

/// So many outcomes do not wait for a change to share its commit with.
const WORTH_A_COMMIT: usize = 32;

/// An attempt's outcome, and what it changes for the endpoint.
#[derive(Debug, Clone)]
pub struct Report {
    pub endpoint_id: EndpointId,
    /// That of the lane when the attempt was made.
    pub fence: i64,
    /// That of the endpoint as the lane knew it: what is learned of its health holds for that alone.
    pub endpoint_version: i64,
    pub outcome: Outcome,
    /// How the endpoint fares, if that has changed.
    pub health: Option<Health>,
    pub health_change: Option<HealthChange>,
    /// Its lane will soon have to wait for what it has reported.
    pub is_pressing: bool,
}

impl Report {
    /// The same without what a receiver has said, should it be that which cannot be written.
    pub fn without_texts(&self) -> Self {
        let mut bare = self.clone();
        let attempt = &mut bare.outcome.attempt;
        (attempt.error, attempt.response_body) = (None, None);
        (attempt.request_headers, attempt.response_headers) = (None, None);
        bare
    }
}

impl Report {
    /// What came of the delivery, without texts, and without what it meant for the endpoint: by the time at which a refused
    /// outcome is written, the endpoint has fared on.
    pub fn alone(&self) -> Self {
        Self { health: None, health_change: None, ..self.without_texts() }
    }
}

impl Registry {
    /// Writes them at low priority; those of lanes that have passed to another node are left out.
    pub async fn record_outcomes(&self, reports: Arc<[Box<Report>]>) -> Result<()> {
        let (context, count) = (self.context.clone(), reports.len());
        let work = move |tx: &mut dyn Tx| context.record_outcomes(tx, &reports);
        // A backlog that drains would otherwise wait, again and again, for changes that do not come.
        if count < WORTH_A_COMMIT {
            self.db().write_outcomes(work).await
        } else {
            self.db().write_many_outcomes(work).await
        }
    }
}

impl Registry {
    /// A test has reached the endpoint, and so it fails no more: the breaker closes as by any success. The lane hears of it
    /// wherever it runs.
    pub async fn close_breaker(&self, id: EndpointId) -> Result<()> {
        self.command(move |context, tx| {
            if endpoints::lock(tx, &context.setup.vault, id)?.is_none() {
                return Ok(());
            }
            let Some(lane) = lanes::get(tx, id)?.filter(|lane| lane.health.is_open()) else { return Ok(()) };
            let health = Health { paused_until: lane.health.paused_until, ..Health::default() };
            lanes::save_health(tx, id, &health)?;
            lanes::revise(tx, id)?;
            endpoints::renew_generation(tx, context.setup.ids.as_ref())?;
            context.hint_after_commit(tx, DeliveryHint::EndpointsChanged);
            context.change_health(tx, id, &HealthChange::Recovered { frees: true }, None)
        })
        .await
    }
}

impl Context {
    /// Locks in the order in which edits do: endpoints, their lanes, then what is owed to them.
    fn record_outcomes(&self, tx: &mut dyn Tx, reports: &[Box<Report>]) -> Result<()> {
        let changing = ids_of(reports.iter().filter(|report| report.health_change.is_some()));
        for id in changing {
            endpoints::hold(tx, id)?;
        }
        let owned = self.owned(tx, reports)?;
        let outcomes: Vec<&Outcome> = owned.iter().map(|report| &report.outcome).collect();
        outcomes::record(tx, &outcomes)?;
        for report in owned {
            if let Some(health) = &report.health {
                lanes::save_health_of(tx, report.endpoint_id, report.endpoint_version, health)?;
            }
            if let Some(health_change) = &report.health_change {
                let changed = self.change_health(tx, report.endpoint_id, health_change, Some(report.endpoint_version));
                changed.or_else(|error| match error {
                    // An endpoint that cannot be read has no history to go on with; what was sent to it was sent.
                    Error::Store(error @ StoreError::Corrupt { .. }) => {
                        tracing::error!(%error, endpoint = %report.endpoint_id, "how an endpoint fares cannot be told");
                        Ok(())
                    }
                    other => Err(other),
                })?;
            }
        }
        Ok(())
    }

    /// Those of lanes that are still this node's, held as they are.
    fn owned<'a>(&self, tx: &mut dyn Tx, reports: &'a [Box<Report>]) -> Result<Vec<&'a Report>> {
        let all = reports.iter().map(Box::as_ref);
        if self.setup.db.dialect().has_one_node() {
            return Ok(all.collect());
        }
        let fences: HashMap<EndpointId, i64> = lanes::hold_fences(tx, &ids_of(reports.iter()))?.into_iter().collect();
        let owned: Vec<_> = all.filter(|report| fences.get(&report.endpoint_id) == Some(&report.fence)).collect();
        if owned.len() < reports.len() {
            let count = reports.len() - owned.len();
            self.tally.outcomes_refused.add(count as u64);
            tracing::warn!(count, "outcomes of lanes that another node has taken over are left out");
        }
        Ok(owned)
    }

    fn change_health(
        &self,
        tx: &mut dyn Tx,
        id: EndpointId,
        health_change: &HealthChange,
        version: Option<i64>,
    ) -> Result<()> {
        // It may have been deleted meanwhile.
        let Some(endpoint) = endpoints::lock(tx, &self.setup.vault, id)? else { return Ok(()) };
        match health_change {
            HealthChange::Failing { reason } => {
                self.note_endpoint(tx, &Actor::System, id, "failing", Vec::new(), reason)?;
                self.tell_of_endpoint(tx, EndpointEvent::Failing, &endpoint, reason)
            }
            HealthChange::Recovered { frees } => {
                if *frees {
                    undelivered::make_due(tx, id, self.setup.clock.now())?;
                }
                self.note_endpoint(tx, &Actor::System, id, "recovered", Vec::new(), "")?;
                self.tell_of_endpoint(tx, EndpointEvent::Recovered, &endpoint, "a request succeeded again")
            }
            // One that was edited or enabled since has not failed as it is now.
            HealthChange::GivenUp { reason }
                if endpoint.state == EndpointState::Enabled
                    && version.is_none_or(|version| version == endpoint.version) =>
            {
                let given_up = Endpoint {
                    version: endpoint.version + 1,
                    updated_at: self.setup.clock.now(),
                    ..disabled(&endpoint, reason)
                };
                self.save_endpoint(tx, &given_up)?;
                lanes::revise(tx, id)?;
                self.note_endpoint(tx, &Actor::System, id, "disabled", Vec::new(), reason)?;
                self.tell_of_endpoint(tx, EndpointEvent::Disabled, &given_up, reason)
            }
            HealthChange::GivenUp { .. } => Ok(()),
        }
    }
}

/// The endpoints of some reports, each once, in order.
fn ids_of<'a>(reports: impl Iterator<Item = &'a Box<Report>>) -> Vec<EndpointId> {
    let mut ids: Vec<EndpointId> = reports.map(|report| report.endpoint_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
