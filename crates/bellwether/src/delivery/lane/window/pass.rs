//! A window's passes over the database: what it reads next, how much of a page it takes in, and when it knows all.

use rustc_hash::FxHashMap;

use super::{Due, Leaving, Limits, Moment, StreamKey, Waiting, Window};
use crate::domain::id::{DeliveryId, ExperimentId};
use crate::store::pending::{Cursor, Pending};

/// What a window wants from the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    pub after: Cursor,
    /// Deliveries of one experiment; one more shows that there are more.
    pub reach: usize,
}

/// How far a page could be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    All,
    /// There was no room for more.
    Full,
    /// Up to a place inside an experiment of which more must be read at once: nothing of it can be sent yet.
    Inside,
}

/// Where the window stands against the database.
pub(super) struct Pass {
    pub(super) is_out_of_step: bool,
    pub(super) is_under_way: bool,
    /// The page under way begins too late, and is not to be used.
    pub(super) is_void: bool,
    pub(super) cursor: Cursor,
    pub(super) reach: usize,
    /// Whether this pass began at the start and left nothing out.
    pub(super) is_whole: bool,
    /// Whether it began because there was room, and not only because it was time to look.
    is_for_room: bool,
    /// The last pass found nothing to take in. The next waits until something is recorded, or until it is time to look.
    pub(super) is_in_vain: bool,
    /// No more is read until so few are open.
    pub(super) low_water: usize,
    /// Offers that came while a page was read.
    pub(super) offers: Vec<Pending>,
    /// Recorded while a page was read, which may still show them as pending.
    pub(super) recorded: FxHashMap<DeliveryId, Leaving>,
}

impl Pass {
    /// A new window knows nothing, and so begins behind.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            is_out_of_step: true,
            is_under_way: false,
            is_void: false,
            cursor: Cursor::START,
            reach: limits.reach().0,
            is_whole: true,
            is_for_room: true,
            is_in_vain: false,
            low_water: limits.capacity,
            offers: Vec::new(),
            recorded: FxHashMap::default(),
        }
    }
}

impl Window {
    /// Something may be pending that this window was not offered.
    pub fn fall_behind(&mut self) {
        if !self.pass.is_out_of_step {
            self.pass.low_water = self.open() / 2;
        }
        self.pass.is_out_of_step = true;
        self.pass.is_whole = false;
        self.pass.is_in_vain = false;
    }

    /// What to read next from the database, if there is something to read and room for it. `is_overdue` asks for a look
    /// even while much is open, for what is open may be waiting for long.
    pub fn next_page(&mut self, is_overdue: bool) -> Option<Wish> {
        let is_for_room = self.open() <= self.pass.low_water && !self.pass.is_in_vain;
        let has_room = is_for_room || (is_overdue && self.open() < self.limits.capacity);
        if !self.pass.is_out_of_step || self.pass.is_under_way || !has_room {
            return None;
        }
        self.pass.is_under_way = true;
        if self.pass.cursor == Cursor::START {
            self.pass.is_whole = true;
            self.pass.is_for_room = is_for_room;
        }
        Some(Wish { after: self.pass.cursor, reach: self.pass.reach })
    }

    /// The page wished for, of at most `limit` pending deliveries, in order of experiment and revision.
    /// `due` tells when each is due. Tells whether anything of it was taken in.
    pub fn page(&mut self, page: Vec<Pending>, limit: usize, now: Moment, due: impl Fn(&Pending) -> Due) -> bool {
        let is_last = page.len() < limit;
        let held = self.held.len();
        self.pass.is_under_way = false;
        self.pass.low_water = self.limits.capacity;
        let is_void = std::mem::take(&mut self.pass.is_void);
        let taking = if is_void { Taking::Full } else { self.load(page, now, due) };
        let is_taken = self.held.len() > held;
        let (least, most) = self.limits.reach();
        match taking {
            Taking::Full => {
                self.pass.reach = (self.pass.reach / 2).max(least);
                self.pass.low_water = self.open() / 2;
            }
            Taking::All if is_last => {
                self.pass.cursor = Cursor::START;
                self.pass.is_out_of_step = !self.pass.is_whole;
                self.pass.is_in_vain = self.pass.is_out_of_step && !is_taken;
                if self.pass.is_out_of_step {
                    self.pass.low_water = self.open() / 2;
                    if self.pass.is_for_room && self.open() <= self.limits.capacity / 2 {
                        self.pass.reach = (self.pass.reach * 2).min(most);
                    }
                }
            }
            Taking::All | Taking::Inside => {}
        }
        self.pass.recorded.clear();
        for offer in std::mem::take(&mut self.pass.offers) {
            self.offer(offer, now);
        }
        is_taken
    }

    /// Takes in what fits of a page.
    fn load(&mut self, page: Vec<Pending>, now: Moment, due: impl Fn(&Pending) -> Due) -> Taking {
        let mut skipped = None;
        let (mut experiment, mut count) = (None, 0);
        for pending in page {
            let place = Cursor {
                experiment: pending.event.experiment_id,
                revision: pending.event.revision,
                delivery: pending.id,
            };
            if skipped == Some(place.experiment) {
                continue;
            }
            count = if experiment == Some(place.experiment) { count + 1 } else { 1 };
            experiment = Some(place.experiment);
            let leaving = self.leaving.get(&pending.id).or_else(|| self.pass.recorded.get(&pending.id));
            if leaving == Some(&Leaving::Again) {
                // Where it stands is not on disk yet; until then nothing of its experiment may pass it.
                skipped = self.skip(place);
                continue;
            }
            if self.held.contains(&pending.id) || self.pass.recorded.contains_key(&pending.id) {
                self.pass.cursor = place;
            } else if self.open() >= self.limits.capacity {
                self.pass.is_whole = false;
                return Taking::Full;
            } else if self.queued(place.experiment) < self.pass.reach {
                self.pass.cursor = place;
                match due(&pending) {
                    Due::InOrder(wait) => self.take_in(pending, now, wait),
                    Due::Alone(wait) => {
                        self.held.insert(pending.id);
                        self.wait(now + wait, Waiting::Alone(pending));
                    }
                }
            } else {
                skipped = self.skip(place);
            }
            if count > self.pass.reach {
                // The page shows no more of it. What is shown may all be answered, or stand outside the order.
                if self.queued(place.experiment) == 0 && skipped.is_none() {
                    return Taking::Inside;
                }
                skipped = self.skip(place);
            }
        }
        Taking::All
    }

    /// Goes on with the next experiment, and comes back to this one in another pass.
    fn skip(&mut self, place: Cursor) -> Option<ExperimentId> {
        self.pass.is_whole = false;
        self.pass.cursor = Cursor { revision: i64::MAX, ..place };
        Some(place.experiment)
    }

    /// How many of an experiment's wait in their order.
    fn queued(&self, experiment: ExperimentId) -> usize {
        self.streams.get(&StreamKey::Experiment(experiment)).map_or(0, |stream| stream.queue.len())
    }

    /// The page could not be read; it will be asked for again.
    pub fn page_failed(&mut self) {
        self.pass.is_under_way = false;
        self.pass.is_void = false;
        self.pass.is_whole = false;
        self.pass.offers.clear();
        self.pass.recorded.clear();
    }
}
