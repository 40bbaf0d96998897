//! See the module.
#![no_main]

#[path = "../../crates/bellwether/tests/fuzz/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::run(data));
