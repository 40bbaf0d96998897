//! The order of hints: those that come with a commit may be taken at their word only where none before them is missing. And
//! what is for lanes of other nodes, gathered until somebody passes it on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EndpointId, ExperimentId};
use crate::store::Dialect;
use crate::store::pending::Pending;

/// Experiments whose latest revision is remembered.
const MOST_REVISIONS: usize = 65_536;

pub struct HintOrder {
    /// Whether hints come in the order of their commits.
    are_ordered: bool,
    /// The latest revision that was hinted at, by experiment, where they do not.
    revisions: HashMap<ExperimentId, i64>,
    elsewhere: HashSet<EndpointId>,
    /// Something other than deliveries has changed, that other nodes should know of.
    has_changed: bool,
}

impl HintOrder {
    pub fn of(dialect: Dialect) -> Self {
        Self {
            are_ordered: dialect.numbers_events_in_transaction(),
            revisions: HashMap::new(),
            elsewhere: HashSet::new(),
            has_changed: false,
        }
    }

    /// PostgreSQL's may overtake each other between commit and here: one that is not the next of its experiment sends the
    /// lanes to the database, which shows the earlier ones too.
    pub fn is_next(&mut self, event: &Event) -> bool {
        if self.are_ordered {
            return true;
        }
        if self.revisions.len() >= MOST_REVISIONS {
            self.revisions.clear();
        }
        let last = self.revisions.entry(event.experiment_id).or_insert(0);
        let is_next = event.revision == *last + 1;
        *last = event.revision.max(*last);
        is_next
    }

    /// Something is owed to an endpoint whose lane is not this node's.
    pub fn note_elsewhere(&mut self, endpoint: EndpointId) {
        if !self.are_ordered {
            self.elsewhere.insert(endpoint);
        }
    }

    pub fn note_change(&mut self) {
        self.has_changed = !self.are_ordered;
    }

    pub fn has_hints(&self) -> bool {
        self.has_changed || !self.elsewhere.is_empty()
    }

    /// What was noted since the last time: endpoints that something is owed to, or `None` for anything.
    pub fn take_hints(&mut self) -> Option<Vec<EndpointId>> {
        let endpoints = std::mem::take(&mut self.elsewhere);
        (!std::mem::take(&mut self.has_changed)).then(|| endpoints.into_iter().collect())
    }
}

/// A fresh delivery, as its commit's hint tells it.
pub fn offer(id: DeliveryId, event: &Arc<Event>) -> Pending {
    let due_at = event.occurred_at;
    Pending { id, is_resent: false, attempt_count: 0, failure_count: 0, due_at, event: event.clone() }
}
