//! See the module.
#![no_main]

#[allow(dead_code)] // The tests use more of it.
#[path = "../../crates/bellwether/tests/fuzz/answers.rs"]
mod answers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| answers::run(data));
