//! Writers: each owns some experiments and changes them without pause, each time through the next node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_bench::api::{Api, Refused};
use bellwether_bench::server::ADMIN_KEY;
use tokio::task::JoinSet;

const EXPERIMENTS_EACH: usize = 3;
/// A node that does not answer for so long is passed over, and what it was asked may have been done or not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// So that the ledgers stay small enough to look through again and again.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Default)]
pub struct Changes {
    /// Experiment and revision of every change that was answered.
    pub accepted: Vec<(i64, i64)>,
    /// Requests without an answer, or with one that says that nobody knows.
    pub unanswered: usize,
}

pub struct Writers {
    is_over: Arc<AtomicBool>,
    tasks: JoinSet<Changes>,
}

impl Writers {
    pub fn start(nodes: Vec<SocketAddr>, experiments: &[i64]) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for own in experiments.chunks(EXPERIMENTS_EACH) {
            tasks.spawn(write(nodes.clone(), own.to_vec(), is_over.clone()));
        }
        Self { is_over, tasks }
    }

    pub async fn stop(mut self) -> Changes {
        self.is_over.store(true, Ordering::Release);
        let mut all = Changes::default();
        while let Some(changes) = self.tasks.join_next().await {
            let changes = changes.expect("the writers do not fail");
            all.accepted.extend(changes.accepted);
            all.unanswered += changes.unanswered;
        }
        all
    }
}

async fn write(nodes: Vec<SocketAddr>, experiments: Vec<i64>, is_over: Arc<AtomicBool>) -> Changes {
    let apis: Vec<Api> = nodes.iter().map(|address| Api::at(*address, ADMIN_KEY)).collect();
    let mut changes = Changes::default();
    let mut pace = tokio::time::interval(PAUSE);
    for turn in 0.. {
        pace.tick().await;
        if is_over.load(Ordering::Acquire) {
            break;
        }
        let experiment = experiments[turn % experiments.len()];
        // The first node is spared, and so the flow never stops.
        let api = &apis[if turn % 2 == 0 { 0 } else { (turn / 2) % apis.len() }];
        let owner = turn.to_string();
        let change = api.change_experiment(experiment, &owner);
        match tokio::time::timeout(ANSWER_TIMEOUT, change).await {
            Ok(Ok(revision)) => changes.accepted.push((experiment, revision)),
            Ok(Err(error))
                if error.downcast_ref::<Refused>().is_some_and(|refused| !refused.status.is_server_error()) =>
            {
                panic!("a change was refused: {error}")
            }
            Ok(Err(_)) | Err(_) => changes.unanswered += 1,
        }
    }
    changes
}
