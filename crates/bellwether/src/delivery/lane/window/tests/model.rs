//! The window against a model of the database: random commits, lost hints, answers, failures and records, in any order.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// Such a delivery once more, outside the order.
fn resent(experiment_id: ExperimentId, revision: i64, time: u32) -> Pending {
    let pending = pending(experiment_id, revision);
    let number = (u128::from(time) + 1) << 100 | (experiment_id as u128) << 64 | revision as u128;
    Pending { id: DeliveryId::of(number), is_resent: true, ..pending }
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
