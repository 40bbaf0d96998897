//! What the receiver notes of each request: as little as order, loss and delay can be told from.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One request that came and was accepted.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The event's; empty where the receiver does not verify.
    pub id: String,
    /// The number at the end of the path: which endpoint it was for.
    pub endpoint: u32,
    pub experiment_id: i64,
    /// 0 where the sender does not tell it.
    pub revision: i64,
    pub at: Instant,
}

#[derive(Default)]
struct Pages {
    arrivals: Vec<Arrival>,
    refused: Vec<String>,
}

#[derive(Default)]
pub struct Ledger(Mutex<Pages>);

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, arrival: Arrival) {
        self.pages().arrivals.push(arrival);
    }

    pub fn note_refused(&self, reason: String) {
        self.pages().refused.push(reason);
    }

    /// All that came until now, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.pages().arrivals.clone()
    }

    /// All that came since the last time, in order, which is then forgotten.
    pub fn take_arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.pages().arrivals)
    }

    pub fn last_at(&self) -> Option<Instant> {
        self.pages().arrivals.last().map(|arrival| arrival.at)
    }

    /// Why requests were refused.
    pub fn refused(&self) -> Vec<String> {
        self.pages().refused.clone()
    }
}
