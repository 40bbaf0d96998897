//! What has not been delivered: which queue of its lane each delivery stands in, in the order in which it is sent, and how
//! its attempts fare. One that is delivered stands here no more.

use super::engine::rows::Rows;
use super::{Dialect, StoreError, Tx, Value, Write, query_one};
use crate::domain::clock::Timestamp;
use crate::domain::delivery::{Origin, Position, Queue};
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EndpointId, LaneNumber};
use crate::params;

/// The columns of the primary key, as `is_key!` asks for them.
pub fn values(position: &Position) -> [Value; 5] {
    let Position { lane, queue, experiment, revision, delivery } = *position;
    [lane.into(), Value::Word(queue.as_str()), experiment.into(), revision.into(), delivery.into()]
}

/// For statements whose first value is an endpoint.
const LANE: &str = "(SELECT number FROM lanes WHERE endpoint_id = $1)";
const PENDING: &str = "('live', 'behind')";
const KEY: &str = "lane, queue, experiment_id, revision, delivery_id";

/// For statements whose first values are a key's.
macro_rules! is_key {
    () => {
        "lane = $1 AND queue = $2 AND experiment_id = $3 AND revision = $4 AND delivery_id = $5"
    };
}

pub(super) use is_key;

/// Deliveries moved in one transaction.
const MOST_MADE_DUE: u32 = 500;
/// Pending deliveries are counted no further than this.
pub const MOST_COUNTED: u32 = 100_000;

static UNDELIVERED: Rows<10> = Rows::into(
    "undelivered",
    [
        ("lane", "BIGINT"),
        ("queue", "TEXT"),
        ("experiment_id", "BIGINT"),
        ("revision", "BIGINT"),
        ("delivery_id", "UUID"),
        ("event_id", "UUID"),
        ("is_resent", "BIGINT"),
        ("attempt_count", "BIGINT"),
        ("failure_count", "BIGINT"),
        ("due_at", "BIGINT"),
    ],
    "",
);

/// Fresh deliveries of an event, due at `now`.
pub(super) fn inserting(
    dialect: Dialect,
    event: &Event,
    origin: Origin,
    now: Timestamp,
    owed: &[(DeliveryId, LaneNumber)],
) -> Vec<Write> {
    let queue = Queue::pending(origin == Origin::Replay);
    let is_resent = origin == Origin::Resend;
    let row = |(delivery, lane): &(DeliveryId, LaneNumber)| {
        let position = Position {
            lane: *lane,
            queue,
            experiment: event.experiment_id,
            revision: event.revision,
            delivery: *delivery,
        };
        let [lane, queue, experiment, revision, delivery] = values(&position);
        let (none, is_resent) = (Value::Int(0), is_resent.into());
        [lane, queue, experiment, revision, delivery, event.id.into(), is_resent, none.clone(), none, now.into()]
    };
    UNDELIVERED.inserting(dialect, owed.iter().map(row).collect())
}

/// Ends a pending delivery without sending it; `false` if it is not pending any more.
pub fn cancel(tx: &mut dyn Tx, position: &Position, reason: &str, now: Timestamp) -> Result<bool, StoreError> {
    let mut values = values(position).to_vec();
    values.extend([reason.into(), now.into()]);
    let sql = concat!(
        "UPDATE undelivered SET queue = 'cancelled', reason = $6, ended_at = $7 WHERE ",
        is_key!(),
        " AND queue IN ('live', 'behind')"
    );
    Ok(tx.execute(sql, &values)? == 1)
}

/// Removes one that has ended; `false` if it is not there any more, for it was recovered.
pub fn remove(tx: &mut dyn Tx, position: &Position) -> Result<bool, StoreError> {
    let sql = concat!("DELETE FROM undelivered WHERE ", is_key!(), " AND ended_at IS NOT NULL");
    Ok(tx.execute(sql, &values(position))? == 1)
}

/// Cancels some of what is pending to an endpoint, and tells how many: at most `limit`, for there may be very many.
pub fn cancel_some(
    tx: &mut dyn Tx,
    endpoint: EndpointId,
    reason: &str,
    now: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE undelivered SET queue = 'cancelled', reason = $2, ended_at = $3 \
         WHERE ({KEY}) IN (SELECT {KEY} FROM undelivered WHERE lane = {LANE} AND queue IN {PENDING} ORDER BY {KEY} LIMIT $4{})",
        tx.dialect().for_update()
    );
    tx.execute(&sql, params![endpoint, reason, now, limit])
}

/// What failed and waits for its next attempt is due at once: the most of it, for that is little while breakers open.
pub fn make_due(tx: &mut dyn Tx, endpoint: EndpointId, now: Timestamp) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE undelivered SET due_at = $2 WHERE ({KEY}) IN (SELECT {KEY} FROM undelivered \
         WHERE lane = {LANE} AND ended_at IS NULL AND failure_count > 0 AND due_at > $2 ORDER BY {KEY} LIMIT $3{})",
        tx.dialect().for_update()
    );
    tx.execute(&sql, params![endpoint, now, MOST_MADE_DUE]).map(drop)
}

/// The earlier delivery of the same experiment that holds this one back, and its revision.
pub fn held_back_by(tx: &mut dyn Tx, position: &Position) -> Result<Option<(DeliveryId, i64)>, StoreError> {
    let sql = "SELECT delivery_id, revision FROM undelivered WHERE lane = $1 AND queue = $2 AND experiment_id = $3 \
               AND revision < $4 AND is_resent = 0 ORDER BY revision LIMIT 1";
    let values = params![position.lane, position.queue.as_str(), position.experiment, position.revision];
    query_one(tx, "undelivered", sql, values, |row| Ok((row.get("delivery_id")?, row.get("revision")?)))
}

/// How many deliveries are pending to an endpoint, counted up to [`MOST_COUNTED`].
pub fn count_pending(tx: &mut dyn Tx, endpoint: EndpointId) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT COUNT(*) AS count FROM \
         (SELECT 1 AS one FROM undelivered WHERE lane = {LANE} AND queue IN {PENDING} LIMIT $2) counted"
    );
    Ok(query_one(tx, "undelivered", &sql, params![endpoint, MOST_COUNTED], |row| row.get("count"))?.unwrap_or(0))
}
