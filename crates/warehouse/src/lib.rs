//! Where assignments and facts lie, and how they are asked: SQL dialects, engines, and the child process that runs them.
//!
//! Knows nothing of experiments or of their storage: it is handed SQL and hands back tables. The embedded engine never
//! runs in the caller's process: a [`Session`] starts a worker, which alone holds the engine, so that no query, however
//! bad, takes the server down.

pub mod dialect;
#[cfg(feature = "embedded")]
pub mod engine;
mod error;
pub mod exact_sum;
pub mod files;
pub mod protocol;
#[cfg(feature = "embedded")]
mod reading;
mod session;
mod settings;
mod table;
#[cfg(feature = "embedded")]
pub mod worker;

pub use dialect::Dialect;
pub use error::{ErrorKind, Failure, WarehouseError};
pub use protocol::{Answered, Setup, WarehouseConfig};
pub use session::{MAX_ANSWER_BYTES, Session};
pub use settings::{SaidType, TableSettings};
pub use table::{Cell, Column, ColumnType, Table, TableColumn, TableError, TableInfo};
