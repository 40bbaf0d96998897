//! See the module.
#![no_main]

#[path = "../../crates/bellwether/tests/fuzz/filters.rs"]
mod filters;

libfuzzer_sys::fuzz_target!(|data: &[u8]| filters::run(data));
