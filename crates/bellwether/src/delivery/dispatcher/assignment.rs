//! Which lanes run here: those of the endpoints that are this node's, as they are stored. What a lane does is its own
//! (see `lane`), and how nodes divide the lanes is `ownership`'s.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Delivery, LaneHandle, ownership};
use crate::delivery::lane::mailbox::mailbox;
use crate::delivery::lane::{Lane, Message, Start};
use crate::domain::endpoint::Endpoint;
use crate::domain::id::{EndpointId, NodeId};
use crate::store::endpoints::{self, Listed};
use crate::store::lanes::{self, LaneRow};
use crate::store::{StoreError, Tx};

/// How often a node looks for lanes anew because another was first.
const MOST_CLAIMS: u32 = 20;
/// Endpoints read at a time.
const PAGE: u32 = 250;

/// What is this node's, as of a generation of the endpoints.
struct Shares {
    generation: String,
    owned: HashMap<EndpointId, LaneRow>,
    /// More than its share.
    given_up: Vec<LaneRow>,
}

impl Delivery {
    /// Brings the lanes in line with the endpoints as they are stored, and this node's share of them.
    pub(super) async fn reload(&mut self) -> Result<(), StoreError> {
        let alive = self.view.borrow_and_update().alive.clone();
        let Shares { generation, mut owned, given_up } = self.share(&alive).await?;
        let (mut live, mut unreadable) = (HashSet::new(), 0);
        let mut after = String::new();
        loop {
            let (vault, from) = (self.shared.registry.vault().clone(), after.clone());
            let page = self.shared.registry.db().look(move |tx| endpoints::list(tx, &vault, &from, PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = last.id().to_string();
            for listed in page {
                let Some(row) = owned.remove(&listed.id()) else { continue };
                live.insert(listed.id());
                match listed {
                    Listed::Read(endpoint) => self.set_up(*endpoint, row),
                    // What is owed to it waits; its lane, if it has one, goes on with what it knew.
                    Listed::Unreadable { id, reason } => {
                        unreadable += 1;
                        tracing::error!(endpoint = %id, reason, "the endpoint cannot be read, and is not sent to");
                    }
                }
            }
        }
        // Lanes of endpoints that were deleted, or that another node is to have.
        for (_, lane) in self.lanes.iter().filter(|(id, _)| !live.contains(id)) {
            lane.messages.send(Message::Stop);
        }
        // Those that have ended already, and whose release failed; and what is left of endpoints that were deleted.
        let ended = given_up.into_iter().chain(owned.into_values());
        for row in ended.filter(|row| !self.lanes.contains_key(&row.endpoint_id)).collect::<Vec<_>>() {
            self.release(row.endpoint_id, row.fence).await;
        }
        self.shared.monitor.unreadable.set(unreadable);
        self.generation = generation;
        self.stale_hints = self.hints.len();
        self.shared.monitor.note_lanes();
        Ok(())
    }

    /// The lanes that are this node's, after it took what is its share.
    async fn share(&mut self, alive: &[NodeId]) -> Result<Shares, StoreError> {
        let me = self.shared.registry.node_id();
        for _ in 0..MOST_CLAIMS {
            let read = |tx: &mut dyn Tx| Ok::<_, StoreError>((endpoints::generation(tx)?, lanes::list(tx)?));
            let (generation, rows) = self.shared.registry.db().look(read).await?;
            if self.is_alone() {
                let owned = rows.into_iter().map(|row| (row.endpoint_id, row)).collect();
                return Ok(Shares { generation, owned, given_up: Vec::new() });
            }
            if !alive.contains(&me) {
                // This node does not know yet who else there is.
                return Ok(Shares { generation, owned: HashMap::new(), given_up: Vec::new() });
            }
            let plan = ownership::plan(&rows, alive, me);
            let wanted: Vec<LaneRow> = plan.claim.iter().filter_map(|place| rows.get(*place).cloned()).collect();
            let count = wanted.len();
            let claimed = self.shared.registry.claim_lanes(wanted).await;
            let claimed = claimed.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            if claimed.len() < count {
                continue; // Another node was first, and others may still be free.
            }
            let (given_up, mine): (Vec<_>, Vec<_>) = rows
                .into_iter()
                .filter(|row| row.node_id == Some(me))
                .partition(|row| plan.release.contains(&row.endpoint_id));
            let owned = mine.into_iter().chain(claimed).map(|row| (row.endpoint_id, row)).collect();
            return Ok(Shares { generation, owned, given_up });
        }
        Err(StoreError::Unavailable("other nodes were first again and again".to_owned()))
    }

    fn set_up(&mut self, endpoint: Endpoint, row: LaneRow) {
        let (id, version, fence, revised) = (endpoint.id, endpoint.version, row.fence, row.revised);
        match self.lanes.get_mut(&id) {
            Some(lane) if lane.fence != fence => lane.messages.send(Message::Stop),
            Some(lane) if (lane.version, lane.revised) == (version, revised) => {}
            Some(lane) => {
                (lane.version, lane.revised) = (version, revised);
                lane.messages.send(Message::Endpoint(Arc::new(endpoint), row.health));
            }
            None => {
                let (messages, inbox) = mailbox();
                let start = Start { endpoint: Arc::new(endpoint), number: row.number, fence, health: row.health };
                let lane = Lane::new(self.shared.clone(), start);
                let running = async move {
                    lane.run(inbox).await;
                    (id, fence)
                };
                self.tasks.spawn_on(running, self.threads.next());
                self.lanes.insert(id, LaneHandle { version, revised, fence, messages });
            }
        }
    }

    /// A lane's task is over: it was asked to, or it failed. `true` if the lanes are to be looked at again.
    pub(super) async fn lane_ended(&mut self, ended: Result<(EndpointId, i64), tokio::task::JoinError>) -> bool {
        self.lanes.retain(|_, lane| !lane.messages.is_closed());
        match ended {
            Ok((endpoint, fence)) => {
                self.release(endpoint, fence).await;
                !self.is_alone()
            }
            Err(error) => {
                let wait = self.restarts.next(self.shared.clock.monotonic());
                tracing::error!(%error, ?wait, "a lane ended badly; it is set up anew after a while");
                self.pauses.spawn(self.shared.clock.sleep(wait));
                false
            }
        }
    }

    async fn release(&self, endpoint: EndpointId, fence: i64) {
        if self.is_alone() {
            return;
        }
        if let Err(error) = self.shared.registry.release_lane(endpoint, fence).await {
            tracing::warn!(%error, %endpoint, "a lane cannot be let go yet");
        }
    }
}
