//! See the module.
#![no_main]

#[path = "../../crates/bellwether/tests/fuzz/queries.rs"]
mod queries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| queries::run(data));
