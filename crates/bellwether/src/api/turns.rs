//! Requests with the same `Idempotency-Key` in this process, one after the other: the second finds the answer of the first. Of
//! what another process carries out nothing is known here: the database keeps a change from being made twice, and what is done
//! before anything is written, like a test request, both may do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

/// Whose key it is, and the key.
type Key = (String, String);

/// Which keys have requests under way.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<Key, Arc<Gate<()>>>>);

/// A request's turn, until this is dropped.
pub struct Turn {
    turns: Arc<Turns>,
    key: Key,
    gate: Option<Arc<Gate<()>>>,
    place: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for those under way with the same key.
    pub async fn wait(self: &Arc<Self>, key: Key) -> Turn {
        let gate = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone();
        // Made before it is waited for: whoever hangs up meanwhile leaves nothing behind.
        let mut turn = Turn { turns: self.clone(), key, gate: Some(gate.clone()), place: None };
        turn.place = Some(gate.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.place = None;
        let mut gates = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.gate = None;
        // Held by the map alone: nobody else waits, and nobody comes while the map is locked.
        if gates.get(&self.key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    async fn is_ready<T>(mut waiting: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn requests_of_one_key_wait_for_each_other_and_leave_nothing_behind() {
        let turns = Arc::new(Turns::default());
        let key = |key: &str| ("holder".to_owned(), key.to_owned());
        let first = turns.wait(key("a")).await;
        let other = turns.wait(key("b")).await;
        let mut second = Box::pin(turns.wait(key("a")));
        let mut third = Box::pin(turns.wait(key("a")));
        assert!(!is_ready(second.as_mut()).await && !is_ready(third.as_mut()).await);
        drop(second);
        assert!(!is_ready(third.as_mut()).await, "the first is still under way");
        drop(first);
        drop(third.await);
        drop(other);
        assert!(turns.0.lock().unwrap().is_empty());
        // The last that waits hangs up after the one before has ended.
        let first = turns.wait(key("a")).await;
        let mut second = Box::pin(turns.wait(key("a")));
        assert!(!is_ready(second.as_mut()).await);
        drop(first);
        drop(second);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
