//! The scenarios: each sets its stage, measures, prints what it saw, and gives its figures.

pub mod changes;
pub mod drain;
pub mod fanout;
pub mod idle;
pub mod isolation;
pub mod latency;
pub mod lists;
pub mod memory;
pub mod pages;
