//! What attempts came to, written in one transaction with all that follows: where each delivery stands, how the endpoint
//! fares, and, where the breaker opens or closes or the endpoint is given up, its history and the events about it.
//!
//! A node that lost a lane while it was paused, or cut off, writes nothing here: the fence is another's by then.

use std::collections::HashMap;
use std::sync::Arc;

use super::endpoints::disabled;
use super::{Context, DeliveryWake, Registry, Result};
use crate::actor::Actor;
use crate::endpoint::{Endpoint, EndpointState};
use crate::event::EndpointTurn;
use crate::health::{Health, Turn};
use crate::id::EndpointId;
use crate::store::outcomes::{self, Outcome};
use crate::store::{Tx, endpoints, lanes, undelivered};

/// So many outcomes do not wait for a change to share its commit with.
const WORTH_A_COMMIT: usize = 32;

/// An attempt's outcome, and what it changes for the endpoint.
#[derive(Debug, Clone)]
pub struct Report {
    pub endpoint_id: EndpointId,
    /// That of the lane when the attempt was made.
    pub fence: i64,
    pub outcome: Outcome,
    /// How the endpoint fares, if that has changed.
    pub health: Option<Health>,
    pub turn: Option<Turn>,
    /// Its lane will soon have to wait for what it has reported.
    pub is_pressing: bool,
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
            context.wake_after_commit(tx, DeliveryWake::EndpointsChanged);
            context.turn(tx, id, &Turn::Recovered { frees: true })
        })
        .await
    }
}

impl Context {
    fn record_outcomes(&self, tx: &mut dyn Tx, reports: &[Box<Report>]) -> Result<()> {
        let fences = if self.setup.db.dialect().has_one_node() { None } else { Some(held_fences(tx, reports)?) };
        let is_owned = |report: &&Report| {
            fences.as_ref().is_none_or(|fences| fences.get(&report.endpoint_id) == Some(&report.fence))
        };
        let owned: Vec<&Report> = reports.iter().map(Box::as_ref).filter(is_owned).collect();
        if owned.len() < reports.len() {
            self.tally.outcomes_refused.add((reports.len() - owned.len()) as u64);
            tracing::warn!(
                count = reports.len() - owned.len(),
                "outcomes of lanes that another node has taken over are left out"
            );
        }
        let outcomes: Vec<&Outcome> = owned.iter().map(|report| &report.outcome).collect();
        outcomes::record(tx, &outcomes)?;
        for report in owned {
            if let Some(health) = &report.health {
                lanes::save_health(tx, report.endpoint_id, health)?;
            }
            if let Some(turn) = &report.turn {
                self.turn(tx, report.endpoint_id, turn)?;
            }
        }
        Ok(())
    }

    fn turn(&self, tx: &mut dyn Tx, id: EndpointId, turn: &Turn) -> Result<()> {
        // It may have been deleted meanwhile.
        let Some(endpoint) = endpoints::lock(tx, &self.setup.vault, id)? else { return Ok(()) };
        match turn {
            Turn::Failing { reason } => {
                self.note_endpoint(tx, &Actor::System, id, "failing", Vec::new(), reason)?;
                self.tell_of_endpoint(tx, EndpointTurn::Failing, &endpoint, reason)
            }
            Turn::Recovered { frees } => {
                if *frees {
                    undelivered::make_due(tx, id, self.setup.clock.now())?;
                }
                self.note_endpoint(tx, &Actor::System, id, "recovered", Vec::new(), "")?;
                self.tell_of_endpoint(tx, EndpointTurn::Recovered, &endpoint, "a request succeeded again")
            }
            Turn::GivenUp { reason } if endpoint.state == EndpointState::Enabled => {
                let given_up = Endpoint {
                    version: endpoint.version + 1,
                    updated_at: self.setup.clock.now(),
                    ..disabled(&endpoint, reason)
                };
                self.save_endpoint(tx, &given_up)?;
                lanes::revise(tx, id)?;
                self.note_endpoint(tx, &Actor::System, id, "disabled", Vec::new(), reason)?;
                self.tell_of_endpoint(tx, EndpointTurn::Disabled, &given_up, reason)
            }
            Turn::GivenUp { .. } => Ok(()),
        }
    }
}

fn held_fences(tx: &mut dyn Tx, reports: &[Box<Report>]) -> Result<HashMap<EndpointId, i64>> {
    let mut endpoints: Vec<EndpointId> = reports.iter().map(|report| report.endpoint_id).collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    Ok(lanes::hold_fences(tx, &endpoints)?.into_iter().collect())
}
