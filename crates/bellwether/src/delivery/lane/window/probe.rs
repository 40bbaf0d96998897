//! A window while its endpoint fails: which delivery is tried next. Then only the order within a stream counts, and not
//! when a delivery would be due by its schedule: what has failed is no worse a probe for that.

use super::{Moment, StreamKey, Taken, Waiting, Window};
use crate::store::pending::Pending;

/// Where a delivery that can be a probe stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Head(StreamKey),
    ReadyAlone(usize),
    Waiting((Moment, u64)),
}

impl Window {
    /// The lowest rank of what can be tried; what has none cannot be now.
    pub fn best_probe<R: Ord>(&self, rank: impl Fn(&Pending) -> Option<R>) -> Option<R> {
        self.probes().filter_map(|(_, pending)| rank(pending)).min()
    }

    /// Takes the one of the lowest rank.
    pub fn take_probe<R: Ord>(&mut self, rank: impl Fn(&Pending) -> Option<R>) -> Option<Taken> {
        let ranked = self.probes().filter_map(|(stand, pending)| Some((rank(pending)?, stand)));
        let (_, stand) = ranked.min_by(|(a, _), (b, _)| a.cmp(b))?;
        let taken = match stand {
            Stand::Head(key) => {
                self.ready.retain(|ready| *ready != key);
                self.take_from(key)?
            }
            Stand::ReadyAlone(at) => Taken { pending: self.ready_alone.remove(at)?, stream: None },
            Stand::Waiting(ticket) => match self.waiting.remove(&ticket)? {
                Waiting::Head(key) => self.take_from(key)?,
                Waiting::Alone(pending) => Taken { pending, stream: None },
                Waiting::Release(_) => return None,
            },
        };
        self.in_flight.insert(taken.pending.id);
        Some(taken)
    }

    /// Lets pass what was held back until now. Not done while nobody answers: then nothing is held back by one delivery.
    pub fn release_held(&mut self, now: Moment) {
        let is_over = |((at, _), waiting): (&(Moment, u64), &Waiting)| match waiting {
            Waiting::Release(key) if *at <= now => Some(*key),
            _ => None,
        };
        let over: Vec<StreamKey> = self.waiting.iter().filter_map(is_over).collect();
        self.waiting.retain(|(at, _), waiting| !matches!(waiting, Waiting::Release(_) if *at <= now));
        over.into_iter().for_each(|key| self.release(key));
    }

    fn probes(&self) -> impl Iterator<Item = (Stand, &Pending)> {
        let head = |key: &StreamKey| self.streams.get(key).filter(|stream| !stream.is_in_flight)?.queue.front();
        let ready = self.ready.iter().filter_map(move |key| Some((Stand::Head(*key), head(key)?)));
        let alone = self.ready_alone.iter().enumerate().map(|(at, pending)| (Stand::ReadyAlone(at), pending));
        let waiting = self.waiting.iter().filter_map(move |(ticket, waiting)| {
            let pending = match waiting {
                Waiting::Head(key) => head(key)?,
                Waiting::Alone(pending) => pending,
                Waiting::Release(_) => return None,
            };
            Some((Stand::Waiting(*ticket), pending))
        });
        ready.chain(alone).chain(waiting)
    }
}
