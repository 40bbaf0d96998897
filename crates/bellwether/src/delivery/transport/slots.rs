//! How many connections all lanes have together: no more than the process has descriptors for. Where there are more
//! endpoints than that, connections without work give way. Which lane needs one is not known here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is dropped when somebody else needs a connection.
pub trait Idle: Send + Sync {
    /// Closes what has no work; tells how many that were.
    fn give_way(&self) -> usize;
}

/// A place for a connection, for as long as it is held.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "held for what its drop does")] OwnedSemaphorePermit);

/// As many as are made free at a time, so that not every idle connection is lost for one that is wanted.
const GIVEN_UP_AT_ONCE: usize = 16;

pub struct Slots {
    most: usize,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    idle: Mutex<Vec<Weak<dyn Idle>>>,
}

impl Slots {
    pub fn of(most: usize) -> Self {
        let free = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { most, free, waiting: AtomicUsize::new(0), idle: Mutex::default() }
    }

    /// How many there are, and how many of them are taken.
    pub fn count(&self) -> (usize, usize) {
        (self.most, self.most.saturating_sub(self.free.available_permits()))
    }

    /// Remembers who may give way.
    pub fn note(&self, idle: Weak<dyn Idle>) {
        let mut all = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|idle| idle.strong_count() > 0);
        }
        all.push(idle);
    }

    /// Waits for a place. `None` only when the process ends.
    pub async fn take(&self) -> Option<Slot> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Some(Slot(permit));
        }
        let _waiting = Waiting::among(&self.waiting);
        self.make_room();
        self.free.clone().acquire_owned().await.ok().map(Slot)
    }

    /// Whether somebody waits, and so nothing should be kept without work.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    fn make_room(&self) {
        let mut all = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut made = 0;
        // Those that were looked at go to the end, so that it is another's turn next time.
        let looked_at = all.iter().position(|idle| {
            made += idle.upgrade().map_or(0, |idle| idle.give_way());
            made >= GIVEN_UP_AT_ONCE
        });
        if let Some(last) = looked_at {
            all.rotate_left(last + 1);
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[derive(Default)]
    struct Shelf(Mutex<Vec<Slot>>);

    impl Idle for Shelf {
        fn give_way(&self) -> usize {
            std::mem::take(&mut *self.0.lock().unwrap()).len()
        }
    }

    #[tokio::test]
    async fn who_has_no_work_gives_way_to_who_needs_a_connection() {
        let slots = Slots::of(2);
        let shelf = Arc::new(Shelf::default());
        slots.note(Arc::downgrade(&shelf) as Weak<dyn Idle>);
        let busy = slots.take().await.unwrap();
        let idle = slots.take().await.unwrap();
        shelf.0.lock().unwrap().push(idle);
        let third = slots.take().await.unwrap();
        assert!(shelf.0.lock().unwrap().is_empty() && slots.count() == (2, 2));
        let mut fourth = Box::pin(slots.take());
        assert!(fourth.as_mut().now_or_never().is_none() && slots.is_wanted());
        drop(busy);
        assert!(fourth.as_mut().now_or_never().is_some());
        drop(fourth);
        assert!(!slots.is_wanted());
        drop(third);
    }
}
