//! What can go wrong when a warehouse is asked, in kinds that callers decide by.

use serde::{Deserialize, Serialize};

/// The kind of a failure; it decides what to tell the user and whether trying again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The SQL does not parse, plan or run: its author corrects it.
    Sql,
    /// The SQL or a path asks for more than reading registered tables.
    Forbidden,
    /// The SQL names a table that is not there.
    MissingTable,
    /// A file or folder is missing, unreadable, ambiguous or not what its name says.
    File,
    /// Memory or scratch space ran out.
    Resources,
    /// More rows than the caller allowed.
    RowLimit,
    /// A fault of ours.
    Internal,
}

/// A refused or failed request: its kind, and what was given, what is allowed, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: ErrorKind,
    pub message: String,
}

impl Failure {
    pub fn of(kind: ErrorKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }
}

/// Errors of a [`Session`](crate::Session).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WarehouseError {
    /// The worker answered that it cannot; it is alive and takes the next request.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The worker is gone, and with it all that it had materialized: start another session. Its last words are for a log:
    /// they may name places of the machine that built it.
    #[error(
        "the query ended the process that ran it ({status}): it needs more memory, or is nested more deeply, than there is \
         room for; make it smaller or simpler"
    )]
    WorkerDied {
        /// The exit code or signal, as the system names it.
        status: String,
        /// The last lines it wrote to standard error, at most 4 KiB.
        last_words: String,
    },
    #[error(
        "the warehouse worker {program} could not be started ({reason}): check that the file exists and may be run"
    )]
    NotStarted { program: String, reason: String },
    /// The answer was larger than a session takes, or no answer at all; the worker was killed.
    #[error("the warehouse worker gave {0}: return fewer rows, or report this as a fault")]
    BadAnswer(String),
}

impl WarehouseError {
    /// The kind, where the worker lived to tell it.
    pub fn kind(&self) -> Option<ErrorKind> {
        if let WarehouseError::Failed(failure) = self { Some(failure.kind) } else { None }
    }
}
