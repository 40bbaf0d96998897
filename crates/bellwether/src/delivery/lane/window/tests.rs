//! The window against a model of the database: random commits, lost hints, answers, failures and records, in any order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use proptest::prelude::*;

use super::*;
use crate::delivery::lane::state::tests::pending;

/// Such a delivery once more, outside the order.
fn resent(experiment_id: ExperimentId, revision: i64, time: u32) -> Pending {
    let pending = pending(experiment_id, revision);
    let number = (u128::from(time) + 1) << 100 | (experiment_id as u128) << 64 | revision as u128;
    Pending { id: DeliveryId::of(number), is_resent: true, ..pending }
}

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

#[derive(Debug, Clone)]
enum Step {
    /// A change of this experiment is committed; its hint comes, or is lost.
    Commit(ExperimentId, bool),
    /// Somebody asks for the last event of this experiment once more.
    Resend(ExperimentId),
    /// The database is read; the page arrives some steps later.
    Read,
    Arrive,
    Take,
    /// The oldest in flight is answered: well, or not.
    Answer(bool),
    Record,
    Pass(u64),
    /// The endpoint is edited, or its breaker closes.
    Clear,
    /// The oldest in flight is answered while the breaker is open; the failure may be its own.
    PutBack(bool),
    /// While the breaker is open: the lowest revision of all that can be tried.
    Probe,
    /// The oldest in flight could not be sent.
    Untake,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_i64..6, prop::bool::weighted(0.8)).prop_map(|(experiment, comes)| Step::Commit(experiment, comes)),
        1 => (1_i64..6).prop_map(Step::Resend),
        2 => Just(Step::Read),
        2 => Just(Step::Arrive),
        4 => Just(Step::Take),
        4 => prop::bool::weighted(0.7).prop_map(Step::Answer),
        3 => Just(Step::Record),
        1 => (1_u64..40).prop_map(Step::Pass),
        1 => Just(Step::Clear),
        1 => any::<bool>().prop_map(Step::PutBack),
        1 => Just(Step::Probe),
        1 => Just(Step::Untake),
    ];
    prop::collection::vec(step, 1..400)
}

const PAGE: usize = 4;

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

/// It goes after the others of its experiment, and before the next.
fn is_in_order(taken: &Taken) -> bool {
    matches!(taken.stream, Some(StreamKey::Experiment(_)))
}

struct Model {
    window: Window,
    limits: Limits,
    now: Duration,
    resent: u32,
    /// What the database shows as pending.
    database: BTreeMap<Place, Pending>,
    revisions: HashMap<ExperimentId, i64>,
    page: Option<Vec<Pending>>,
    in_flight: Vec<Taken>,
    unrecorded: Vec<DeliveryId>,
    /// Failed, and to be tried again.
    unrecorded_retries: Vec<DeliveryId>,
    /// First acceptances, in order.
    delivered: Vec<Place>,
    /// Those that failed once may come later than their followers.
    failed: HashSet<Place>,
}

impl Model {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Commit(experiment, hint_comes) => {
                let revision = self.revisions.entry(*experiment).or_insert(0);
                *revision += 1;
                let new = pending(*experiment, *revision);
                self.database.insert(place_of(&new), new.clone());
                if *hint_comes { self.window.offer(new, self.now) } else { self.window.fall_behind() }
            }
            Step::Resend(experiment) => {
                let Some(revision) = self.revisions.get(experiment) else { return };
                let again = resent(*experiment, *revision, self.resent);
                self.resent += 1;
                self.database.insert(place_of(&again), again);
                // As a hint to look.
                self.window.fall_behind();
            }
            Step::Read => {
                if let Some(wish) = self.window.next_page(true) {
                    self.page = Some(page_of(&self.database, wish, PAGE));
                }
            }
            Step::Arrive => {
                if let Some(page) = self.page.take() {
                    // What has failed for long has let its experiment pass.
                    self.window.page(page, PAGE, self.now, |pending| match pending.failure_count {
                        0 | 1 => Due::InOrder(Duration::ZERO),
                        _ => Due::Alone(Duration::from_secs(20)),
                    });
                }
            }
            Step::Take | Step::Probe => {
                let taken = if matches!(step, Step::Take) {
                    self.window.take(self.now)
                } else {
                    self.window.take_probe(|pending| Some((pending.event.revision, pending.event.experiment_id)))
                };
                taken.into_iter().for_each(|taken| self.send(taken));
            }
            Step::Answer(is_success) => self.answer(*is_success),
            Step::Record => {
                for id in std::mem::take(&mut self.unrecorded_retries) {
                    self.window.recorded(id);
                }
                for id in std::mem::take(&mut self.unrecorded) {
                    self.database.retain(|_, pending| pending.id != id);
                    self.window.recorded(id);
                }
            }
            Step::Pass(seconds) => self.now += Duration::from_secs(*seconds),
            Step::Clear => {
                // A page that was read before is of no use any more; its passing is undone with it.
                self.page = None;
                self.window.clear(self.limits);
            }
            Step::PutBack(is_holding) if !self.in_flight.is_empty() => {
                let taken = self.in_flight.remove(0);
                let place = place_of(&taken.pending);
                // One that holds its experiment for too long may come later than its followers.
                self.failed.extend(is_holding.then_some(place));
                self.unrecorded_retries.push(taken.pending.id);
                self.window.put_back(&taken, taken.pending.clone(), *is_holding, self.now);
            }
            Step::Untake if !self.in_flight.is_empty() => {
                let taken = self.in_flight.remove(0);
                self.window.untake(&taken, self.now);
            }
            Step::PutBack(_) | Step::Untake => {}
        }
    }

    fn new(capacity: usize, ordering: Ordering) -> Self {
        let limits = Limits { ordering, ..limits(capacity) };
        Self {
            window: Window::new(limits),
            limits,
            now: Duration::ZERO,
            resent: 0,
            database: BTreeMap::new(),
            revisions: HashMap::new(),
            page: None,
            in_flight: Vec::new(),
            unrecorded: Vec::new(),
            unrecorded_retries: Vec::new(),
            delivered: Vec::new(),
            failed: HashSet::new(),
        }
    }

    fn send(&mut self, taken: Taken) {
        let place = place_of(&taken.pending);
        assert!(self.database.contains_key(&place), "{place:?} was sent after its end was recorded");
        let same_experiment = |other: &Taken| other.pending.event.experiment_id == place.0 && is_in_order(other);
        let is_second = is_in_order(&taken) && self.in_flight.iter().any(same_experiment);
        assert!(!is_second, "two of one experiment at once");
        assert!(self.in_flight.iter().all(|other| other.pending.id != taken.pending.id), "twice in flight");
        self.in_flight.push(taken);
    }

    fn answer(&mut self, is_success: bool) {
        if self.in_flight.is_empty() {
            return;
        }
        let taken = self.in_flight.remove(0);
        let place = place_of(&taken.pending);
        if is_success {
            assert!(!self.delivered.contains(&place), "{place:?} was delivered twice without a crash");
            self.delivered.push(place);
            self.unrecorded.push(taken.pending.id);
            self.window.settle(&taken, None, self.now);
        } else {
            self.failed.insert(place);
            self.unrecorded_retries.push(taken.pending.id);
            let again = Pending { failure_count: taken.pending.failure_count + 1, ..taken.pending.clone() };
            // As it stands in the database once that is on disk.
            self.database.insert(place, again.clone());
            self.window.settle(&taken, Some(retry(again, 30)), self.now);
        }
    }

    /// With everything answered well from now on, all that is owed must arrive.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            for step in [Step::Read, Step::Arrive, Step::Take, Step::Answer(true), Step::Record, Step::Pass(5)] {
                self.step(&step);
            }
            if self.database.is_empty() {
                return;
            }
        }
        panic!("{} deliveries were never sent", self.database.len());
    }
}

/// Whatever happens, everything owed is sent, each once, and in order where there is one.
fn play(steps: &[Step], capacity: usize, ordering: Ordering) {
    let mut model = Model::new(capacity, ordering);
    steps.iter().for_each(|step| model.step(step));
    model.finish();
    let owed: usize = model.revisions.values().map(|last| usize::try_from(*last).unwrap()).sum();
    assert_eq!(model.delivered.len(), owed + model.resent as usize);
    if ordering == Ordering::None {
        return;
    }
    for experiment in model.revisions.keys() {
        let counts = |place: &&Place| {
            place.0 == *experiment && !model.failed.contains(*place) && place.2 == pending(place.0, place.1).id
        };
        let in_order: Vec<_> = model.delivered.iter().filter(counts).collect();
        assert!(in_order.windows(2).all(|pair| pair[0].1 < pair[1].1), "{in_order:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn everything_owed_is_sent_once_and_in_order(
        steps in steps(),
        capacity in prop_oneof![Just(3_usize), Just(8), Just(CAPACITY)],
        ordering in prop_oneof![3 => Just(Ordering::Experiment), 1 => Just(Ordering::None)],
    ) {
        play(&steps, capacity, ordering);
    }
}

/// Found by the random steps once: what was put back and cleared came twice.
#[test]
fn what_cannot_be_sent_while_the_window_is_cleared_comes_once() {
    let steps = [
        Step::Commit(1, false),
        Step::Read,
        Step::Arrive,
        Step::Take,
        Step::PutBack(false),
        Step::Take,
        Step::Clear,
        Step::Untake,
        Step::Clear,
        Step::Commit(1, false),
    ];
    for ordering in [Ordering::Experiment, Ordering::None] {
        play(&steps, 3, ordering);
    }
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
