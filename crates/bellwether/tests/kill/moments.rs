//! When to kill: drawn from a seed.

/// Counted from the server's start.
#[derive(Debug)]
pub struct Moment {
    /// Changes accepted.
    pub accepted: usize,
    /// Webhooks received.
    pub received: usize,
    /// Turns of the scheduler after that, so that requests are caught wherever they are.
    pub turns: u64,
    /// The receiver takes requests in and answers none, so that a backlog is left behind.
    pub is_receiver_silent: bool,
}

pub struct Moments {
    seed: u64,
    state: u64,
}

impl Moments {
    /// The seed is BELLWETHER_SEED or, where it is not set, another one each time.
    pub fn from_environment() -> Self {
        let given = std::env::var("BELLWETHER_SEED").ok();
        let seed = given.map_or_else(any_seed, |text| text.parse().expect("BELLWETHER_SEED is a number"));
        Self { seed, state: seed }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Most are in the flow of changes; one in five while the last round's backlog is only just resumed.
    pub fn draw(&mut self) -> Moment {
        let is_early = self.below(5) == 0;
        let is_receiver_silent = self.below(4) == 0;
        let accepted = if is_early { 0 } else { 1 + self.below(150) };
        // One that is silent stops receiving when as much is in flight as may be.
        let received = if is_early && !is_receiver_silent { self.below(40) } else { 0 };
        Moment {
            accepted: usize::try_from(accepted).unwrap(),
            received: usize::try_from(received).unwrap(),
            turns: self.below(200),
            is_receiver_silent,
        }
    }

    /// SplitMix64: small, and the same on every machine.
    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[expect(clippy::disallowed_methods, reason = "any number will do, and it is printed")]
fn any_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}
