//! What things are and which rules hold. Pure: time, randomness and ids are handed in, and nothing here reads or writes.

pub mod actor;
pub mod address;
pub mod change;
pub mod clock;
pub mod collection;
pub mod configuration;
pub mod definition;
pub mod delivery;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod experiment;
pub mod filter;
pub mod health;
pub mod hidden;
pub mod id;
pub mod input;
pub mod key;
pub mod lifecycle;
pub mod metric;
pub mod recovery;
pub mod run;
pub mod signing;
pub mod topic;
pub mod warehouse;
