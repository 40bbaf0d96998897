//! Bellwether: a registry of experiments that tells other systems, by signed webhook, every time an experiment changes.
//! ARCHITECTURE.md says how the modules work together; imports go one way, from the bottom of this list to its top.

pub mod actor;
pub mod address;
pub mod change;
pub mod clock;
pub mod collection;
pub mod config;
pub mod definition;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod experiment;
pub mod fault;
pub mod filter;
pub mod health;
pub mod id;
pub mod key;
pub mod lifecycle;
pub mod metric;
pub mod run;
pub mod secret;
pub mod signing;
pub mod telemetry;

pub mod api;
pub mod app;
pub mod cli;
pub mod delivery;
pub mod descriptors;
pub mod pipeline;
pub mod registry;
pub mod store;
