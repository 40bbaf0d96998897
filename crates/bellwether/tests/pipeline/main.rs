//! The pipeline, from files to events: over the real API of a server in this process, with real workers.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod apart;
mod discovery;
mod ends;
mod eppo;
mod failures;
mod figures;
mod history;
mod installation;
mod kinds;
mod lifecycle;
mod never_wrong;
mod oracles;
mod progress;
mod refusals;
mod schedule;
mod study;
mod warnings;
