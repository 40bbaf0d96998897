//! Nodes: the processes that share a database. Each counts a heartbeat on; who of them lives, and whether this one may send,
//! follows from what it reads (see `membership`). On SQLite there is one node, and it may always send.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::membership::{Beat, Membership, first_count};
use crate::domain::clock::Clock;
use crate::domain::id::NodeId;
use crate::registry::Registry;
use crate::store::{StoreError, Tx, endpoints, lanes};

/// How often a node counts on.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Whether this node may send: its last heartbeat is not too old. Asked before every request.
#[derive(Clone)]
pub struct SendPermit {
    clock: Arc<dyn Clock>,
    /// Microseconds of the monotonic clock; the largest for one that never runs out.
    until: Arc<AtomicU64>,
}

impl SendPermit {
    fn of(clock: Arc<dyn Clock>, is_alone: bool) -> Self {
        Self { clock, until: Arc::new(AtomicU64::new(if is_alone { u64::MAX } else { 0 })) }
    }

    pub fn holds(&self) -> bool {
        self.until.load(Ordering::Acquire) > micros(self.clock.monotonic())
    }

    fn renew(&self, until: Duration) {
        if self.until.load(Ordering::Acquire) != u64::MAX {
            self.until.store(micros(until), Ordering::Release);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX - 1)
}

/// What this node sees of the others and of the endpoints' generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Nodes that live, this one included, in order. Empty until this node knows.
    pub alive: Vec<NodeId>,
    pub generation: String,
    /// How often this node was forgotten by the others, who took its lanes.
    pub forgotten: u64,
}

/// This process among the nodes.
pub struct Node {
    registry: Registry,
    permit: SendPermit,
    membership: Membership,
    view: watch::Sender<View>,
}

impl Node {
    pub fn new(registry: Registry) -> Self {
        let permit = SendPermit::of(registry.clock().clone(), registry.db().dialect().has_one_node());
        let is_alone = registry.db().dialect().has_one_node();
        let alive = if is_alone { vec![registry.node_id()] } else { Vec::new() };
        let view = View { alive, generation: String::new(), forgotten: 0 };
        let membership = Membership::of(registry.node_id());
        Self { registry, permit, membership, view: watch::Sender::new(view) }
    }

    pub fn permit(&self) -> SendPermit {
        self.permit.clone()
    }

    pub fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Lives until `stop` turns true and everything that holds the view has ended. Alone, there is nobody to tell.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        if self.registry.db().dialect().has_one_node() {
            return;
        }
        let clock = self.registry.clock().clone();
        let mut due = clock.monotonic();
        loop {
            tokio::select! {
                () = clock.sleep(due.saturating_sub(clock.monotonic())) => {}
                // The lanes finish what is in flight before others may have them.
                () = self.view.closed() => break,
            }
            due = clock.monotonic() + BEAT_INTERVAL;
            if let Err(error) = self.beat().await {
                tracing::warn!(%error, "the heartbeat failed; without one this node soon stops sending");
            }
        }
        let stopping = async { stop.wait_for(|is_stopping| *is_stopping).await.map(|_| ()) };
        // The sender is gone only when the process ends.
        let _ = stopping.await;
        self.leave().await;
    }

    /// Counts on, and forgets who is dead. A node that was itself forgotten joins again, with nothing that was its own; it
    /// may send again from the next heartbeat on, when its lanes know.
    async fn beat(&mut self) -> Result<(), StoreError> {
        let (id, now) = (self.registry.node_id(), self.registry.clock().now());
        let asked_at = self.registry.clock().monotonic();
        let beat = move |tx: &mut dyn Tx| {
            let (is_there, counts) = lanes::beat(tx, id)?;
            if !is_there {
                lanes::join(tx, id, first_count(asked_at), now)?;
            }
            Ok::<_, StoreError>((is_there, counts, endpoints::generation(tx)?))
        };
        let (is_there, counts, generation) = self.registry.db().write_heartbeat(beat).await?;
        let answered_at = self.registry.clock().monotonic();
        let standing = self.membership.on_beat(&Beat { asked_at, answered_at, is_there, counts });
        if let Some(until) = standing.permitted_until {
            self.permit.renew(until);
        }
        for node in standing.dead {
            tracing::warn!(%node, "a node stands still; its lanes are taken over");
            if let Err(error) = self.forget(node).await {
                tracing::warn!(%error, %node, "a dead node cannot be forgotten yet; trying again");
            }
        }
        let view = View { alive: standing.alive, generation, forgotten: standing.forgotten };
        self.view.send_if_modified(|held| {
            let is_other = *held != view;
            *held = view;
            is_other
        });
        Ok(())
    }

    /// By the heartbeat's connection, which waits for no lock for long.
    async fn forget(&self, node: NodeId) -> Result<(), StoreError> {
        let ids = self.registry.ids().clone();
        let forget = move |tx: &mut dyn Tx| {
            lanes::leave(tx, node)?;
            endpoints::renew_generation(tx, ids.as_ref())
        };
        self.registry.db().write_heartbeat(forget).await
    }

    async fn leave(&self) {
        if let Err(error) = self.forget(self.registry.node_id()).await {
            tracing::warn!(%error, "the other nodes could not be told; they will notice in a few seconds");
        }
    }
}
