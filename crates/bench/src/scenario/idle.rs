//! The processor that a server uses while there is nothing to do.

use std::time::Duration;

use bellwether_bench::Problem;
use clap::Args;

use crate::report::{Figure, Goal};
use crate::stage::{Place, Stage};

/// For the endpoints' making to be over with.
const REST: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct Idle {
    #[arg(long, default_value_t = 1000)]
    endpoints: usize,
    /// Longer than anything that happens by the clock
    #[arg(long, default_value_t = 65)]
    seconds: u64,
}

impl Idle {
    pub async fn run(&self, place: &Place) -> Result<Vec<Figure>, Problem> {
        let stage = Stage::set(place, 1).await?;
        stage.subscribe_receiver(self.endpoints).await?;
        tokio::time::sleep(REST).await;
        let (before, length) = (stage.server.processor_time()?, Duration::from_secs(self.seconds));
        tokio::time::sleep(length).await;
        let used = stage.server.processor_time()?.saturating_sub(before);
        let share = 100.0 * used.as_secs_f64() / length.as_secs_f64();
        println!("{used:.2?} of processor time in {length:?}");
        let name = format!("processor while idle, {} endpoints", self.endpoints);
        Ok(vec![Figure::of(name, share, " %", Goal::AtMost(0.1))])
    }
}
