//! See the module.
#![no_main]

#[path = "../../crates/bellwether/tests/fuzz/cursors.rs"]
mod cursors;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cursors::run(data));
