//! Which node a lane is: taking it over, letting it go, and telling other nodes that something is owed.

use super::{Registry, Result};
use crate::domain::id::EndpointId;
use crate::store::lanes::{self, LaneRow};
use crate::store::{endpoints, node_hints};

/// Endpoints named in one hint.
const MOST_NAMED: usize = 200;

impl Registry {
    /// Takes lanes over that were seen to be nobody's, and gives those that came about.
    pub async fn claim_lanes(&self, seen: Vec<LaneRow>) -> Result<Vec<LaneRow>> {
        let node = self.node_id();
        self.command(move |_, tx| {
            let mut claimed = Vec::new();
            for lane in &seen {
                if lanes::claim(tx, lane, node)? {
                    claimed.push(LaneRow { node_id: Some(node), fence: lane.fence + 1, ..lane.clone() });
                }
            }
            Ok(claimed)
        })
        .await
    }

    /// Tells the other nodes that something is owed to these endpoints; `None`: that anything may have changed. A hint.
    pub async fn hint_nodes(&self, endpoints: Option<Vec<EndpointId>>) {
        if self.db().dialect().has_one_node() {
            return;
        }
        let text = match endpoints {
            Some(ids) if ids.len() <= MOST_NAMED => ids.iter().map(EndpointId::to_string).collect::<Vec<_>>().join(","),
            _ => node_hints::EVERYTHING.to_owned(),
        };
        if let Err(error) = self.command(move |_, tx| Ok(node_hints::send(tx, &text)?)).await {
            tracing::debug!(%error, "the other nodes could not be told; they look by themselves");
        }
    }

    /// Lets a lane go that has ended here, for others to take.
    pub async fn release_lane(&self, endpoint: EndpointId, fence: i64) -> Result<()> {
        self.command(move |context, tx| {
            lanes::release(tx, endpoint, fence)?;
            Ok(endpoints::renew_generation(tx, context.setup.ids.as_ref())?)
        })
        .await
    }
}
