//! Bellwether: a registry of experiments that tells other systems, by signed webhook, every time an experiment changes.
//! ARCHITECTURE.md says how the modules work together; imports go one way, from the bottom of this list to its top.

pub mod domain;
pub mod platform;

pub mod store;

pub mod registry;

pub mod maintenance;

pub mod delivery;
pub mod pipeline;

pub mod api;
pub mod console;
pub mod doctor;

pub mod app;
pub mod config;

pub mod cli;
