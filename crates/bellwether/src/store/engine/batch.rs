//! Closures on their way to the database, and how many of them share one commit.
//!
//! A job is run in a savepoint, told whether the commit held, and only then answers. So an answer always means: on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::store::{StoreError, Tx};

/// The most closures under one commit.
const LARGEST_BATCH: usize = 256;

/// Closures with outcomes that ride along, each of many outcomes.
const OUTCOMES_ALONG: usize = 8;

/// How long outcomes of deliveries wait for a change to ride with.
const OUTCOME_PATIENCE: Duration = Duration::from_millis(20);

/// To be done after a commit.
pub type AfterCommit = Box<dyn FnOnce() + Send>;

/// What a job's closure came to. Either way its answer is kept for `answer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// Its writes stand, if the commit holds.
    Kept,
    /// Its writes are to be rolled back.
    RolledBack,
}

pub trait Job: Send {
    /// Whether it is worth waiting a little for a change to share its commit with.
    fn is_patient(&self) -> bool;

    fn run(&mut self, tx: &mut dyn Tx) -> Ran;

    /// Gives the answer: its own if the commit held, else the commit's error.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// What a closure is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be answered as soon as it can be.
    Change,
    /// It may wait a little for a change to share its commit with.
    Outcomes,
    /// Nothing follows from it but its answer: when nobody waits for that any more, it is left undone.
    Read,
}

struct Call<F, T, E> {
    work: F,
    purpose: Purpose,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Call<F, T, E>
where
    F: Fn(&mut dyn Tx) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn is_patient(&self) -> bool {
        self.purpose == Purpose::Outcomes
    }

    fn run(&mut self, tx: &mut dyn Tx) -> Ran {
        if self.purpose == Purpose::Read && self.reply.is_closed() {
            return Ran::RolledBack;
        }
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(tx)));
        let result =
            result.unwrap_or_else(|_| Err(StoreError::Failed("the closure panicked; see the log".to_owned()).into()));
        let ran = if result.is_ok() { Ran::Kept } else { Ran::RolledBack };
        self.result = Some(result);
        ran
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            // What was refused was refused, whether or not the others' commit held.
            (_, Some(Err(error))) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Err(error), _) => Err(error.into()),
            (Ok(()), None) => Err(StoreError::Failed("the closure was not run".to_owned()).into()),
        };
        // The caller may have gone; what was committed stands all the same.
        let _ = self.reply.send(result);
    }
}

/// A closure as a job, and where its answer comes.
pub fn call<T, E, F>(purpose: Purpose, work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Call { work, purpose, result: None, reply }), answer)
}

/// Does what was to be done after a commit. These are hints, and what one that panics would have told is found by looking:
/// it must not keep the answers back of what is on disk.
pub fn do_after_commit(after_commit: Vec<AfterCommit>) {
    for then in after_commit {
        if catch_unwind(AssertUnwindSafe(then)).is_err() {
            tracing::error!("what follows a commit failed; those who wait for it look by themselves");
        }
    }
}

/// Answers a batch. From within the runtime, if there are many: from outside, each answer would have to wake one of its
/// threads.
pub fn answer(batch: Vec<Box<dyn Job>>, runtime: Option<&Handle>, committed: Result<(), StoreError>) {
    let answer_all = move |batch: Vec<Box<dyn Job>>| batch.into_iter().for_each(|job| job.answer(committed.clone()));
    match runtime {
        Some(runtime) if batch.len() > 1 => drop(runtime.spawn(async move { answer_all(batch) })),
        _ => answer_all(batch),
    }
}

/// Gathers the next batch: changes at once, with all that waits; a few outcomes alone only after a little patience.
/// `None` when both queues are closed and empty.
pub fn gather(changes: &Receiver<Box<dyn Job>>, outcomes: &Receiver<Box<dyn Job>>) -> Option<Vec<Box<dyn Job>>> {
    let mut batch = Vec::new();
    crossbeam_channel::select! {
        recv(changes) -> job => match job {
            Ok(job) => batch.push(job),
            Err(_) => batch.push(outcomes.recv().ok()?),
        },
        recv(outcomes) -> job => match job {
            Ok(job) if !job.is_patient() => batch.push(job),
            Ok(job) => {
                batch.push(job);
                match changes.recv_timeout(OUTCOME_PATIENCE) {
                    Ok(change) => batch.push(change),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
                }
            }
            Err(_) => batch.push(changes.recv().ok()?),
        },
    }
    batch.extend(changes.try_iter().take(LARGEST_BATCH - batch.len()));
    // However many changes wait, outcomes go along: a lane stops when too many of its own are not on disk.
    batch.extend(outcomes.try_iter().take(OUTCOMES_ALONG));
    Some(batch)
}
