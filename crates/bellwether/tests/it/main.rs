//! Integration tests: the store on both databases, and the whole server over real HTTP with a real receiver.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api;
mod certificates;
mod clocks;
#[allow(dead_code)] // The tests of nodes use more of it.
mod cluster;
mod databases;
mod process;
mod receiver;
mod request;
mod schema;
mod server;
mod store;
mod upgrade;
