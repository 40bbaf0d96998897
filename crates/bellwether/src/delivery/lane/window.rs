//! What a lane holds in memory: a bounded part of its pending deliveries, in order. Pure: no clock, no network, no store.
//!
//! Invariants:
//! - within a stream at most one delivery is in flight, and streams are in order of revision;
//! - a delivery that is held is never taken in twice, until it is recorded;
//! - while the window is *behind* (something pending may lie only in the database), nothing comes in but by passes over
//!   the database, so that nothing overtakes what was not loaded.

mod pass;
mod probe;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::domain::endpoint::{Ordering, Settings};
use crate::domain::id::{DeliveryId, ExperimentId};
use crate::store::pending::{Cursor, Pending};
use pass::Pass;
pub use pass::Wish;

/// The most deliveries held, unless many may be in flight.
const CAPACITY: usize = 1024;
/// So many are then held for each of these, up to a bound.
const HELD_FOR_EACH: usize = 32;
const LARGEST_CAPACITY: usize = 4096;
/// There is room for so many experiments for each that may be in flight, so that each always has one to go on with.
const EXPERIMENTS_FOR_EACH: usize = 2;
const EXPERIMENTS: usize = 64;
/// Of one experiment a page brings at most an eighth of what is held: a few that wait must not fill the window.
const LARGEST_PART: usize = 8;
/// How far ahead of its time a delivery is held at all; the database keeps those that are due later.
pub const LONGEST_AHEAD: Duration = Duration::from_secs(60);

/// Deliveries that go one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum StreamKey {
    Experiment(ExperimentId),
    /// One that stands outside the order.
    Single(DeliveryId),
}

/// A point on the lane's monotonic clock.
type Moment = Duration;

/// How much a window holds, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub ordering: Ordering,
    /// The most deliveries held.
    pub capacity: usize,
    /// Of how many experiments there is room for some, while there are many.
    pub experiments: usize,
    /// How long a failing delivery holds back its experiment's later ones.
    pub hold: Duration,
}

impl Limits {
    pub fn of(settings: &Settings) -> Self {
        let in_flight = usize::try_from(settings.max_in_flight).unwrap_or(usize::MAX);
        Self {
            ordering: settings.ordering,
            capacity: in_flight.saturating_mul(HELD_FOR_EACH).clamp(CAPACITY, LARGEST_CAPACITY),
            experiments: in_flight.saturating_mul(EXPERIMENTS_FOR_EACH).max(EXPERIMENTS),
            hold: settings.hold(),
        }
    }

    /// The least and the most deliveries of one experiment that a page brings.
    fn reach(&self) -> (usize, usize) {
        let part = |part: usize| (self.capacity / part).max(1);
        match self.ordering {
            Ordering::Experiment => (part(self.experiments), part(LARGEST_PART)),
            Ordering::None => (self.capacity, self.capacity),
        }
    }
}

#[derive(Default)]
struct Stream {
    queue: VecDeque<Pending>,
    is_in_flight: bool,
    /// When the head first failed, while it holds the others back.
    held_since: Option<Moment>,
}

/// A delivery handed out to be sent. It is given back to [`Window::settle`].
#[derive(Debug, Clone)]
pub struct Taken {
    pub pending: Pending,
    /// `None` for one that has let its stream pass.
    stream: Option<StreamKey>,
}

/// When a delivery from the database is due, from now.
#[derive(Debug, Clone, Copy)]
pub enum Due {
    /// In its place in its stream, which waits for it.
    InOrder(Duration),
    /// By itself: it failed, and has let its stream pass.
    Alone(Duration),
}

/// Why a delivery is forgotten once its outcome is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Ended,
    /// It is due so late that the database keeps it until another look.
    Later,
    /// It was let go while its answer was not on disk; another pass shows where it stands.
    Again,
}

/// A delivery that failed, as it is to be tried again.
#[derive(Debug, Clone)]
pub struct Retry {
    pub pending: Pending,
    /// How long from now.
    pub delay: Duration,
}

enum Waiting {
    /// A stream for its own head.
    Head(StreamKey),
    /// A stream for one that has left it: the later ones pass when the time to hold them back is up.
    Release(StreamKey),
    Alone(Pending),
}

pub struct Window {
    limits: Limits,
    streams: FxHashMap<StreamKey, Stream>,
    /// Streams whose head can be sent now.
    ready: VecDeque<StreamKey>,
    /// Streams whose head waits, and deliveries that let theirs pass, by when they are due.
    waiting: BTreeMap<(Moment, u64), Waiting>,
    /// Deliveries that let their stream pass and are due again.
    ready_alone: VecDeque<Pending>,
    held: FxHashSet<DeliveryId>,
    in_flight: FxHashSet<DeliveryId>,
    /// Of those, the ones that were on their way when all else was let go: they may have been cancelled since.
    overtaken: FxHashSet<DeliveryId>,
    /// Answered, and not yet on disk: how many attempts of each.
    unrecorded: FxHashMap<DeliveryId, u32>,
    /// To be forgotten once their outcome is on disk.
    leaving: FxHashMap<DeliveryId, Leaving>,
    ticket: u64,
    pass: Pass,
}

impl Window {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            streams: FxHashMap::default(),
            ready: VecDeque::new(),
            waiting: BTreeMap::new(),
            ready_alone: VecDeque::new(),
            held: FxHashSet::default(),
            in_flight: FxHashSet::default(),
            overtaken: FxHashSet::default(),
            unrecorded: FxHashMap::default(),
            leaving: FxHashMap::default(),
            ticket: 0,
            pass: Pass::new(&limits),
        }
    }

    /// Deliveries held whose end is still open.
    fn open(&self) -> usize {
        self.held.len() - self.leaving.len()
    }

    pub fn unrecorded(&self) -> usize {
        self.unrecorded.len()
    }

    pub fn is_out_of_step(&self) -> bool {
        self.pass.is_out_of_step
    }

    /// A hint that came with a commit.
    pub fn offer(&mut self, pending: Pending, now: Moment) {
        if self.held.contains(&pending.id) {
            return;
        }
        if self.pass.is_under_way && self.pass.offers.len() < self.limits.capacity {
            self.pass.offers.push(pending);
        } else if self.pass.is_out_of_step || self.open() >= self.limits.capacity {
            self.fall_behind();
        } else {
            self.take_in(pending, now, Duration::ZERO);
        }
    }

    fn key(&self, pending: &Pending) -> StreamKey {
        match self.limits.ordering {
            Ordering::Experiment if !pending.is_resent => StreamKey::Experiment(pending.event.experiment_id),
            Ordering::Experiment | Ordering::None => StreamKey::Single(pending.id),
        }
    }

    fn take_in(&mut self, pending: Pending, now: Moment, wait: Duration) {
        self.held.insert(pending.id);
        let key = self.key(&pending);
        let stream = self.streams.entry(key).or_default();
        // What comes late from the database still comes in its place.
        let place = stream.queue.partition_point(|held| held.event.revision <= pending.event.revision);
        stream.queue.insert(place, pending);
        if stream.queue.len() > 1 || stream.is_in_flight || stream.held_since.is_some() {
            return;
        }
        if wait.is_zero() {
            self.ready.push_back(key);
        } else {
            stream.held_since = Some(now);
            self.wait(now + wait, Waiting::Head(key));
        }
    }

    fn wait(&mut self, until: Moment, what: Waiting) {
        self.ticket += 1;
        self.waiting.insert((until, self.ticket), what);
    }

    /// When the next waiting one is due.
    pub fn next_due(&self) -> Option<Moment> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next delivery to send, if any is due.
    pub fn take(&mut self, now: Moment) -> Option<Taken> {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Waiting::Head(key) => self.ready.push_back(key),
                Waiting::Release(key) => self.release(key),
                Waiting::Alone(pending) => self.ready_alone.push_back(pending),
            }
        }
        let taken =
            self.take_head().or_else(|| self.ready_alone.pop_front().map(|pending| Taken { pending, stream: None }))?;
        self.in_flight.insert(taken.pending.id);
        Some(taken)
    }

    fn take_head(&mut self) -> Option<Taken> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(taken) = self.take_from(key) {
                return Some(taken);
            }
        }
        None
    }

    fn take_from(&mut self, key: StreamKey) -> Option<Taken> {
        let stream = self.streams.get_mut(&key).filter(|stream| !stream.is_in_flight)?;
        let Some(pending) = stream.queue.pop_front() else {
            self.streams.remove(&key);
            return None;
        };
        stream.is_in_flight = true;
        Some(Taken { pending, stream: Some(key) })
    }

    /// An attempt was answered. `retry`: the delivery as it is to be tried again. One that is due much later is let go; a
    /// pass over the database brings it back when it is time.
    pub fn settle(&mut self, taken: &Taken, retry: Option<Retry>, now: Moment) {
        let id = taken.pending.id;
        if self.overtaken.remove(&id) && retry.is_some() {
            return self.give_up(taken);
        }
        self.in_flight.remove(&id);
        *self.unrecorded.entry(id).or_insert(0) += 1;
        let stream = taken.stream.and_then(|key| self.streams.get_mut(&key).map(|stream| (key, stream)));
        let Some((key, stream)) = stream else { return self.wait_alone(id, retry, now) };
        stream.is_in_flight = false;
        let Some(retry) = retry else {
            self.leaving.insert(id, Leaving::Ended);
            return self.release(key);
        };
        let release = *stream.held_since.get_or_insert(now) + self.limits.hold;
        if now + retry.delay <= release {
            stream.queue.push_front(retry.pending);
            return self.wait(now + retry.delay, Waiting::Head(key));
        }
        // It would hold its experiment for too long: the later ones pass when that time is up.
        self.wait_alone(id, Some(retry), now);
        if release > now { self.wait(release, Waiting::Release(key)) } else { self.release(key) }
    }

    /// An attempt was answered that is not charged: the delivery stands where it stood, and is due when the lane sends
    /// again. `is_holding`: its answer may be about itself alone, and so the time runs for which it holds others back.
    pub fn put_back(&mut self, taken: &Taken, pending: Pending, is_holding: bool, now: Moment) {
        let id = pending.id;
        if self.overtaken.remove(&id) {
            return self.give_up(taken);
        }
        *self.unrecorded.entry(id).or_insert(0) += 1;
        self.stand(taken, pending, is_holding, now);
    }

    /// No attempt was made of what was taken: all is as before.
    pub fn untake(&mut self, taken: &Taken, now: Moment) {
        let id = taken.pending.id;
        if self.overtaken.remove(&id) {
            self.in_flight.remove(&id);
            if self.unrecorded.contains_key(&id) {
                self.leaving.insert(id, Leaving::Again);
            } else {
                self.held.remove(&id);
            }
            return self.leave_stream(taken);
        }
        self.stand(taken, taken.pending.clone(), false, now);
    }

    fn stand(&mut self, taken: &Taken, pending: Pending, is_holding: bool, now: Moment) {
        self.in_flight.remove(&pending.id);
        let Some((key, stream)) = taken.stream.and_then(|key| self.streams.get_mut(&key).map(|stream| (key, stream)))
        else {
            return self.ready_alone.push_front(pending);
        };
        stream.is_in_flight = false;
        stream.held_since = stream.held_since.filter(|_| is_holding).or_else(|| is_holding.then_some(now));
        if stream.held_since.is_some_and(|since| now >= since + self.limits.hold) {
            self.ready_alone.push_front(pending);
            return self.release(key);
        }
        stream.queue.push_front(pending);
        self.ready.push_front(key);
    }

    /// Leaves to the database where a delivery stands that was answered, and what comes after it in its stream.
    fn give_up(&mut self, taken: &Taken) {
        let id = taken.pending.id;
        self.in_flight.remove(&id);
        *self.unrecorded.entry(id).or_insert(0) += 1;
        self.leaving.insert(id, Leaving::Again);
        self.leave_stream(taken);
    }

    /// Leaves to the database what comes after it in its stream.
    fn leave_stream(&mut self, taken: &Taken) {
        if let Some(stream) = taken.stream.and_then(|key| self.streams.remove(&key)) {
            for later in &stream.queue {
                self.held.remove(&later.id);
            }
        }
        self.fall_behind();
        self.pass.cursor = Cursor::START;
        self.pass.is_void = self.pass.is_under_way;
    }

    /// Whether one could be taken now.
    pub fn has_due(&self, now: Moment) -> bool {
        !self.ready.is_empty() || !self.ready_alone.is_empty() || self.next_due().is_some_and(|at| at <= now)
    }

    fn wait_alone(&mut self, id: DeliveryId, retry: Option<Retry>, now: Moment) {
        match retry {
            Some(Retry { pending, delay }) if delay <= LONGEST_AHEAD => {
                self.wait(now + delay, Waiting::Alone(pending));
            }
            Some(_) => drop(self.leaving.insert(id, Leaving::Later)),
            None => drop(self.leaving.insert(id, Leaving::Ended)),
        }
    }

    /// Nothing holds a stream back any more.
    fn release(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        stream.held_since = None;
        match (stream.is_in_flight, stream.queue.is_empty()) {
            (true, _) => {}
            (false, true) => drop(self.streams.remove(&key)),
            (false, false) => self.ready.push_back(key),
        }
    }

    /// An outcome of a delivery is on disk.
    pub fn recorded(&mut self, id: DeliveryId) {
        if let Some(attempts) = self.unrecorded.get_mut(&id) {
            *attempts -= 1;
            if *attempts > 0 {
                return;
            }
            self.unrecorded.remove(&id);
        }
        self.pass.is_in_vain = false;
        if let Some(leaving) = self.leaving.remove(&id) {
            self.held.remove(&id);
            if self.pass.is_under_way {
                self.pass.recorded.insert(id, leaving);
            }
            if leaving == Leaving::Again {
                self.fall_behind();
            }
        }
    }

    /// Lets go of all that is not in flight; the database has it. For a lane that is switched off or on, or set up anew.
    pub fn clear(&mut self, limits: Limits) {
        self.limits = limits;
        self.pass.reach = limits.reach().0;
        let (in_flight, unrecorded) = (&self.in_flight, &self.unrecorded);
        self.held.retain(|id| in_flight.contains(id) || unrecorded.contains_key(id));
        let ended = |id: &DeliveryId| self.leaving.get(id).copied().unwrap_or(Leaving::Again);
        self.leaving = unrecorded.keys().filter(|id| !in_flight.contains(id)).map(|id| (*id, ended(id))).collect();
        self.streams.retain(|_, stream| {
            stream.queue.clear();
            stream.is_in_flight
        });
        self.overtaken = self.in_flight.clone();
        self.ready.clear();
        self.ready_alone.clear();
        self.waiting.clear();
        self.page_failed();
        self.pass.cursor = Cursor::START;
        self.fall_behind();
        self.pass.low_water = self.limits.capacity;
    }
}

#[cfg(test)]
mod tests;
