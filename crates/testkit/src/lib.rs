//! What the server's tests are made of, and need in more than one of their programs: databases of their own, receivers,
//! certificates, clocks, writers, and what must hold of what they saw. Knows nothing of any single test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod certificates;
pub mod clocks;
pub mod cluster;
pub mod cutter;
pub mod databases;
pub mod event_log;
pub mod gate;
pub mod receipts;
pub mod receiver;
pub mod writers;
