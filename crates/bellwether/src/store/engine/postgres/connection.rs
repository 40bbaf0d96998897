//! A connection and how closures are carried out on it: several under one commit, or alone.
//!
//! A transaction that the server asks to repeat is repeated. One whose connection broke before its commit is repeated on
//! a new connection; one that broke in the commit is answered as unknown, for only the caller can tell by looking.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::tx::{Failure, PostgresTx, describe, is_repeatable, sort_error};
use super::{Session, Target};
use crate::kill_point;
use crate::store::StoreError;
use crate::store::engine::batch::{self, AfterCommit, Job, Ran};

/// What a batch begins with. One that waits for a lock while it holds others could wait for ever, on two nodes: it gives
/// way soon, and its jobs are carried out alone.
const BEGIN_TOGETHER: &str = "BEGIN; SET LOCAL lock_timeout = '20ms'";
/// How often a transaction is repeated that lost against another.
const MOST_REPEATS: usize = 20;

pub struct Connection {
    target: Arc<Target>,
    session: Session,
    runtime: Option<Handle>,
    tx: Option<PostgresTx>,
}

impl Connection {
    pub fn to(target: Arc<Target>, session: Session, runtime: Option<Handle>) -> Self {
        Self { target, session, runtime, tx: None }
    }

    /// Carries out a batch, under one commit if none of it fails in a way that takes the others with it.
    pub fn carry_out(&mut self, mut batch: Vec<Box<dyn Job>>) {
        if batch.len() > 1
            && let Some((outcome, after_commit)) = self.try_in_one(&mut batch)
        {
            // Hints first: whoever is answered may look at once for what they lead to.
            batch::do_after_commit(after_commit);
            return batch::answer(batch, self.runtime.as_ref(), outcome);
        }
        batch.into_iter().for_each(|job| self.carry_out_alone(job));
    }

    /// `None`: nothing stands, and each is to be carried out alone.
    fn try_in_one(&mut self, batch: &mut [Box<dyn Job>]) -> Option<(Result<(), StoreError>, Vec<AfterCommit>)> {
        let mut tx = self.tx.take()?;
        tx.begin(BEGIN_TOGETHER).ok()?;
        let all_ran = batch.iter_mut().all(|job| {
            let after_commit = tx.after_commit.len();
            tx.has_written = false;
            let ran = job.run(&mut tx);
            if ran == Ran::RolledBack {
                tx.after_commit.truncate(after_commit);
            }
            tx.aborted_by.is_none() && (ran == Ran::Kept || !tx.has_written)
        });
        if !all_ran {
            if tx.client.batch_execute("ROLLBACK").is_ok() {
                self.tx = Some(tx);
            }
            return None;
        }
        kill_point!("commit.before");
        match tx.client.batch_execute("COMMIT") {
            Ok(()) => {
                kill_point!("commit.after");
                let after_commit = std::mem::take(&mut tx.after_commit);
                self.tx = Some(tx);
                Some((Ok(()), after_commit))
            }
            Err(error) if error.as_db_error().is_some() => {
                self.tx = Some(tx);
                None
            }
            Err(error) => Some((Err(StoreError::OutcomeUnknown(describe(&error))), Vec::new())),
        }
    }

    fn carry_out_alone(&mut self, mut job: Box<dyn Job>) {
        let mut outcome = Err(StoreError::Unavailable("the database kept refusing the transaction".to_owned()));
        for _ in 0..MOST_REPEATS {
            match self.try_once(job.as_mut()) {
                Attempt::Committed(after_commit) => {
                    // Hints first: whoever is answered may look at once for what they lead to.
                    batch::do_after_commit(after_commit);
                    return job.answer(Ok(()));
                }
                Attempt::Repeat(error) => outcome = Err(error),
                Attempt::Failed(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        job.answer(outcome);
    }

    fn try_once(&mut self, job: &mut dyn Job) -> Attempt {
        let is_fresh = self.tx.is_none();
        let mut tx = match self.tx.take().map_or_else(|| self.target.connect(self.session).map(PostgresTx::on), Ok) {
            Ok(tx) => tx,
            Err(error) => return Attempt::Failed(StoreError::Unavailable(describe(&error))),
        };
        if let Err(error) = tx.begin(self.session.begin()) {
            return if is_fresh { Attempt::Failed(error) } else { Attempt::Repeat(error) };
        }
        let ran = job.run(&mut tx);
        if let Some(failure) = tx.failure.take() {
            return self.after_failure(tx, failure, is_fresh);
        }
        // After a failed statement COMMIT rolls back without a word, so a closure that went on all the same is told here.
        let aborted_by = tx.aborted_by.take().filter(|_| ran == Ran::Kept);
        // What was read is what it is, however its transaction ends.
        let is_to_stand = ran == Ran::Kept && !self.session.is_read_only();
        let end = if is_to_stand && aborted_by.is_none() { "COMMIT" } else { "ROLLBACK" };
        kill_point!("commit.before");
        let ended = tx.client.batch_execute(end);
        kill_point!("commit.after");
        match (ended, aborted_by) {
            (Ok(()), Some(error)) => {
                self.tx = Some(tx);
                Attempt::Failed(error)
            }
            (Err(_), Some(error)) => Attempt::Failed(error),
            (Ok(()), None) => {
                let after_commit = if is_to_stand { std::mem::take(&mut tx.after_commit) } else { Vec::new() };
                self.tx = Some(tx);
                Attempt::Committed(after_commit)
            }
            (Err(_), None) if !is_to_stand => Attempt::Committed(Vec::new()),
            (Err(error), None) if error.as_db_error().is_some() => {
                self.tx = Some(tx);
                let sorted = sort_error(&error);
                if is_repeatable(&error) { Attempt::Repeat(sorted) } else { Attempt::Failed(sorted) }
            }
            (Err(error), None) => Attempt::Failed(StoreError::OutcomeUnknown(describe(&error))),
        }
    }

    /// A statement failed in a way that the closure cannot answer for.
    fn after_failure(&mut self, mut tx: PostgresTx, failure: Failure, is_fresh: bool) -> Attempt {
        match failure {
            Failure::Repeatable(error) => {
                if tx.client.batch_execute("ROLLBACK").is_ok() {
                    self.tx = Some(tx);
                }
                Attempt::Repeat(error)
            }
            Failure::Disconnected(error) if is_fresh => Attempt::Failed(error),
            Failure::Disconnected(error) => Attempt::Repeat(error),
        }
    }
}

enum Attempt {
    Committed(Vec<AfterCommit>),
    Repeat(StoreError),
    Failed(StoreError),
}
