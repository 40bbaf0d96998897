//! What the API shows: one type for each thing, apart from how it is kept. What Bellwether keeps of a thing is shown only where
//! a view names it; what users write is shown as they may write it: an experiment's configuration and a definition's body
//! whole, an endpoint's settings as `Settings::shown` lets them be seen.

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
