//! What must hold of what came to a receiver, however often the server was lost.

use std::collections::{HashMap, HashSet};

use bellwether_bench::receiver::{Arrival, Receiver};

/// An event of the log: experiment, revision and id.
pub type Logged = (i64, i64, String);

/// Waits until each event of the log has come to each of so many endpoints, which are numbered from 0 on.
pub async fn wait_for(receiver: &Receiver, log: &[Logged], endpoints: usize) {
    let mut count = receiver.count();
    loop {
        let arrivals = receiver.arrivals();
        let there: HashSet<(u32, &str)> =
            arrivals.iter().map(|arrival| (arrival.endpoint, arrival.id.as_str())).collect();
        let everywhere = |id: &str| (0..endpoints).all(|number| there.contains(&(number as u32, id)));
        if log.iter().all(|(_, _, id)| everywhere(id)) {
            return;
        }
        let seen = arrivals.len();
        count.wait_for(|count| *count > seen).await.expect("the receiver stays up");
    }
}

/// Those that came more than once.
pub fn duplicates(arrivals: &[Arrival]) -> usize {
    let distinct: HashSet<(u32, &str)> =
        arrivals.iter().map(|arrival| (arrival.endpoint, arrival.id.as_str())).collect();
    arrivals.len() - distinct.len()
}

/// All could be verified; each event of the log came to each endpoint, and nothing else did; the first receipts of an
/// experiment's events are in order.
pub fn judge(arrivals: &[Arrival], refused: &[String], log: &[Logged], endpoints: usize) {
    assert_eq!(refused, Vec::<String>::new(), "the receiver could not verify all requests");
    let logged: HashMap<&str, (i64, i64)> =
        log.iter().map(|(experiment, revision, id)| (id.as_str(), (*experiment, *revision))).collect();
    assert_eq!(logged.len(), log.len(), "an id stands twice in the log");
    let (mut received, mut last) = (HashSet::new(), HashMap::new());
    for Arrival { id, endpoint, experiment_id, revision, .. } in arrivals {
        assert_eq!(logged.get(id.as_str()), Some(&(*experiment_id, *revision)), "{id} is not in the log as it came");
        if received.insert((*endpoint, id.as_str())) {
            let before = last.insert((*endpoint, *experiment_id), *revision).unwrap_or(0);
            assert_eq!(*revision, before + 1, "experiment {experiment_id} came to endpoint {endpoint} out of order");
        }
    }
    assert_eq!(received.len(), logged.len() * endpoints, "not every event came to every endpoint");
}
