//! What was looked up lately, and is believed for a moment without another look: keys and sessions, which every request shows.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// For so long. What changes something here forgets all at once.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// More are not kept: those that are believed no longer go first.
const MOST: usize = 10_000;

/// Cheap to clone; all are the same.
pub struct Lately<K, V> {
    found: Arc<Mutex<HashMap<K, (Duration, V)>>>,
}

impl<K, V> Clone for Lately<K, V> {
    fn clone(&self) -> Self {
        Self { found: self.found.clone() }
    }
}

impl<K, V> Default for Lately<K, V> {
    fn default() -> Self {
        Self { found: Arc::default() }
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Lately<K, V> {
    /// Times are of the monotonic clock.
    pub fn get(&self, key: K, now: Duration) -> Option<V> {
        let found = self.found();
        found.get(&key).filter(|(at, _)| is_believed(*at, now)).map(|(_, value)| value.clone())
    }

    /// As it was when the look at it began.
    pub fn put(&self, key: K, looked_at: Duration, value: V) {
        let mut found = self.found();
        if found.len() >= MOST {
            found.retain(|_, (at, _)| is_believed(*at, looked_at));
        }
        found.insert(key, (looked_at, value));
    }

    pub fn forget_all(&self) {
        self.found().clear();
    }

    fn found(&self) -> MutexGuard<'_, HashMap<K, (Duration, V)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_believed(at: Duration, now: Duration) -> bool {
    now.saturating_sub(at) < BELIEVED_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_believed_for_a_second_and_there_are_only_so_many() {
        let at = Duration::from_millis;
        let lately = Lately::default();
        lately.put(1, at(0), 'a');
        assert_eq!((lately.get(1, at(999)), lately.get(1, at(1000)), lately.get(2, at(0))), (Some('a'), None, None));
        for key in 0..=MOST {
            lately.put(key, at(2000 + key as u64), 'b');
        }
        assert!(lately.found().len() <= MOST);
        lately.forget_all();
        assert_eq!(lately.get(MOST, at(2000 + MOST as u64)), None);
    }
}
