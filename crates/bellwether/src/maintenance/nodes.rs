//! Nodes: the processes that share a database, who of them lives, and whether this one may send.
//!
//! Each counts a heartbeat on; others call it dead when the count stood still for a while of *their* monotonic clock. A node
//! that could not count for a shorter while stops sending by itself, so that it is silent before others take over. Wall
//! time decides nothing here. On SQLite there is one node, and it may always send.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::clock::Clock;
use crate::domain::id::NodeId;
use crate::registry::Registry;
use crate::store::{StoreError, Tx, endpoints, lanes};

/// How often a node counts on.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// A count that stood still for so long is a dead node's.
pub const DEAD_AFTER: Duration = Duration::from_secs(6);
/// A node that could not count on for so long sends nothing.
pub const SILENT_AFTER: Duration = Duration::from_secs(4);

/// Whether this node may send: its last heartbeat is not too old. Asked before every request.
#[derive(Clone)]
pub struct License {
    clock: Arc<dyn Clock>,
    /// Microseconds of the monotonic clock; the largest for one that never runs out.
    until: Arc<AtomicU64>,
}

impl License {
    fn of(clock: Arc<dyn Clock>, is_alone: bool) -> Self {
        Self { clock, until: Arc::new(AtomicU64::new(if is_alone { u64::MAX } else { 0 })) }
    }

    pub fn holds(&self) -> bool {
        self.until.load(Ordering::Acquire) > micros(self.clock.monotonic())
    }

    /// `beaten_at`: before the heartbeat was asked for, for it may have taken long.
    fn renew(&self, beaten_at: Duration) {
        if self.until.load(Ordering::Acquire) != u64::MAX {
            self.until.store(micros(beaten_at + SILENT_AFTER), Ordering::Release);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX - 1)
}

/// Who is seen alive, by when their count last moved.
#[derive(Default)]
pub struct Sightings {
    seen: HashMap<NodeId, (i64, Duration)>,
}

impl Sightings {
    /// Takes in what was read at `now`, and gives those whose count stood still for too long.
    pub fn take_in(&mut self, counts: &[(NodeId, i64)], now: Duration) -> Vec<NodeId> {
        self.seen.retain(|id, _| counts.iter().any(|(there, _)| there == id));
        for (id, count) in counts {
            let sighting = self.seen.entry(*id).or_insert((*count, now));
            if sighting.0 != *count {
                *sighting = (*count, now);
            }
        }
        self.seen.iter().filter(|(_, (_, at))| now.saturating_sub(*at) >= DEAD_AFTER).map(|(id, _)| *id).collect()
    }
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
    license: License,
    sightings: Sightings,
    /// When this node last counted on.
    beaten_at: Option<Duration>,
    view: watch::Sender<View>,
}

impl Node {
    pub fn new(registry: Registry) -> Self {
        let license = License::of(registry.clock().clone(), registry.db().dialect().has_one_node());
        let is_alone = registry.db().dialect().has_one_node();
        let alive = if is_alone { vec![registry.node_id()] } else { Vec::new() };
        let view = View { alive, generation: String::new(), forgotten: 0 };
        Self { registry, license, sightings: Sightings::default(), beaten_at: None, view: watch::Sender::new(view) }
    }

    pub fn license(&self) -> License {
        self.license.clone()
    }

    pub fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Lives until `stop` turns true and everything that holds the view has ended. Alone, there is nobody to tell.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        if self.registry.db().dialect().has_one_node() {
            return;
        }
        let mut beat = tokio::time::interval(BEAT_INTERVAL);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                // The lanes finish what is in flight before others may have them.
                () = self.view.closed() => break,
            }
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
                lanes::join(tx, id, now)?;
            }
            Ok::<_, StoreError>((is_there, counts, endpoints::generation(tx)?))
        };
        let (is_there, counts, generation) = self.registry.db().write_heartbeat(beat).await?;
        // A node that has just started has no lanes that others could have taken.
        if is_there || self.beaten_at.is_none() {
            self.license.renew(asked_at);
        }
        // Whoever was away for a while has not seen the others count on meanwhile, and must not think them dead.
        if self.beaten_at.is_none_or(|at| asked_at.saturating_sub(at) >= SILENT_AFTER) {
            self.sightings = Sightings::default();
        }
        self.beaten_at = Some(asked_at);
        let seen = self.sightings.take_in(&counts, asked_at);
        let dead: Vec<NodeId> = seen.into_iter().filter(|dead| *dead != id).collect();
        for node in &dead {
            tracing::warn!(%node, "a node stands still; its lanes are taken over");
            // The next heartbeat finds it standing still again.
            if let Err(error) = self.forget(*node).await {
                tracing::warn!(%error, %node, "a dead node cannot be forgotten yet; trying again");
            }
        }
        let others = counts.iter().map(|(node, _)| *node).filter(|node| *node != id && !dead.contains(node));
        let mut alive: Vec<NodeId> = others.chain([id]).collect();
        alive.sort_unstable();
        let forgotten = self.view.borrow().forgotten + u64::from(!is_there);
        let view = View { alive, generation, forgotten };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_stands_still_is_a_dead_nodes() {
        let (a, b) = (NodeId::of(1), NodeId::of(2));
        let mut sightings = Sightings::default();
        let second = Duration::from_secs;
        assert!(sightings.take_in(&[(a, 10), (b, 5)], second(100)).is_empty(), "however old, it is new to us");
        assert!(sightings.take_in(&[(a, 11), (b, 5)], second(105)).is_empty());
        assert_eq!(sightings.take_in(&[(a, 12), (b, 5)], second(106)), [b]);
        assert!(sightings.take_in(&[(a, 13), (b, 6)], second(107)).is_empty(), "it lives after all");
        assert!(sightings.take_in(&[(a, 14)], second(120)).is_empty(), "who left is not dead");
        assert!(sightings.take_in(&[(a, 14), (b, 1)], second(121)).is_empty(), "who comes back begins anew");
    }
}
