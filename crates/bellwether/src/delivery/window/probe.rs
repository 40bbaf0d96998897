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
    /// The lowest rank of what can be tried at `now`.
    pub fn best_probe<R: Ord>(&self, now: Moment, rank: impl Fn(&Pending) -> R) -> Option<R> {
        self.probes(now).map(|(_, pending)| rank(pending)).min()
    }

    /// Takes the one of the lowest rank.
    pub fn take_probe<R: Ord>(&mut self, now: Moment, rank: impl Fn(&Pending) -> R) -> Option<Taken> {
        let (stand, _) = self.probes(now).min_by_key(|(_, pending)| rank(pending))?;
        let taken = match stand {
            Stand::Head(key) => {
                self.ready.retain(|ready| *ready != key);
                self.take_from(key)?
            }
            Stand::ReadyAlone(at) => Taken { pending: self.ready_alone.remove(at)?, stream: None },
            Stand::Waiting(ticket) => match self.waiting.remove(&ticket)? {
                Waiting::Head { key, .. } => self.take_from(key)?,
                Waiting::Alone { pending, .. } => Taken { pending, stream: None },
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

    /// When the next is due of those for which the receiver asked for a time.
    pub fn next_asked(&self, now: Moment) -> Option<Moment> {
        let asked = self.waiting.iter().filter(|(_, waiting)| {
            matches!(waiting, Waiting::Head { is_asked: true, .. } | Waiting::Alone { is_asked: true, .. })
        });
        asked.map(|((at, _), _)| *at).find(|at| *at > now)
    }

    fn probes(&self, now: Moment) -> impl Iterator<Item = (Stand, &Pending)> {
        let head = |key: &StreamKey| self.streams.get(key).filter(|stream| !stream.is_in_flight)?.queue.front();
        let ready = self.ready.iter().filter_map(move |key| Some((Stand::Head(*key), head(key)?)));
        let alone = self.ready_alone.iter().enumerate().map(|(at, pending)| (Stand::ReadyAlone(at), pending));
        let waiting = self.waiting.iter().filter_map(move |(ticket, waiting)| {
            let is_ripe = ticket.0 <= now;
            let pending = match waiting {
                Waiting::Head { key, is_asked } if is_ripe || !is_asked => head(key)?,
                Waiting::Alone { pending, is_asked } if is_ripe || !is_asked => pending,
                _ => return None,
            };
            Some((Stand::Waiting(*ticket), pending))
        });
        ready.chain(alone).chain(waiting)
    }
}
