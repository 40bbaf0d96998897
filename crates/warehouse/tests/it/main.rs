//! The warehouse through a real worker process: files in, answers and refusals out.
#![cfg(feature = "embedded")]

mod determinism;
mod folder;
mod refusals;
mod tables;
mod worker;
