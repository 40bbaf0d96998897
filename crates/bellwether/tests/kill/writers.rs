//! Writers: each owns some experiments and changes them without pause until the server is gone.

use std::sync::Arc;

use bellwether_bench::Problem;
use bellwether_bench::api::{Api, Refused};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// More than one experiment each, so that a change does not wait for the last one's delivery.
const EXPERIMENTS_EACH: usize = 3;

/// What the writers know when the server is gone.
#[derive(Default)]
pub struct Changes {
    /// Experiment and revision of every change that was answered, in order within an experiment.
    pub accepted: Vec<(i64, i64)>,
    /// Requests that the kill left without an answer: each may have been carried out or not.
    pub unanswered: usize,
    pub kills: usize,
}

impl Changes {
    pub fn add(&mut self, round: Self) {
        self.accepted.extend(round.accepted);
        self.unanswered += round.unanswered;
        self.kills += 1;
    }
}

pub struct Writers {
    accepted: watch::Receiver<usize>,
    tasks: JoinSet<Result<Vec<(i64, i64)>, Problem>>,
}

impl Writers {
    pub fn start(api: &Api, experiments: &[i64], round: usize) -> Self {
        let (counter, accepted) = watch::channel(0);
        let counter = Arc::new(counter);
        let mut tasks = JoinSet::new();
        for own in experiments.chunks(EXPERIMENTS_EACH) {
            tasks.spawn(write(api.clone(), own.to_vec(), round, counter.clone()));
        }
        Self { accepted, tasks }
    }

    pub fn accepted(&self) -> watch::Receiver<usize> {
        self.accepted.clone()
    }

    /// Waits until each has noticed that the server is gone.
    pub async fn join(mut self) -> Result<Changes, Problem> {
        let mut changes = Changes::default();
        while let Some(task) = self.tasks.join_next().await {
            changes.accepted.extend(task??);
            changes.unanswered += 1;
        }
        Ok(changes)
    }
}

/// An answer that is not what it should be is an error; no answer is the end.
async fn write(
    api: Api,
    experiments: Vec<i64>,
    round: usize,
    counter: Arc<watch::Sender<usize>>,
) -> Result<Vec<(i64, i64)>, Problem> {
    let mut accepted = Vec::new();
    for (turn, experiment) in experiments.iter().cycle().enumerate() {
        match api.change_experiment(*experiment, &format!("{round}-{turn}")).await {
            Ok(revision) => {
                accepted.push((*experiment, revision));
                counter.send_modify(|count| *count += 1);
            }
            Err(error) if error.is::<Refused>() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(accepted)
}
