//! What the window holds, in which order, and what it lets go: case by case here, and in any order of steps in `model`.

mod model;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::*;
use crate::delivery::lane::state::tests::pending;

/// Where one stands in the database.
type Place = (ExperimentId, i64, DeliveryId);

fn place_of(pending: &Pending) -> Place {
    (pending.event.experiment_id, pending.event.revision, pending.id)
}

/// So many of one experiment.
fn backlog_of(count: i64) -> BTreeMap<Place, Pending> {
    (1..=count).map(|revision| pending(1, revision)).map(|pending| (place_of(&pending), pending)).collect()
}

fn retry(pending: Pending, seconds: u64) -> Retry {
    Retry { pending, delay: Duration::from_secs(seconds) }
}

fn limits(capacity: usize) -> Limits {
    Limits { ordering: Ordering::Experiment, capacity, experiments: EXPERIMENTS, hold: Duration::from_secs(60) }
}

fn window(capacity: usize) -> Window {
    Window::new(limits(capacity))
}

/// As the store reads it.
fn page_of(database: &BTreeMap<Place, Pending>, wish: Wish, limit: usize) -> Vec<Pending> {
    let mut count: HashMap<ExperimentId, usize> = HashMap::new();
    let after = (wish.after.experiment, wish.after.revision, wish.after.delivery);
    let behind = database.range((Bound::Excluded(after), Bound::Unbounded));
    let in_reach = behind.filter(|((experiment, ..), _)| {
        let count = count.entry(*experiment).or_insert(0);
        *count += 1;
        *count <= wish.reach + 1
    });
    in_reach.take(limit).map(|(_, pending)| pending.clone()).collect()
}

#[test]
fn a_failing_one_holds_its_experiment_for_a_minute_and_no_other() {
    let mut window = window(CAPACITY);
    let now = Duration::ZERO;
    window.next_page(false).unwrap();
    window.page(vec![pending(1, 1), pending(1, 2), pending(2, 1)], 10, now, |_| Due::InOrder(Duration::ZERO));
    let first = window.take(now).unwrap();
    let other = window.take(now).unwrap();
    assert_eq!((first.pending.event.experiment_id, other.pending.event.experiment_id), (1, 2));
    assert!(window.take(now).is_none(), "1/2 waits for the answer to 1/1");
    let again = Pending { failure_count: 1, ..first.pending.clone() };
    window.settle(&first, Some(retry(again.clone(), 5)), now);
    assert!(window.take(Duration::from_secs(4)).is_none());
    let second = window.take(Duration::from_secs(5)).unwrap();
    assert_eq!(second.pending.event.revision, 1);
    let third = retry(Pending { failure_count: 2, ..again }, 600);
    window.settle(&second, Some(third), Duration::from_secs(6));
    assert!(window.take(Duration::from_secs(59)).is_none());
    assert_eq!(window.take(Duration::from_secs(60)).unwrap().pending.event.revision, 2, "it has waited for a minute");
}

#[test]
fn one_that_is_due_much_later_is_let_go_and_leaves_room() {
    let mut window = window(CAPACITY);
    let now = Duration::ZERO;
    window.next_page(false).unwrap();
    assert!(window.page(vec![pending(1, 1)], 10, now, |_| Due::InOrder(Duration::ZERO)));
    let taken = window.take(now).unwrap();
    let again = Pending { failure_count: 1, ..taken.pending.clone() };
    window.settle(&taken, Some(retry(again, 7200)), now);
    assert_eq!((window.open(), window.unrecorded()), (0, 1));
    window.recorded(taken.pending.id);
    assert_eq!((window.held.len(), window.unrecorded()), (0, 0));
}

#[test]
fn one_that_comes_back_much_later_holds_nobody_back() {
    let mut window = window(CAPACITY);
    let now = Duration::ZERO;
    window.next_page(false).unwrap();
    let tried = Pending { failure_count: 4, ..pending(1, 1) };
    window.page(vec![tried.clone(), pending(1, 2), pending(1, 3)], 10, now, |pending| match pending.failure_count {
        0 => Due::InOrder(Duration::ZERO),
        _ => Due::Alone(Duration::from_secs(50)),
    });
    let next = window.take(now).unwrap();
    assert_eq!(next.pending.event.revision, 2, "it does not wait for 1/1");
    window.settle(&next, None, now);
    let later = Duration::from_secs(50);
    let (third, first) = (window.take(later).unwrap(), window.take(later).unwrap());
    assert_eq!((third.pending.event.revision, first.pending.event.revision), (3, 1));
    window.settle(&first, Some(retry(tried, 7200)), later);
    window.settle(&third, None, later);
    window.offer(pending(1, 4), later);
    assert_eq!(window.take(later).unwrap().pending.event.revision, 4, "nor for its next attempt");
}

#[test]
fn what_waits_is_forgotten_when_the_endpoint_is_set_up_anew() {
    let mut window = window(CAPACITY);
    let now = Duration::ZERO;
    window.next_page(false).unwrap();
    window.page(vec![pending(1, 1), pending(1, 2)], 10, now, |_| Due::InOrder(Duration::ZERO));
    let taken = window.take(now).unwrap();
    window.clear(limits(CAPACITY));
    assert!(window.take(now).is_none(), "1/2 may have been cancelled");
    window.settle(&taken, None, now);
    window.recorded(taken.pending.id);
    assert!(window.is_out_of_step() && window.held.is_empty());
}

#[test]
fn memory_is_bounded_and_every_experiment_has_its_share() {
    let mut window = window(CAPACITY);
    let backlog = |experiments| -> BTreeMap<_, _> {
        let owed =
            (1..=experiments).flat_map(|experiment| (1..=2000).map(move |revision| pending(experiment, revision)));
        owed.map(|pending| (place_of(&pending), pending)).collect()
    };
    let mut fill = |experiments| {
        window.clear(limits(CAPACITY));
        let backlog = backlog(experiments);
        for _ in 0..50 {
            let Some(wish) = window.next_page(true) else { break };
            window.page(page_of(&backlog, wish, 512), 512, Duration::ZERO, |_| Due::InOrder(Duration::ZERO));
        }
        assert!(window.is_out_of_step());
        (window.open(), window.streams.len())
    };
    assert_eq!(fill(100), (1024, 64), "many go at once where there are many");
    assert_eq!(fill(8), (8 * 32, 8), "what only waits takes no more room with every look");
    assert_eq!(fill(1), (32, 1));
}

#[test]
fn one_experiment_alone_is_read_in_longer_and_longer_pages() {
    let mut window = window(CAPACITY);
    let mut database = backlog_of(2000);
    let mut reaches = Vec::new();
    while !database.is_empty() {
        while let Some(wish) = window.next_page(false) {
            reaches.push(wish.reach);
            window.page(page_of(&database, wish, 512), 512, Duration::ZERO, |_| Due::InOrder(Duration::ZERO));
        }
        let taken = window.take(Duration::ZERO).unwrap();
        window.settle(&taken, None, Duration::ZERO);
        window.recorded(taken.pending.id);
        database.remove(&place_of(&taken.pending));
    }
    assert_eq!((reaches[0], reaches.iter().max()), (16, Some(&128)));
    assert!(reaches.len() < 60, "{} pages", reaches.len());
}

#[test]
fn a_look_in_vain_waits_until_something_is_recorded() {
    let mut window = window(CAPACITY);
    let database = backlog_of(16);
    let look = |window: &mut Window, is_overdue| {
        let wish = window.next_page(is_overdue)?;
        Some(window.page(page_of(&database, wish, 512), 512, Duration::ZERO, |_| Due::InOrder(Duration::ZERO)))
    };
    assert_eq!(look(&mut window, false), Some(true));
    for _ in 1..=16 {
        let taken = window.take(Duration::ZERO).unwrap();
        window.settle(&taken, None, Duration::ZERO);
    }
    window.fall_behind();
    window.pass.is_whole = false;
    let looks = std::iter::from_fn(|| look(&mut window, false)).take(50).count();
    assert!(looks <= 2, "the database was read {looks} times for what it could not know yet");
    assert!(!window.is_out_of_step() || look(&mut window, true).is_some(), "when it is time, it looks all the same");
    window.recorded(pending(1, 1).id);
    assert!(!window.is_out_of_step() || look(&mut window, false).is_some());
}

#[test]
fn what_stands_outside_the_order_keeps_nobody_behind_it_out() {
    for is_resent in [true, false] {
        let mut window = window(CAPACITY);
        let mut database = backlog_of(100);
        for tried in database.values_mut().take(80) {
            (tried.is_resent, tried.failure_count) = (is_resent, 3);
        }
        let wait = Duration::from_secs(50);
        let due = |pending: &Pending| match (pending.failure_count, is_resent) {
            (0, _) => Due::InOrder(Duration::ZERO),
            (_, true) => Due::InOrder(wait),
            (_, false) => Due::Alone(wait),
        };
        for _ in 0..20 {
            let Some(wish) = window.next_page(false) else { break };
            window.page(page_of(&database, wish, 512), 512, Duration::ZERO, due);
        }
        let next = window.take(Duration::ZERO).map(|taken| taken.pending.event.revision);
        assert_eq!(next, Some(81), "it does not wait for those before it, resent: {is_resent}");
    }
}

#[test]
fn without_order_deliveries_of_one_experiment_go_together() {
    let mut window = Window::new(Limits { ordering: Ordering::None, ..limits(CAPACITY) });
    window.next_page(false).unwrap();
    window.page(vec![pending(1, 1), pending(1, 2)], 10, Duration::ZERO, |_| Due::InOrder(Duration::ZERO));
    assert!(window.take(Duration::ZERO).is_some() && window.take(Duration::ZERO).is_some());
}
