//! The parent's side of a worker: starts it, asks it, and ends it.
//!
//! A session holds one worker and asks it one thing at a time. It sets no time limits: callers put them around, and a
//! request whose future is dropped before its answer kills the worker.

use crate::protocol::{Answer, Answered, Request, Setup};
use crate::{Column, Failure, Table, TableInfo, WarehouseError};
use serde::Serialize;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// The largest answer a session takes: aggregates and previews are far smaller.
pub const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;
/// How much of the end of standard error is kept for [`WarehouseError::WorkerDied`].
const MAX_LAST_WORDS: usize = 4096;
/// Up to this limit a worker gives memory back at once.
const LITTLE_MEMORY: u64 = 1024 * 1024 * 1024;
/// For a worker to end that has closed its output.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// A worker and the pipes to it. Dropping the session kills the worker.
#[derive(Debug)]
pub struct Session {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    last_words: Option<JoinHandle<Vec<u8>>>,
}

impl Session {
    /// Starts `program` with `args` in an empty environment and sets it up.
    ///
    /// Call it from the async runtime, not from a short-lived thread: on Linux the worker dies with the thread that
    /// started it.
    pub async fn start(
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        setup: &Setup,
    ) -> Result<Session, WarehouseError> {
        let program = program.as_ref();
        let not_started =
            |reason: String| WarehouseError::NotStarted { program: program.display().to_string(), reason };
        // A query that spills frees memory and takes it again all the time. Giving it back at once costs a sixth of the time
        // of one that does not, so that this is for those that have little.
        let frugal = (setup.memory_limit_bytes <= LITTLE_MEMORY).then_some(("MIMALLOC_PURGE_DELAY", "1"));
        let mut child = Command::new(program)
            .args(args.into_iter().map(Into::into))
            .env_clear()
            // The allocator's reserve would count against the limit on memory before any of it is used.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .envs(frugal)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| not_started(error.to_string()))?;
        let (Some(requests), Some(answers), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(not_started("its pipes are missing".to_owned()));
        };
        let last_words = Some(tokio::spawn(keep_last_words(errors)));
        let mut session = Session { child, requests, answers: BufReader::new(answers), last_words };
        session.ask(setup).await?;
        Ok(session)
    }

    /// Runs `sql` and keeps its rows in the worker as `bellwether.<name>`; answers their number and the time taken.
    pub async fn materialize(&mut self, name: &str, sql: &str) -> Result<Answered, WarehouseError> {
        self.ask(&Request::Materialize { name: name.to_owned(), sql: sql.to_owned() }).await
    }

    /// Runs `sql`; more than `row_limit` rows are an error. The answer's `table` is set.
    pub async fn query(&mut self, sql: &str, row_limit: usize) -> Result<Answered, WarehouseError> {
        self.ask(&Request::Query { sql: sql.to_owned(), row_limit, truncate: false }).await
    }

    /// Runs `sql` and answers its first `row_limit` rows.
    pub async fn preview(&mut self, sql: &str, row_limit: usize) -> Result<Table, WarehouseError> {
        let answered = self.ask(&Request::Query { sql: sql.to_owned(), row_limit, truncate: true }).await?;
        Ok(answered.table.unwrap_or_default())
    }

    /// The columns of `sql`, without running it.
    pub async fn describe(&mut self, sql: &str) -> Result<Vec<Column>, WarehouseError> {
        Ok(self.ask(&Request::Describe { sql: sql.to_owned() }).await?.columns.unwrap_or_default())
    }

    /// Whether `sql` is a query that users may write; answers its columns.
    pub async fn check(&mut self, sql: &str) -> Result<Vec<Column>, WarehouseError> {
        Ok(self.ask(&Request::Check { sql: sql.to_owned() }).await?.columns.unwrap_or_default())
    }

    /// The tables that SQL can name.
    pub async fn tables(&mut self) -> Result<Vec<TableInfo>, WarehouseError> {
        Ok(self.ask(&Request::Tables {}).await?.tables.unwrap_or_default())
    }

    /// The process id of the worker, while it lives.
    pub fn worker_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the worker and waits for its end.
    pub async fn kill(mut self) {
        // It fails only if the worker has ended already, which is what is wanted.
        let _ = self.child.kill().await;
    }

    async fn ask(&mut self, message: &impl Serialize) -> Result<Answered, WarehouseError> {
        let mut line = serde_json::to_vec(message).map_err(|error| WarehouseError::BadAnswer(error.to_string()))?;
        line.push(b'\n');
        // Dropped without an answer, it kills the worker; one that has ended already is left alone.
        let mut asked = Asked { session: self, is_answered: false };
        let answer = match asked.session.exchange(&line).await {
            Ok(answer) => answer,
            Err(Broken::Silent) => return Err(asked.session.died().await),
            Err(Broken::Unreadable(what)) => return Err(WarehouseError::BadAnswer(what)),
        };
        asked.is_answered = true;
        match answer {
            Answer::Ok(answered) => Ok(answered),
            Answer::Error(failure) => Err(failure.into()),
        }
    }

    async fn exchange(&mut self, line: &[u8]) -> Result<Answer, Broken> {
        // A failed write means that the worker is gone; the read finds out in any case.
        let _ = self.requests.write_all(line).await;
        let _ = self.requests.flush().await;
        let mut answer = Vec::new();
        let mut limited = (&mut self.answers).take(MAX_ANSWER_BYTES);
        let read = limited.read_until(b'\n', &mut answer).await;
        if answer.last() == Some(&b'\n') {
            return serde_json::from_slice(&answer)
                .map_err(|error| Broken::Unreadable(format!("an answer that cannot be read ({error})")));
        }
        if answer.len() as u64 >= MAX_ANSWER_BYTES {
            return Err(Broken::Unreadable(format!("an answer of more than {MAX_ANSWER_BYTES} bytes")));
        }
        match read {
            Ok(_) => Err(Broken::Silent),
            Err(error) => Err(Broken::Unreadable(format!("no readable answer ({error})"))),
        }
    }

    async fn died(&mut self) -> WarehouseError {
        // Its output closes a little before it ends; killed in between, it would not tell how it ended.
        let ended = match tokio::time::timeout(LAST_MOMENTS, self.child.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                // It fails only if the worker has ended meanwhile.
                let _ = self.child.start_kill();
                self.child.wait().await
            }
        };
        let status = match ended {
            Ok(status) => status.to_string(),
            Err(error) => format!("unknown end: {error}"),
        };
        let last_words = match self.last_words.take() {
            Some(reader) => reader.await.unwrap_or_default(),
            None => Vec::new(),
        };
        let last_words = String::from_utf8_lossy(&last_words).trim().to_owned();
        WarehouseError::WorkerDied {
            status,
            last_words: if last_words.is_empty() { "(none)".to_owned() } else { last_words },
        }
    }
}

/// Why an exchange ended without an answer.
enum Broken {
    Silent,
    Unreadable(String),
}

/// A question on its way. Whoever drops it unanswered leaves the pipes out of step, so the worker must go.
struct Asked<'a> {
    session: &'a mut Session,
    is_answered: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // It fails only if the worker has ended already.
            let _ = self.session.child.start_kill();
        }
    }
}

async fn keep_last_words(mut errors: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(read) = errors.read(&mut chunk).await {
        if read == 0 {
            break;
        }
        kept.extend_from_slice(&chunk[..read]);
        let excess = kept.len().saturating_sub(MAX_LAST_WORDS);
        kept.drain(..excess);
    }
    kept
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Answer {
        Answer::Error(failure)
    }
}
