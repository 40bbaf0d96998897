//! From a text file to typed values: splitting it into values, finding each column's type from all of them, and remembering
//! what was found.
//!
//! The rule is that the text of a value survives: a column is something else than text only where each of its values would
//! be printed back as it stands in the file. It knows nothing of SQL; arrays and tables are made in [`crate::engine`].

mod evidence;
mod identity;
mod memory;
pub mod numbers;
mod records;
mod scan;
mod text_file;
pub mod times;

pub use evidence::{Evidence, Kind};
pub use identity::Identity;
pub use memory::{Memory, scan};
pub use records::Records;
pub use scan::{Scan, Start};
pub use text_file::TextFile;
