//! Writers: each owns some experiments and changes them without pause, and remembers what was answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_bench::api::{Api, Refused};
use bellwether_bench::server::ADMIN_KEY;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// More than one experiment each, so that a change does not wait for the last one's delivery.
const EXPERIMENTS_EACH: usize = 3;
/// A node that does not answer for so long is passed over, and what it was asked may have been done or not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Between changes through several nodes, so that the ledgers stay small enough to look through again and again.
const PAUSE: Duration = Duration::from_millis(20);

/// What the writers know.
#[derive(Debug, Default)]
pub struct Changes {
    /// Experiment and revision of every change that was answered, in order within an experiment.
    pub accepted: Vec<(i64, i64)>,
    /// Requests without an answer, or with one that says that nobody knows: each may have been carried out or not.
    pub unanswered: usize,
}

impl Changes {
    pub fn add(&mut self, more: Self) {
        self.accepted.extend(more.accepted);
        self.unanswered += more.unanswered;
    }
}

pub struct Writers {
    accepted: watch::Receiver<usize>,
    is_over: Arc<AtomicBool>,
    tasks: JoinSet<Changes>,
}

/// What all writers share.
#[derive(Clone)]
struct Desk {
    accepted: Arc<watch::Sender<usize>>,
    is_over: Arc<AtomicBool>,
}

impl Writers {
    /// Through one server, until it is gone; `round` makes the changes of one time differ from those of another.
    pub fn until_gone(api: &Api, experiments: &[i64], round: usize) -> Self {
        Self::start(experiments, |own, desk| write_until_gone(api.clone(), own, round, desk))
    }

    /// Through several nodes in turn, until [`Self::stop`].
    pub fn through(nodes: &[SocketAddr], experiments: &[i64]) -> Self {
        let apis: Vec<Api> = nodes.iter().map(|address| Api::at(*address, ADMIN_KEY)).collect();
        Self::start(experiments, |own, desk| write_through(apis.clone(), own, desk))
    }

    fn start<F>(experiments: &[i64], write: impl Fn(Vec<i64>, Desk) -> F) -> Self
    where
        F: Future<Output = Changes> + Send + 'static,
    {
        let (sender, accepted) = watch::channel(0);
        let desk = Desk { accepted: Arc::new(sender), is_over: Arc::default() };
        let mut tasks = JoinSet::new();
        for own in experiments.chunks(EXPERIMENTS_EACH) {
            tasks.spawn(write(own.to_vec(), desk.clone()));
        }
        Self { accepted, is_over: desk.is_over, tasks }
    }

    /// How many changes were answered; it ends when all writers have ended.
    pub fn accepted(&self) -> watch::Receiver<usize> {
        self.accepted.clone()
    }

    /// Waits until each has ended by itself.
    pub async fn join(mut self) -> Changes {
        let mut all = Changes::default();
        while let Some(changes) = self.tasks.join_next().await {
            all.add(changes.expect("the writers do not fail"));
        }
        all
    }

    pub async fn stop(self) -> Changes {
        self.is_over.store(true, Ordering::Release);
        self.join().await
    }
}

impl Desk {
    fn note(&self, changes: &mut Changes, experiment: i64, revision: i64) {
        changes.accepted.push((experiment, revision));
        self.accepted.send_modify(|count| *count += 1);
    }
}

/// An answer that is not what it should be is a failure; no answer is the end.
async fn write_until_gone(api: Api, experiments: Vec<i64>, round: usize, desk: Desk) -> Changes {
    let mut changes = Changes { unanswered: 1, ..Changes::default() };
    for (turn, experiment) in experiments.iter().cycle().enumerate() {
        match api.change_experiment(*experiment, &format!("{round}-{turn}")).await {
            Ok(revision) => desk.note(&mut changes, *experiment, revision),
            Err(error) if error.is::<Refused>() => panic!("a change was refused: {error}"),
            Err(_) => break,
        }
    }
    changes
}

/// Each change goes through another node; one that the server cannot carry out just now is passed over.
async fn write_through(apis: Vec<Api>, experiments: Vec<i64>, desk: Desk) -> Changes {
    let mut changes = Changes::default();
    let mut pace = tokio::time::interval(PAUSE);
    for turn in 0.. {
        pace.tick().await;
        if desk.is_over.load(Ordering::Acquire) {
            break;
        }
        let experiment = experiments[turn % experiments.len()];
        // The first node is spared, and so the flow never stops.
        let api = &apis[if turn % 2 == 0 { 0 } else { (turn / 2) % apis.len() }];
        let owner = turn.to_string();
        let change = api.change_experiment(experiment, &owner);
        let is_final = |refused: &Refused| !refused.status.is_server_error();
        match tokio::time::timeout(ANSWER_TIMEOUT, change).await {
            Ok(Ok(revision)) => desk.note(&mut changes, experiment, revision),
            Ok(Err(error)) if error.downcast_ref::<Refused>().is_some_and(is_final) => {
                panic!("a change was refused: {error}")
            }
            Ok(Err(_)) | Err(_) => changes.unanswered += 1,
        }
    }
    changes
}
