//! Who of the nodes lives, and whether this one may send: what follows from each heartbeat. Pure; time is handed in.
//!
//! A count that stood still for [`DEAD_AFTER`] of *this* node's monotonic clock is a dead node's. A node that could not count
//! for [`SILENT_AFTER`] sends nothing, and so is silent before others take over. Wall time decides nothing here.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::id::NodeId;

/// A count that stood still for so long is a dead node's.
pub const DEAD_AFTER: Duration = Duration::from_secs(6);
/// A node that could not count on for so long sends nothing.
pub const SILENT_AFTER: Duration = Duration::from_secs(4);

/// What this node knows of itself and the others.
pub struct Membership {
    me: NodeId,
    seen: Sightings,
    /// When this node last counted on.
    beaten_at: Option<Duration>,
    forgotten: u64,
}

/// What a heartbeat found in the database.
#[derive(Debug, Clone)]
pub struct Beat {
    /// The database was read between these two, which may lie far apart.
    pub asked_at: Duration,
    pub answered_at: Duration,
    /// Nobody has forgotten this node since it last counted.
    pub is_there: bool,
    /// Every node's count.
    pub counts: Vec<(NodeId, i64)>,
}

/// What a node counts from when it joins at `asked_at`: it beats far less often than once a microsecond, so that it never had
/// this count before.
pub fn first_count(asked_at: Duration) -> i64 {
    i64::try_from(asked_at.as_micros()).unwrap_or(i64::MAX)
}

/// What follows from a heartbeat.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    /// Until then this node may send, if it may: a node that was forgotten waits until its lanes know, at the next heartbeat.
    pub permitted_until: Option<Duration>,
    /// To be forgotten. One that cannot be is found again by the next heartbeat.
    pub dead: Vec<NodeId>,
    /// In order, this one included.
    pub alive: Vec<NodeId>,
    /// How often this node was forgotten by the others, who took its lanes.
    pub forgotten: u64,
}

impl Membership {
    pub fn of(me: NodeId) -> Self {
        Self { me, seen: Sightings::default(), beaten_at: None, forgotten: 0 }
    }

    pub fn on_beat(&mut self, beat: &Beat) -> Standing {
        let Beat { asked_at, is_there, .. } = beat;
        self.forgotten += u64::from(!is_there);
        // A node that has just started has no lanes that others could have taken.
        let may_send = *is_there || self.beaten_at.is_none();
        // Whoever was away for a while has not seen the others count on meanwhile, and must not think them dead.
        if self.beaten_at.is_none_or(|at| asked_at.saturating_sub(at) >= SILENT_AFTER) {
            self.seen = Sightings::default();
        }
        self.beaten_at = Some(*asked_at);
        let mut dead = self.seen.take_in(beat);
        dead.retain(|node| *node != self.me);
        let others = beat.counts.iter().map(|(node, _)| *node).filter(|node| *node != self.me && !dead.contains(node));
        let mut alive: Vec<NodeId> = others.chain([self.me]).collect();
        alive.sort_unstable();
        dead.sort_unstable();
        let permitted_until = may_send.then(|| *asked_at + SILENT_AFTER);
        Standing { permitted_until, dead, alive, forgotten: self.forgotten }
    }
}

/// When each node's count was first seen as it is.
#[derive(Default)]
struct Sightings(HashMap<NodeId, (i64, Duration)>);

impl Sightings {
    /// Takes in what was read, and gives those whose count certainly stood still for too long: from when the answer that
    /// first had it was there until this one was asked for.
    fn take_in(&mut self, beat: &Beat) -> Vec<NodeId> {
        self.0.retain(|id, _| beat.counts.iter().any(|(there, _)| there == id));
        for (id, count) in &beat.counts {
            let sighting = self.0.entry(*id).or_insert((*count, beat.answered_at));
            if sighting.0 != *count {
                *sighting = (*count, beat.answered_at);
            }
        }
        let has_stopped = |at: Duration| beat.asked_at.saturating_sub(at) >= DEAD_AFTER;
        self.0.iter().filter(|(_, (_, at))| has_stopped(*at)).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ME: NodeId = NodeId::of(1);
    const OTHER: NodeId = NodeId::of(2);

    fn beat(at: u64, counts: &[(NodeId, i64)]) -> Beat {
        let at = Duration::from_secs(at);
        Beat { asked_at: at, answered_at: at, is_there: true, counts: counts.to_vec() }
    }

    #[test]
    fn a_count_that_stands_still_is_a_dead_nodes() {
        let mut me = Membership::of(ME);
        let mut dead = |at, counts: &[(NodeId, i64)]| me.on_beat(&beat(at, counts)).dead;
        assert_eq!(dead(100, &[(ME, 10), (OTHER, 5)]), [], "however old, it is new to us");
        assert_eq!(dead(103, &[(ME, 11), (OTHER, 5)]), []);
        assert_eq!(dead(106, &[(ME, 12), (OTHER, 5)]), [OTHER]);
        assert_eq!(dead(107, &[(ME, 13), (OTHER, 6)]), [], "it lives after all");
        assert_eq!(dead(110, &[(ME, 14)]), [], "who left is not dead");
        assert_eq!(dead(111, &[(ME, 15), (OTHER, 1)]), [], "who comes back begins anew");
    }

    #[test]
    fn a_heartbeat_that_takes_long_makes_nobody_look_dead() {
        let mut me = Membership::of(ME);
        me.on_beat(&Beat { answered_at: Duration::from_secs(103), ..beat(100, &[(ME, 1), (OTHER, 5)]) });
        me.on_beat(&beat(103, &[(ME, 2), (OTHER, 5)]));
        assert_eq!(me.on_beat(&beat(106, &[(ME, 3), (OTHER, 5)])).dead, [], "it may have counted on in second 103");
        assert_eq!(me.on_beat(&beat(109, &[(ME, 4), (OTHER, 5)])).dead, [OTHER]);
    }

    #[test]
    fn who_was_away_thinks_nobody_dead() {
        let mut me = Membership::of(ME);
        me.on_beat(&beat(100, &[(ME, 1), (OTHER, 5)]));
        assert_eq!(
            me.on_beat(&beat(200, &[(ME, 2), (OTHER, 5)])).dead,
            [],
            "it may have counted on, and stopped just now"
        );
        me.on_beat(&beat(203, &[(ME, 3), (OTHER, 5)]));
        assert_eq!(me.on_beat(&beat(206, &[(ME, 4), (OTHER, 5)])).dead, [OTHER]);
    }

    #[test]
    fn who_was_forgotten_sends_again_from_the_next_heartbeat_on() {
        let mut me = Membership::of(ME);
        let forgotten = |at| Beat { is_there: false, ..beat(at, &[(ME, 0)]) };
        let first = me.on_beat(&forgotten(100));
        assert_eq!(first.permitted_until, Some(Duration::from_secs(104)), "it has just started");
        assert_eq!(me.on_beat(&beat(101, &[(ME, 1)])).permitted_until, Some(Duration::from_secs(105)));
        let again = me.on_beat(&forgotten(102));
        assert_eq!((again.permitted_until, again.forgotten), (None, 2));
        assert_eq!(me.on_beat(&beat(103, &[(ME, 1)])).permitted_until, Some(Duration::from_secs(107)));
    }

    /// Nodes that beat, or not, at any times, with the database that they share.
    struct World {
        now: Duration,
        counts: HashMap<NodeId, i64>,
        nodes: Vec<(NodeId, Membership)>,
        asked_at: Vec<Option<Duration>>,
        permitted_until: HashMap<NodeId, Duration>,
    }

    impl World {
        fn of(nodes: u128) -> Self {
            let nodes: Vec<_> = (1..=nodes).map(|id| (NodeId::of(id), Membership::of(NodeId::of(id)))).collect();
            let asked_at = nodes.iter().map(|_| None).collect();
            Self { now: Duration::ZERO, counts: HashMap::new(), nodes, asked_at, permitted_until: HashMap::new() }
        }

        /// A heartbeat is asked for, or the one that was asked for is carried out.
        fn step(&mut self, node: usize) -> Result<(), TestCaseError> {
            let Some(asked_at) = self.asked_at[node].take() else {
                self.asked_at[node] = Some(self.now);
                return Ok(());
            };
            let (id, membership) = &mut self.nodes[node];
            let is_there = self.counts.contains_key(id);
            *self.counts.entry(*id).or_insert(first_count(asked_at)) += i64::from(is_there);
            let counts = self.counts.iter().map(|(id, count)| (*id, *count)).collect();
            let standing = membership.on_beat(&Beat { asked_at, answered_at: self.now, is_there, counts });
            if let Some(until) = standing.permitted_until {
                self.permitted_until.insert(*id, until);
            }
            prop_assert!(standing.alive.contains(id));
            for dead in standing.dead {
                prop_assert!(!standing.alive.contains(&dead));
                let until = self.permitted_until.get(&dead).copied().unwrap_or_default();
                prop_assert!(
                    until <= self.now,
                    "{dead} may send until {until:?}, and is called dead at {:?}",
                    self.now
                );
                self.counts.remove(&dead);
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn a_node_is_silent_before_others_call_it_dead(steps in prop::collection::vec((0_usize..3, 0_u64..3000), 1..400)) {
            let mut world = World::of(3);
            for (node, pause) in steps {
                world.now += Duration::from_millis(pause);
                world.step(node)?;
            }
        }
    }
}
