//! The warehouse through a real worker process: files in, answers and refusals out.
#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail the test")]

mod arithmetic;
mod determinism;
mod folder;
mod folders;
mod reading;
mod refusals;
mod tables;
mod worker;
