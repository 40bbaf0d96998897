//! Durable changes accepted per second, while they are delivered: a closed loop.

use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::load::{self, Until};
use clap::Args;

use crate::report::{Figure, Goal, Measured};
use crate::stage::{Place, Stage, microseconds_each};

/// More experiments than connections, so that order per experiment does not serialize what is measured.
const EXPERIMENTS: usize = 256;

#[derive(Args)]
pub struct Changes {
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

impl Changes {
    pub async fn run(&self, place: &Place) -> Result<Vec<Figure>, Problem> {
        let stage = Stage::set(place, EXPERIMENTS).await?;
        stage.subscribe_receiver(1).await?;
        let before = stage.server.processor_time()?;
        let until = Until::Passed(Duration::from_secs(self.seconds));
        let accepted = load::closed_loop(stage.server.address(), &stage.experiments, self.connections, until).await?;
        let (arrived, count) = (stage.arrived(), accepted.answered.len());
        let rate = count as f64 / accepted.took.as_secs_f64();
        println!("accepted: {count} in {:.2?} over {} connections: {rate:.0}/s", accepted.took, self.connections);
        println!("delivered meanwhile: {arrived} ({:.0} %)", 100.0 * arrived as f64 / count as f64);
        Measured::of(accepted.answered).print("from request to answer");
        stage.wait_for_arrivals(count).await?;
        let each = microseconds_each(stage.server.processor_time()?.saturating_sub(before), count);
        println!("the server's processor time: {each:.1} µs for each change accepted and delivered");
        let name = format!("durable changes accepted, {} connections, while delivered", self.connections);
        let goal = Goal::AtLeast(place.either(10_000.0, 4_000.0));
        Ok(vec![
            Figure::of(name, rate, "/s", goal),
            Figure::of("server's processor time for each of them", each, " µs", Goal::None),
        ])
    }
}
