//! The engine's errors in our kinds and words.
//!
//! Decides by the error's type, never by its text.

use crate::{ErrorKind, Failure};
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use std::io;

/// Whether memory or scratch space ran out.
pub fn is_exhausted(error: &DataFusionError) -> bool {
    kind(error.find_root()) == ErrorKind::Resources
}

pub fn failure(error: &DataFusionError, memory_limit_bytes: u64) -> Failure {
    if let DataFusionError::External(external) = error.find_root()
        && let Some(failure) = external.downcast_ref::<Failure>()
    {
        return failure.clone();
    }
    match kind(error.find_root()) {
        ErrorKind::Sql => sql_failure(error),
        ErrorKind::Resources => Failure::of(
            ErrorKind::Resources,
            format!(
                "the query needs more than its {memory_limit_bytes} bytes of memory or than the scratch disk has; narrow \
                 it, or raise the limit: {}",
                error.find_root().strip_backtrace()
            ),
        ),
        ErrorKind::Internal => {
            // What a panic says is for our eyes: it names places in the code, and helps nobody to mend the query.
            eprintln!("the engine failed: {error}");
            let message =
                "the query engine fails on this query: it asks for more than the engine can do; write it another way";
            Failure::of(ErrorKind::Sql, message)
        }
        kind => Failure::of(kind, words(error)),
    }
}

/// A mistake in SQL, with its place where it is known.
pub fn sql_failure(error: &DataFusionError) -> Failure {
    let message = words(error);
    let place = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    Failure::of(
        ErrorKind::Sql,
        match place {
            Some(span) => format!("{message} (line {}, column {})", span.start.line, span.start.column),
            None => message,
        },
    )
}

/// What the engine adds to what it calls a fault of its own, such as a function that does not fit what it is given.
const BUG_REPORT: &str = ".\nThis issue was likely caused by a bug in DataFusion's code. Please help us to resolve this by \
                          filing a bug report in our issue tracker: https://github.com/apache/datafusion/issues";

/// What it adds to a name in the wrong case: a setting that nobody can reach.
const SETTING: &str = " or disable the datafusion.sql_parser.enable_ident_normalization configuration";

/// What the engine says, for the query's author.
fn words(error: &DataFusionError) -> String {
    error.strip_backtrace().replace(BUG_REPORT, "").replace(SETTING, "").replace("Internal error: ", "")
}

fn kind(root: &DataFusionError) -> ErrorKind {
    match root {
        DataFusionError::ResourcesExhausted(_) => ErrorKind::Resources,
        DataFusionError::IoError(error) => io_kind(error),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::IoError(_, error) => io_kind(error),
            ArrowError::CsvError(_) | ArrowError::ParquetError(_) => ErrorKind::File,
            ArrowError::MemoryError(_) => ErrorKind::Resources,
            _ => ErrorKind::Sql,
        },
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) => ErrorKind::File,
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => ErrorKind::Internal,
        _ => ErrorKind::Sql,
    }
}

fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory => ErrorKind::Resources,
        _ => ErrorKind::File,
    }
}
