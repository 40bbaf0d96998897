//! Deliveries per second when every change is owed to many endpoints.

use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::load::{self, Until, now};
use clap::Args;

use crate::report::{Figure, Goal};
use crate::stage::{Place, Stage, microseconds_each};

const EXPERIMENTS: usize = 256;

#[derive(Args)]
pub struct Fanout {
    #[arg(long, default_value_t = 20)]
    endpoints: usize,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

impl Fanout {
    pub async fn run(&self, place: &Place) -> Result<Vec<Figure>, Problem> {
        let stage = Stage::set(place, EXPERIMENTS).await?;
        stage.subscribe_receiver(self.endpoints).await?;
        let (before, start) = (stage.server.processor_time()?, now());
        let until = Until::Passed(Duration::from_secs(self.seconds));
        let accepted = load::closed_loop(stage.server.address(), &stage.experiments, self.connections, until).await?;
        let (arrived, changes) = (stage.arrived(), accepted.answered.len());
        let deliveries = changes * self.endpoints;
        println!("{changes} changes accepted in {:.2?}, {arrived} of {deliveries} delivered meanwhile", accepted.took);
        let took = stage.wait_for_arrivals(deliveries).await? - start;
        let rate = deliveries as f64 / took.as_secs_f64();
        let each = microseconds_each(stage.server.processor_time()?.saturating_sub(before), deliveries);
        println!("{deliveries} deliveries in {took:.2?}: {rate:.0}/s, {each:.1} µs of the server's processor each");
        let name = format!("fan-out of changes to {} endpoints, until the last has come", self.endpoints);
        Ok(vec![
            Figure::of(name, rate, " deliveries/s", Goal::AtLeast(20_000.0)),
            Figure::of("server's processor time for each of them", each, " µs", Goal::None),
        ])
    }
}
