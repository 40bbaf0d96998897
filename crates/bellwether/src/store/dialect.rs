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

    /// Whether the log's order is given in the transaction, or after it by the sequencer.
    pub const fn numbers_events_in_transaction(self) -> bool {
        matches!(self, Self::Sqlite)
    }
}
