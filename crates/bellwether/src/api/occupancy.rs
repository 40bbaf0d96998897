//! Who is connected, and who gives way when there is no room: whoever has waited longest without a request, so that nobody
//! can make the API deaf by holding connections open. Pure: sockets are others'.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// When a connection last began to wait: each time has a higher one.
type Ticket = u64;
pub type Id = u64;

/// How much there may be at a time. What is under way gives way to nobody, so all of it together takes no more than part of
/// the connections: the rest stays for whoever comes, `/healthz` above all.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub connections: usize,
    /// Of one address, those without a request. Many clients may stand behind one proxy, so this is no small part.
    pub waiting_of_one: usize,
    pub requests: usize,
    pub streams: usize,
    /// So that one key cannot hold all streams.
    pub streams_of_one_key: usize,
    /// Answers to wrong keys that are held back.
    pub held_back: usize,
    /// Connections that have just come, and were not answered yet.
    pub newcomers: usize,
}

impl Bounds {
    pub fn of(connections: usize) -> Self {
        let part = |of: usize, most: usize| (connections / of).clamp(1, most);
        Self {
            connections,
            waiting_of_one: part(2, usize::MAX),
            requests: part(4, 512),
            streams: part(4, 256),
            streams_of_one_key: part(16, 64),
            held_back: part(16, 16),
            newcomers: part(4, usize::MAX),
        }
    }
}

struct Entry {
    address: IpAddr,
    /// Requests under way, and one more for a newcomer.
    requests: usize,
    ticket: Ticket,
}

/// What becomes of a new connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered {
    /// It is admitted; another, if one is named, is to be closed for it.
    Admitted { id: Id, instead_of: Option<Id> },
    /// All that there may be have requests under way.
    Full,
}

pub struct Occupancy {
    bounds: Bounds,
    next: Id,
    ticket: Ticket,
    entries: HashMap<Id, Entry>,
    waiting: BTreeSet<(Ticket, Id)>,
    waiting_of: HashMap<IpAddr, BTreeSet<(Ticket, Id)>>,
}

impl Occupancy {
    pub fn within(bounds: Bounds) -> Self {
        let (entries, waiting, waiting_of) = Default::default();
        Self { bounds, next: 0, ticket: 0, entries, waiting, waiting_of }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.entries.len()
    }

    /// A newcomer gives way to nobody, lest it is closed before what it asks is read: until the first call of [`Self::end`].
    pub fn enter(&mut self, address: IpAddr) -> Entered {
        let own = self.waiting_of.get(&address).filter(|own| own.len() >= self.bounds.waiting_of_one);
        let oldest_own = own.and_then(BTreeSet::first).copied();
        let is_full = self.entries.len() >= self.bounds.connections;
        let oldest = oldest_own.or_else(|| self.waiting.first().copied().filter(|_| is_full));
        if is_full && oldest.is_none() {
            return Entered::Full;
        }
        if let Some((_, id)) = oldest {
            self.leave(id);
        }
        self.next += 1;
        let id = self.next;
        self.entries.insert(id, Entry { address, requests: 1, ticket: 0 });
        Entered::Admitted { id, instead_of: oldest.map(|(_, id)| id) }
    }

    /// A request has come. It gives way to nobody until it is answered.
    pub fn begin(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.requests += 1;
        let (address, ticket) = (entry.address, entry.ticket);
        self.stop_waiting(address, (ticket, id));
    }

    /// A request was answered, or a newcomer is none any more.
    pub fn end(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.requests = entry.requests.saturating_sub(1);
        if entry.requests == 0 {
            self.wait(id);
        }
    }

    pub fn is_under_way(&self, id: Id) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.requests > 0)
    }

    /// The same for as long as it waits without a break; nothing while a request is under way.
    pub fn waiting_since(&self, id: Id) -> Option<Ticket> {
        self.entries.get(&id).filter(|entry| entry.requests == 0).map(|entry| entry.ticket)
    }

    pub fn leave(&mut self, id: Id) {
        if let Some(Entry { address, ticket, .. }) = self.entries.remove(&id) {
            self.stop_waiting(address, (ticket, id));
        }
    }

    fn wait(&mut self, id: Id) {
        self.ticket += 1;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.ticket = self.ticket;
        self.waiting.insert((self.ticket, id));
        self.waiting_of.entry(entry.address).or_default().insert((self.ticket, id));
    }

    fn stop_waiting(&mut self, address: IpAddr, place: (Ticket, Id)) {
        self.waiting.remove(&place);
        if let Some(own) = self.waiting_of.get_mut(&address) {
            own.remove(&place);
            if own.is_empty() {
                self.waiting_of.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    fn occupancy(connections: usize, waiting_of_one: usize) -> Occupancy {
        Occupancy::within(Bounds { waiting_of_one, ..Bounds::of(connections) })
    }

    fn enter(occupancy: &mut Occupancy, last: u8) -> (Id, Option<Id>) {
        match occupancy.enter(address(last)) {
            Entered::Admitted { id, instead_of } => {
                occupancy.end(id);
                (id, instead_of)
            }
            Entered::Full => panic!("it is full"),
        }
    }

    #[test]
    fn whatever_is_under_way_leaves_room_for_others() {
        for connections in 16..5000 {
            let bounds = Bounds::of(connections);
            let under_way = bounds.requests + bounds.streams + bounds.held_back + bounds.newcomers;
            assert!(under_way <= connections * 7 / 8, "{bounds:?}");
            assert!(bounds.streams_of_one_key * 2 <= bounds.streams, "{bounds:?}");
        }
        let usual = Bounds::of(100_000);
        assert_eq!((usual.requests, usual.streams, usual.streams_of_one_key, usual.held_back), (512, 256, 64, 16));
    }

    #[test]
    fn who_waited_longest_gives_way_and_who_has_a_request_does_not() {
        let mut occupancy = occupancy(3, 3);
        let ids: Vec<_> = (1..=3).map(|last| enter(&mut occupancy, last).0).collect();
        let since = occupancy.waiting_since(ids[0]);
        assert!(since.is_some() && occupancy.waiting_since(ids[0]) == since);
        occupancy.begin(ids[0]);
        assert!(occupancy.is_under_way(ids[0]) && occupancy.waiting_since(ids[0]).is_none());
        assert_eq!(enter(&mut occupancy, 4).1, Some(ids[1]));
        occupancy.end(ids[0]);
        assert!(occupancy.waiting_since(ids[0]) > since, "it waits anew");
        assert_eq!(
            enter(&mut occupancy, 5).1,
            Some(ids[2]),
            "it has waited longer than the one that was just answered"
        );
        assert_eq!(occupancy.count(), 3);
    }

    #[test]
    fn one_address_takes_no_room_from_others_by_waiting() {
        let mut occupancy = occupancy(10, 4);
        let (other, _) = enter(&mut occupancy, 1);
        let held: Vec<_> = (0..4).map(|_| enter(&mut occupancy, 2).0).collect();
        for turn in 0..100 {
            let (_, instead_of) = enter(&mut occupancy, 2);
            assert_ne!(instead_of, Some(other), "turn {turn}");
            assert!(instead_of.is_some());
        }
        assert_eq!(occupancy.count(), 5);
        assert!(held.iter().all(|id| occupancy.waiting_since(*id).is_none()), "gone");
    }

    #[test]
    fn a_newcomer_gives_way_to_nobody() {
        let mut occupancy = occupancy(3, 2);
        let (waiting, _) = enter(&mut occupancy, 1);
        let Entered::Admitted { id: newcomer, instead_of: None } = occupancy.enter(address(1)) else {
            panic!("there is room")
        };
        assert_eq!((enter(&mut occupancy, 1).1, enter(&mut occupancy, 1).1), (None, Some(waiting)));
        assert!(occupancy.is_under_way(newcomer));
        occupancy.end(newcomer);
        assert!(occupancy.waiting_since(newcomer).is_some());
    }

    #[test]
    fn it_is_full_only_of_requests_and_leaves_nothing_behind() {
        let mut occupancy = occupancy(2, 2);
        let ids = [enter(&mut occupancy, 1).0, enter(&mut occupancy, 1).0];
        ids.iter().for_each(|id| occupancy.begin(*id));
        assert_eq!(occupancy.enter(address(2)), Entered::Full);
        ids.iter().for_each(|id| occupancy.leave(*id));
        assert!(occupancy.waiting.is_empty() && occupancy.waiting_of.is_empty() && occupancy.count() == 0);
    }
}
