//! Deliveries: what is owed to whom, and what became of it.
//!
//! A delivery's row is written with its event and never changed. Until it is delivered it also stands in `undelivered`, and
//! is pending as long as an attempt's outcome has not moved it there. Nobody claims one: the lane that owns its endpoint
//! sends it.

use std::collections::HashSet;

use super::engine::rows::{Rows, among};
use super::{
    Dialect, Row, StoreError, Tx, Value, Write, execute_all, lanes, query_as, query_one, readable, undelivered,
};
use crate::domain::clock::Timestamp;
use crate::domain::delivery::{Delivery, DeliveryState, Origin, Position, Queue};
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EndpointId, EventId, LaneNumber};
use crate::params;

/// Events looked for at a time.
const EVENTS_A_STATEMENT: usize = 50;

const COLUMNS: &str = "d.id, d.event_id, l.endpoint_id, d.lane, d.experiment_id, d.revision, d.origin, d.created_at, u.queue, u.reason, \
     u.attempt_count, u.failure_count, u.due_at, u.ended_at, \
     (SELECT MAX(number) FROM attempts a WHERE (u.queue IS NULL OR u.queue = 'cancelled') AND a.delivery_id = d.id) AS tried, \
     (SELECT MAX(started_at + duration_us) FROM attempts a WHERE u.queue IS NULL AND a.delivery_id = d.id AND error_class IS NULL) \
     AS delivered_at";
const SOURCE: &str = "deliveries d JOIN lanes l ON l.number = d.lane LEFT JOIN undelivered u ON u.lane = d.lane \
     AND u.queue IN ('live', 'behind', 'exhausted', 'cancelled') AND u.experiment_id = d.experiment_id \
     AND u.revision = d.revision AND u.delivery_id = d.id";

fn decode(row: &Row<'_>) -> Result<Delivery, StoreError> {
    let queue = row.optional_word("queue", Queue::parse)?;
    let state = queue.map_or(DeliveryState::Delivered, Queue::state);
    let is_pending = state == DeliveryState::Pending;
    Ok(Delivery {
        id: row.get("id")?,
        event_id: row.get("event_id")?,
        endpoint_id: row.get("endpoint_id")?,
        lane: row.get("lane")?,
        experiment_id: row.get("experiment_id")?,
        revision: row.get("revision")?,
        state,
        queue,
        reason: row.get("reason")?,
        origin: row.word("origin", Origin::parse)?,
        is_behind: queue == Some(Queue::Behind),
        attempt_count: match queue {
            // What was under way when it was cancelled may have come to its end since.
            Some(Queue::Cancelled) | None => row.get::<Option<u32>>("tried")?.unwrap_or(0),
            Some(_) => row.get("attempt_count")?,
        },
        failure_count: row.get::<Option<u32>>("failure_count")?.unwrap_or(0),
        due_at: row.get::<Option<Timestamp>>("due_at")?.filter(|_| is_pending),
        created_at: row.get("created_at")?,
        ended_at: if queue.is_some() { row.get("ended_at")? } else { row.get("delivered_at")? },
    })
}

static DELIVERIES: Rows<8> = Rows::into(
    "deliveries",
    [
        ("id", "UUID"),
        ("event_id", "UUID"),
        ("lane", "BIGINT"),
        ("experiment_id", "BIGINT"),
        ("revision", "BIGINT"),
        ("origin", "TEXT"),
        ("is_apart", "BIGINT"),
        ("created_at", "BIGINT"),
    ],
    "",
);

/// Owes `event` to each of these lanes, due at `now`.
pub fn insert(
    tx: &mut dyn Tx,
    event: &Event,
    origin: Origin,
    now: Timestamp,
    owed: &[(DeliveryId, LaneNumber)],
) -> Result<(), StoreError> {
    let writes = inserting(tx.dialect(), event, origin, now, owed);
    execute_all(tx, &writes)
}

/// The same, to be written with other things.
pub fn inserting(
    dialect: Dialect,
    event: &Event,
    origin: Origin,
    now: Timestamp,
    owed: &[(DeliveryId, LaneNumber)],
) -> Vec<Write> {
    let is_apart = origin != Origin::Change;
    let (experiment, revision) = (event.experiment_id, event.revision);
    let row = |(id, lane): &(DeliveryId, LaneNumber)| {
        let origin = Value::Word(origin.as_str());
        [
            (*id).into(),
            event.id.into(),
            (*lane).into(),
            experiment.into(),
            revision.into(),
            origin,
            is_apart.into(),
            now.into(),
        ]
    };
    let mut writes = DELIVERIES.inserting(dialect, owed.iter().map(row).collect());
    writes.extend(undelivered::inserting(dialect, event, origin, now, owed));
    writes
}

pub fn get(tx: &mut dyn Tx, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    query_one(tx, "deliveries", &format!("SELECT {COLUMNS} FROM {SOURCE} WHERE d.id = $1"), params![id], decode)
}

/// All of an event, in order of their ids.
pub fn list_of_event(tx: &mut dyn Tx, event: EventId) -> Result<Vec<Delivery>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {SOURCE} WHERE d.id BETWEEN $1 AND $2 AND d.event_id = $3 AND d.is_apart = 0 \
         UNION ALL SELECT {COLUMNS} FROM {SOURCE} WHERE d.event_id = $3 AND d.is_apart = 1 ORDER BY id"
    );
    let (first, last) = (DeliveryId::first_of(event), DeliveryId::last_of(event));
    query_as(tx, "deliveries", &sql, params![first, last, event], decode)
}

/// Whether anything is or was owed of an event.
pub fn is_any_of(tx: &mut dyn Tx, event: EventId) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM (SELECT id FROM deliveries WHERE id BETWEEN $1 AND $2 AND event_id = $3 AND is_apart = 0 \
               UNION ALL SELECT id FROM deliveries WHERE event_id = $3 AND is_apart = 1) AS of_event LIMIT 1";
    let (first, last) = (DeliveryId::first_of(event), DeliveryId::last_of(event));
    let found = query_one(tx, "deliveries", sql, params![first, last, event], |row| row.get::<DeliveryId>("id"))?;
    Ok(found.is_some())
}

/// Which of these events are or were owed to an endpoint.
pub fn owed_among(tx: &mut dyn Tx, endpoint: EndpointId, events: &[EventId]) -> Result<HashSet<EventId>, StoreError> {
    let Some(lane) = lanes::get(tx, endpoint)?.map(|lane| lane.number) else { return Ok(HashSet::new()) };
    let mut owed = HashSet::new();
    for chunk in events.chunks(EVENTS_A_STATEMENT) {
        // Always as many, so that one statement is prepared for all.
        let full = chunk.iter().chain(std::iter::repeat(&chunk[0])).take(EVENTS_A_STATEMENT);
        let (mut ids, mut apart) = (Vec::new(), Vec::new());
        for event in full {
            ids.push(DeliveryId::of_event(*event, lane).into());
            apart.push((*event).into());
        }
        let (of_ids, ids) = among(tx.dialect(), 1, "UUID", ids);
        let (of_events, given) = among(tx.dialect(), 2, "UUID", apart);
        let apart = [vec![Value::from(lane)], given].concat();
        let by_id = format!("SELECT event_id FROM deliveries WHERE id {of_ids} AND is_apart = 0");
        let by_event =
            format!("SELECT event_id FROM deliveries WHERE lane = $1 AND is_apart = 1 AND event_id {of_events}");
        for (sql, values) in [(by_id, ids), (by_event, apart)] {
            owed.extend(query_as(tx, "deliveries", &sql, &values, |row| row.get::<EventId>("event_id"))?);
        }
    }
    Ok(owed)
}

/// What to list, in order of ids: of their making.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub after: Option<DeliveryId>,
    pub endpoint: Option<EndpointId>,
    /// Those that are delivered, and no others.
    pub is_delivered: bool,
    /// From the last one on, towards the first.
    pub is_newest_first: bool,
    pub limit: u32,
}

/// Deliveries that one page looks at, at most: those that are asked for may stand behind very many others.
pub const MOST_EXAMINED: usize = 5000;
/// Looked at by one statement, where not all are asked for.
const EXAMINED_AT_ONCE: u32 = 500;

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Listed {
    pub found: Vec<Delivery>,
    /// The last that was looked at, if there may be more behind it, though this page may not be full.
    pub next: Option<DeliveryId>,
}

pub fn list(tx: &mut dyn Tx, selection: &Selection) -> Result<Listed, StoreError> {
    let size = if selection.is_delivered { EXAMINED_AT_ONCE } else { selection.limit };
    let (mut found, mut next, mut examined) = (Vec::new(), selection.after, 0);
    while examined < MOST_EXAMINED {
        let part = list_all(tx, next, selection, size)?;
        let is_end = part.len() < size as usize;
        for delivery in part {
            next = Some(delivery.id);
            examined += 1;
            if !selection.is_delivered || delivery.state == DeliveryState::Delivered {
                found.push(delivery);
            }
            if found.len() == selection.limit as usize {
                return Ok(Listed { found, next });
            }
        }
        if is_end {
            return Ok(Listed { found, next: None });
        }
    }
    Ok(Listed { found, next })
}

fn list_all(
    tx: &mut dyn Tx,
    after: Option<DeliveryId>,
    selection: &Selection,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let (start, behind, order) = match selection.is_newest_first {
        true => (u128::MAX, "<", "DESC"),
        false => (0, ">", "ASC"),
    };
    let mut values = params![after.unwrap_or(DeliveryId::of(start)), limit].to_vec();
    let mut sql = format!("SELECT {COLUMNS} FROM {SOURCE} WHERE d.id {behind} $1");
    // Only what is asked for stands in the statement, so that the indexes serve.
    if let Some(endpoint) = selection.endpoint {
        values.push(endpoint.into());
        sql += " AND d.lane = (SELECT number FROM lanes WHERE endpoint_id = $3)";
    }
    sql += &format!(" ORDER BY d.id {order} LIMIT $2");
    query_as(tx, "deliveries", &sql, &values, decode)
}

/// Those with ids from `after` up to `end`, which is not among them, in order, each if it can be read.
pub fn list_before(
    tx: &mut dyn Tx,
    after: Option<DeliveryId>,
    end: DeliveryId,
    limit: u32,
) -> Result<Vec<(DeliveryId, Option<Delivery>)>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {SOURCE} WHERE d.id > $1 AND d.id < $2 ORDER BY d.id LIMIT $3");
    query_as(tx, "deliveries", &sql, params![after.unwrap_or(DeliveryId::of(0)), end, limit], |row| {
        Ok((row.get("id")?, readable(decode(row), "deliveries")?))
    })
}

/// Deliveries in some queues of one lane or all, in the order in which they are sent, behind a place. Lane after lane, for
/// what stands in other queues may be very much.
pub fn list_queued(
    tx: &mut dyn Tx,
    endpoint: Option<EndpointId>,
    queues: &[Queue],
    after: Option<Position>,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let queues = queues.iter().map(|queue| format!("'{}'", queue.as_str())).collect::<Vec<_>>().join(", ");
    let after = after.unwrap_or(Position::START);
    let sql = format!(
        "SELECT number FROM lanes WHERE number >= $1 AND ($2 = '' OR endpoint_id = $2) AND EXISTS \
         (SELECT 1 FROM undelivered u WHERE u.lane = lanes.number AND u.queue IN ({queues})) ORDER BY number"
    );
    let endpoint = endpoint.map_or_else(String::new, |endpoint| endpoint.to_string());
    let lanes: Vec<LaneNumber> = query_as(tx, "lanes", &sql, params![after.lane, endpoint], |row| row.get("number"))?;
    let mut found = Vec::new();
    for lane in lanes {
        let wanted = (limit as usize).saturating_sub(found.len());
        if wanted == 0 {
            break;
        }
        found.extend(list_queued_of(tx, lane, &queues, &after, wanted)?);
    }
    Ok(found)
}

fn list_queued_of(
    tx: &mut dyn Tx,
    lane: LaneNumber,
    queues: &str,
    after: &Position,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let mut values = undelivered::values(after).to_vec();
    values.extend([limit.into(), lane.into()]);
    let sql = format!(
        "SELECT {COLUMNS} FROM (SELECT * FROM undelivered WHERE lane = $7 AND queue IN ({queues}) \
         AND (lane, queue, experiment_id, revision, delivery_id) > ($1, $2, $3, $4, $5) \
         ORDER BY lane, queue, experiment_id, revision, delivery_id LIMIT $6) u \
         JOIN deliveries d ON d.id = u.delivery_id JOIN lanes l ON l.number = d.lane \
         ORDER BY u.lane, u.queue, u.experiment_id, u.revision, u.delivery_id"
    );
    query_as(tx, "deliveries", &sql, &values, decode)
}
