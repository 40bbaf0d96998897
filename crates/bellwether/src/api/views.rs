//! What the API shows: one type for each thing, apart from how it is kept. A field that is stored is shown only where a view
//! names it.

pub mod change;
pub mod definition;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod experiment;
pub mod key;
pub mod recovery;
pub mod run;
pub mod why;
