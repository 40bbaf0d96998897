//! What differs between the two databases, by name. Everything else is written once.

/// Which database this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Behind a SELECT of one row that is about to be changed. SQLite has one writer, and so needs no lock.
    pub const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Behind a SELECT of rows that must stay as they are until the transaction ends.
    pub const fn for_share(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE",
        }
    }

    /// Waits until no other transaction holds the lock with this number, and holds it until this one ends. SQLite has one
    /// writer, and so needs none.
    pub const fn exclusive_lock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock($1)"),
        }
    }

    /// Whether several writes are sent as one statement, to wait for one answer.
    pub const fn joins_writes(self) -> bool {
        matches!(self, Self::Postgres)
    }

    /// Whether many rows are written faster one by one than by one statement. SQLite has no round trips to save, and keeps
    /// an intermediate table for every list of rows, or a copy of every page that it touches.
    pub const fn prefers_single_rows(self) -> bool {
        matches!(self, Self::Sqlite)
    }

    /// Whether one process at a time uses the database, and so owns all that is owned.
    pub const fn has_one_node(self) -> bool {
        matches!(self, Self::Sqlite)
    }

    /// Whether the log's order is given in the transaction, or after it by the sequencer.
    pub const fn numbers_events_in_transaction(self) -> bool {
        matches!(self, Self::Sqlite)
    }
}
