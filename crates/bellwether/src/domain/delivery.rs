//! A delivery: one event owed to one endpoint, where it stands, and what its attempts came to.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use super::clock::Timestamp;
use super::id::{DeliveryId, EndpointId, EventId, ExperimentId, LaneNumber};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    Delivered,
    /// Every attempt of the schedule failed.
    Exhausted,
    Cancelled,
}

impl DeliveryState {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Exhausted, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Why there is a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Its event happened.
    Change,
    /// Somebody asked to have it again; it stands outside the order.
    Resend,
    /// Somebody asked for what the endpoint never got.
    Replay,
}

impl Origin {
    pub const ALL: [Self; 3] = [Self::Change, Self::Resend, Self::Replay];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Resend => "resend",
            Self::Replay => "replay",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == text)
    }
}

/// One event owed to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub event_id: EventId,
    pub endpoint_id: EndpointId,
    pub lane: LaneNumber,
    pub experiment_id: ExperimentId,
    pub revision: i64,
    pub state: DeliveryState,
    /// Where it stands if it is not delivered.
    pub queue: Option<Queue>,
    /// Why it was cancelled.
    pub reason: Option<String>,
    pub origin: Origin,
    /// Whether it comes behind live traffic, while it is pending: it was recovered or replayed.
    pub is_behind: bool,
    pub attempt_count: u32,
    /// Failed attempts that count for the retry schedule; those made while the breaker was open do not.
    pub failure_count: u32,
    /// When the next attempt is due, while it is pending.
    pub due_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

impl Delivery {
    /// Where it stands, if it is not delivered.
    pub fn position(&self) -> Option<Position> {
        let Self { lane, experiment_id, revision, id, .. } = *self;
        Some(Position { lane, queue: self.queue?, experiment: experiment_id, revision, delivery: id })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Pending, in its time.
    Live,
    /// Pending, behind live traffic: recovered, or replayed.
    Behind,
    Exhausted,
    Cancelled,
}

impl Queue {
    pub const ALL: [Self; 4] = [Self::Live, Self::Behind, Self::Exhausted, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Behind => "behind",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.as_str() == text)
    }

    pub const fn state(self) -> DeliveryState {
        match self {
            Self::Live | Self::Behind => DeliveryState::Pending,
            Self::Exhausted => DeliveryState::Exhausted,
            Self::Cancelled => DeliveryState::Cancelled,
        }
    }

    /// Where pending deliveries stand.
    pub const fn pending(is_behind: bool) -> Self {
        if is_behind { Self::Behind } else { Self::Live }
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub lane: LaneNumber,
    pub queue: Queue,
    pub experiment: ExperimentId,
    pub revision: i64,
    pub delivery: DeliveryId,
}

impl Position {
    /// Before all there are.
    pub const START: Self =
        Self { lane: 0, queue: Queue::Behind, experiment: 0, revision: 0, delivery: DeliveryId::of(0) };

    /// As the keys of rows are ordered.
    pub fn order(&self) -> (LaneNumber, &'static str, ExperimentId, i64, DeliveryId) {
        (self.lane, self.queue.as_str(), self.experiment, self.revision, self.delivery)
    }
}

/// `7.live.42.3.dlv_…`, for those who list what stands behind it.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, queue, experiment, revision, delivery } = self;
        write!(f, "{lane}.{}.{experiment}.{revision}.{delivery}", queue.as_str())
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(|| format!("'{text}' is no place in a queue"));
        let number = |error: ParseIntError| error.to_string();
        Ok(Self {
            lane: next()?.parse().map_err(number)?,
            queue: Queue::parse(next()?).ok_or_else(|| format!("'{text}' names no queue"))?,
            experiment: next()?.parse().map_err(number)?,
            revision: next()?.parse().map_err(number)?,
            delivery: next()?.parse()?,
        })
    }
}

/// One HTTP request made for a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub number: u32,
    pub started_at: Timestamp,
    pub duration_us: u64,
    pub status_code: Option<u32>,
    /// `dns`, `blocked_address`, `connect`, `tls`, `timeout_answer`, `status`, …; `None` for a success.
    pub error_class: Option<String>,
    pub error: Option<String>,
    /// As they were sent, a line for each, of a request that failed. Values that may be tokens are hidden.
    pub request_headers: Option<String>,
    /// The first 4 KiB of the answer's headers, a line for each, and of its body.
    pub response_headers: Option<String>,
    pub response_body: Option<String>,
}

/// What an attempt leaves behind: the attempt, and where the delivery stands after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where the delivery stood while it was tried.
    pub position: Position,
    pub attempt: Attempt,
    pub state: DeliveryState,
    pub failure_count: u32,
    pub due_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}
