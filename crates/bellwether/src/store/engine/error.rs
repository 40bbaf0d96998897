//! What goes wrong in the database, sorted by what its reader can do about it; what an answer makes of it is the API's.

/// What went wrong in the database, sorted by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A UNIQUE constraint: it is taken.
    #[error("a unique value is taken already: {0}")]
    Unique(String),
    /// A foreign key: what it refers to is missing, or something still refers to it.
    #[error("a reference does not hold: {0}")]
    Reference(String),
    #[error(
        "{table}.{column} of the row '{row}' cannot be read: {reason}; the data file is damaged or was changed by hand"
    )]
    Corrupt { table: &'static str, column: &'static str, row: String, reason: String },
    /// Nothing was changed; the same request may succeed later.
    #[error("the database is not available now: {0}")]
    Unavailable(String),
    /// So much waits for the database that no more is taken.
    #[error("too much waits for the database already")]
    Busy,
    /// The process is stopping: the store takes nothing more, now or later.
    #[error("the store is closed, for the process is stopping")]
    Closed,
    /// The connection broke while committing: the change may or may not have been made.
    #[error("the connection broke during the commit, so whether the change was made is unknown: {0}")]
    OutcomeUnknown(String),
    #[error("the database cannot take more: {0}")]
    Full(String),
    /// The database's file, not only a row in it.
    #[error(
        "the database file is damaged ({0}); stop the server, keep a copy of the file, then restore the last backup, or what `sqlite3 <file> .recover` saves of it"
    )]
    Damaged(String),
    #[error("{0}")]
    Failed(String),
}

/// What was read of a row, for those who go through many: one that cannot be read is logged, and keeps the others from
/// nothing.
pub fn readable<T>(read: Result<T, StoreError>, table: &'static str) -> Result<Option<T>, StoreError> {
    match read.map_err(|error| error.in_table(table)) {
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::error!(%error, "a row is passed over");
            Ok(None)
        }
        other => other.map(Some),
    }
}

impl StoreError {
    /// Whether the same may succeed later without anybody's doing anything about what was asked.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Busy | Self::OutcomeUnknown(_) | Self::Full(_))
    }

    /// Names the file where that is what is wrong.
    pub(in crate::store) fn in_file(self, path: &str) -> Self {
        match self {
            Self::Damaged(reason) if !reason.starts_with(path) => Self::Damaged(format!("{path}: {reason}")),
            other => other,
        }
    }

    pub(in crate::store) fn in_table(self, name: &'static str) -> Self {
        match self {
            Self::Corrupt { column, row, reason, .. } => Self::Corrupt { table: name, column, row, reason },
            other => other,
        }
    }
}
