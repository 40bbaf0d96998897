//! What a lane reads: the pending deliveries of its endpoint with their events, in order, a page at a time. A page goes from
//! experiment to experiment, so that one with a long backlog neither fills it nor costs more than its share to pass.

use std::sync::Arc;

use super::undelivered::values;
use super::{StoreError, Tx, events, query_as};
use crate::domain::clock::Timestamp;
use crate::domain::delivery::{Position, Queue};
use crate::domain::endpoint::LONGEST_RETRY;
use crate::domain::event::{Event, Format};
use crate::domain::id::{DeliveryId, EndpointId, ExperimentId, LaneNumber};

/// A pending delivery with the event it carries.
#[derive(Debug, Clone)]
pub struct Pending {
    pub id: DeliveryId,
    /// Resent: it stands outside the order.
    pub is_resent: bool,
    pub attempt_count: u32,
    pub failure_count: u32,
    pub due_at: Timestamp,
    pub event: Arc<Event>,
}

/// Where a pass over an endpoint's deliveries stands, in the order of experiment and revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub experiment: ExperimentId,
    pub revision: i64,
    pub delivery: DeliveryId,
}

impl Cursor {
    pub const START: Self = Self { experiment: -1, revision: 0, delivery: DeliveryId::of(0) };
}

/// Which of an endpoint's pending deliveries: those in their time, or those that come behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    pub endpoint: EndpointId,
    pub lane: LaneNumber,
    pub is_behind: bool,
}

impl Owed {
    /// Where one of them stands.
    pub fn position(&self, cursor: Cursor) -> Position {
        let Cursor { experiment, revision, delivery } = cursor;
        Position { lane: self.lane, queue: Queue::pending(self.is_behind), experiment, revision, delivery }
    }
}

/// A page to be read.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub owed: Owed,
    pub after: Cursor,
    /// Those that failed are left out if they are due later. What never failed is due, whatever the clock has done since
    /// it was made.
    pub due_by: Timestamp,
    /// Of an experiment that has more than so many, at least one more is read, which shows that there are more, and the rest
    /// may be left out.
    pub reach: u32,
    pub limit: u32,
    /// Of what may be sent of an event, only this is read.
    pub format: Format,
}

impl Pending {
    pub fn cursor(&self) -> Cursor {
        Cursor { experiment: self.event.experiment_id, revision: self.event.revision, delivery: self.id }
    }
}

/// The pending deliveries behind `after`, in order.
pub fn read(tx: &mut dyn Tx, look: &Look) -> Result<Vec<Pending>, StoreError> {
    let mut page: Vec<Pending> = Vec::new();
    let (mut after, limit) = (look.after, look.limit as usize);
    let least = (look.reach as usize).saturating_add(1);
    let mut wanted = least;
    while page.len() < limit {
        let most = wanted.min(limit - page.len());
        let part = part(tx, look, after, most)?;
        let Some((first, last)) = part.first().zip(part.last()).map(|(first, last)| (first.cursor(), last.cursor()))
        else {
            break;
        };
        let (is_end, is_of_one) = (part.len() < most, first.experiment == last.experiment);
        // Behind the last revision there can be, the next experiment begins.
        after = if is_of_one { Cursor { revision: i64::MAX, ..last } } else { last };
        // Where the experiments are short, there is nothing to pass over.
        wanted = if is_of_one { least } else { wanted.saturating_mul(2) };
        page.extend(part);
        if is_end {
            break;
        }
    }
    Ok(page)
}

fn part(tx: &mut dyn Tx, look: &Look, after: Cursor, most: usize) -> Result<Vec<Pending>, StoreError> {
    let sql = "SELECT e.id, e.experiment_id, e.revision, e.type, e.occurred_at, \
               CASE $8 WHEN 'detailed' THEN '' ELSE e.data END AS data, \
               CASE $8 WHEN 'detailed' THEN e.detailed ELSE '' END AS detailed, \
               u.delivery_id, u.is_resent, u.attempt_count, u.failure_count, u.due_at \
               FROM undelivered u JOIN events e ON e.id = u.event_id WHERE u.lane = $1 AND u.queue = $2 \
               AND (u.experiment_id, u.revision, u.delivery_id) > ($3, $4, $5) AND (u.due_at <= $6 OR u.failure_count = 0 OR u.due_at > $9) \
               ORDER BY u.experiment_id, u.revision, u.delivery_id LIMIT $7";
    let mut values = values(&look.owed.position(after)).to_vec();
    // Later than any schedule says, it was put off by a wall clock that has jumped.
    let latest = look.due_by.plus(LONGEST_RETRY * 2);
    values.extend([look.due_by.into(), most.into(), look.format.as_str().into(), latest.into()]);
    query_as(tx, "undelivered", sql, &values, |row| {
        Ok(Pending {
            id: row.get("delivery_id")?,
            is_resent: row.get("is_resent")?,
            attempt_count: row.get("attempt_count")?,
            failure_count: row.get("failure_count")?,
            due_at: row.get("due_at")?,
            event: events::decode(row)?.into(),
        })
    })
}
