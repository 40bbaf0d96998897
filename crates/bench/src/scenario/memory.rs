//! The server's memory with many deliveries pending, against none: endpoints that are enabled, and refuse.

use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::load::{self, Until};
use bellwether_bench::receiver::{Misbehaviour, Options, Receiver};
use clap::Args;

use crate::report::{Figure, Goal};
use crate::stage::{Place, Stage, Subscription};

const EXPERIMENTS: usize = 1000;
const CONNECTIONS: usize = 64;
/// For what the load itself took to be given back.
const REST: Duration = Duration::from_secs(5);
const MEGABYTE: f64 = 1024.0 * 1024.0;

#[derive(Args)]
pub struct Memory {
    #[arg(long, default_value_t = 1_000_000)]
    deliveries: usize,
    #[arg(long, default_value_t = 20)]
    endpoints: usize,
}

impl Memory {
    pub async fn run(&self, place: &Place) -> Result<Vec<Figure>, Problem> {
        let stage = Stage::set(place, EXPERIMENTS).await?;
        let dead = Receiver::start(&Options::misbehaving(Misbehaviour::Refuse))?;
        stage.subscribe((0..self.endpoints).map(|n| Subscription::to(dead.url_of(n))).collect()).await?;
        tokio::time::sleep(REST).await;
        let empty = stage.server.resident()? as f64 / MEGABYTE;
        let until = Until::Accepted(self.deliveries / self.endpoints);
        let address = stage.server.address();
        let accepted = load::closed_loop(address, &stage.experiments, CONNECTIONS, until).await?;
        let most = stage.server.resident()? as f64 / MEGABYTE;
        tokio::time::sleep(REST).await;
        let full = stage.server.resident()? as f64 / MEGABYTE;
        println!("resident: {empty:.1} MB empty, {most:.1} MB when the last was accepted, {full:.1} MB later");
        let name = format!("memory with {} deliveries pending, beyond empty", accepted.answered.len() * self.endpoints);
        Ok(vec![
            Figure::of("memory, empty", empty, " MB", Goal::None),
            Figure::of(name, full - empty, " MB", Goal::AtMost(64.0)),
        ])
    }
}
