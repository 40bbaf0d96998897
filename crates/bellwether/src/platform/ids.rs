//! Identifiers and secrets from the operating system's randomness. Nothing else draws from it.

use std::sync::Arc;

use crate::domain::clock::Clock;
use crate::domain::id::{self, Ids};

/// Identifiers from the clock and the operating system's randomness.
pub struct RandomIds {
    clock: Arc<dyn Clock>,
}

impl RandomIds {
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that draws from the operating system")]
fn fill(bytes: &mut [u8]) {
    // Without randomness ids could collide and secrets be guessed: no service is better than that.
    if getrandom::fill(bytes).is_err() {
        std::process::abort();
    }
}

impl Ids for RandomIds {
    fn secret_bytes(&self) -> [u8; 32] {
        let mut random = [0_u8; 32];
        fill(&mut random);
        random
    }

    fn next(&self) -> u128 {
        let mut random = [0_u8; 16];
        fill(&mut random);
        id::at(self.clock.now(), u128::from_be_bytes(random))
    }
}
