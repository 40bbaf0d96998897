//! Integration tests: the store on both databases, and the whole server over real HTTP with a real receiver.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api;
mod clocks;
mod console;
mod described;
mod doctor;
mod listen;
mod process;
mod request;
mod schema;
mod server;
mod store;
mod traces;
mod upgrade;
