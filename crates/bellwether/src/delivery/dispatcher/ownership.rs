//! Which lanes a node is to take, and which to let go, so that live nodes share them evenly and as few as may be move. Pure:
//! each node decides for itself from what it sees, and a fence settles it where two see differently.

use crate::domain::id::{EndpointId, NodeId};
use crate::store::lanes::LaneRow;

/// What a node is to do about its share.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Places in the list of lanes.
    pub claim: Vec<usize>,
    pub release: Vec<EndpointId>,
}

/// The plan of `me`, who is one of `alive`, which is in order.
pub fn plan(lanes: &[LaneRow], alive: &[NodeId], me: NodeId) -> Plan {
    let nodes = alive.len().max(1);
    let place = alive.iter().position(|node| *node == me).unwrap_or(0);
    let quota = lanes.len() / nodes + usize::from(place < lanes.len() % nodes);
    let mine: Vec<EndpointId> =
        lanes.iter().filter(|lane| lane.node_id == Some(me)).map(|lane| lane.endpoint_id).collect();
    let is_free = |lane: &LaneRow| lane.node_id.is_none_or(|node| !alive.contains(&node));
    let free = lanes.iter().enumerate().filter(|(_, lane)| is_free(lane)).map(|(place, _)| place);
    Plan {
        claim: free.take(quota.saturating_sub(mine.len())).collect(),
        release: mine.get(quota..).unwrap_or_default().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::health::Health;

    fn lane(number: u128, node: Option<u128>) -> LaneRow {
        LaneRow {
            endpoint_id: EndpointId::of(number),
            number: u32::try_from(number).unwrap(),
            node_id: node.map(NodeId::of),
            fence: 0,
            revised: 0,
            health: Health::default(),
        }
    }

    /// Lets every node carry out its plan by turns until nobody has one; gives how many lanes moved.
    fn settle(lanes: &mut [LaneRow], alive: &[NodeId]) -> usize {
        let mut moves = 0;
        for _ in 0..20 {
            let mut is_quiet = true;
            for node in alive {
                let plan = plan(lanes, alive, *node);
                is_quiet &= plan == Plan::default();
                for place in plan.claim {
                    lanes[place].node_id = Some(*node);
                    moves += 1;
                }
                for lane in lanes.iter_mut().filter(|lane| plan.release.contains(&lane.endpoint_id)) {
                    lane.node_id = None;
                }
            }
            if is_quiet {
                return moves;
            }
        }
        panic!("the nodes go on and on: {lanes:?}");
    }

    proptest! {
        #[test]
        fn live_nodes_share_evenly_and_nobody_moves_without_need(
            count in 0_u128..60, first in 1_u128..6, second in 1_u128..6,
        ) {
            let mut lanes: Vec<_> = (0..count).map(|number| lane(number, None)).collect();
            let nodes = |count: u128| (1..=count).map(NodeId::of).collect::<Vec<_>>();
            for alive in [nodes(first), nodes(second)] {
                let kept = lanes.iter().filter(|lane| lane.node_id.is_some_and(|node| alive.contains(&node))).count();
                let moves = settle(&mut lanes, &alive);
                let shares: Vec<_> =
                    alive.iter().map(|node| lanes.iter().filter(|lane| lane.node_id == Some(*node)).count()).collect();
                prop_assert_eq!(shares.iter().sum::<usize>(), lanes.len());
                prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{:?}", shares);
                let fewest = lanes.len() - kept;
                prop_assert!(moves <= fewest + lanes.len().div_ceil(alive.len()) * alive.len().saturating_sub(1), "{} moves", moves);
            }
        }
    }

    #[test]
    fn a_dead_nodes_lanes_are_taken_over() {
        let lanes = [lane(1, Some(1)), lane(2, Some(9))];
        assert_eq!(plan(&lanes, &[NodeId::of(1)], NodeId::of(1)), Plan { claim: vec![1], release: vec![] });
    }
}
