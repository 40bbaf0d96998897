//! What reading long lists costs a delivery: the delay from request to receipt with a backlog pending at disabled
//! endpoints, with two readers looping over lists, against the delay without them, by turns.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bellwether_bench::Problem;
use bellwether_bench::api::Api;
use bellwether_bench::load::{self, Until};
use bellwether_bench::receiver::Arrival;
use bellwether_bench::server::ADMIN_KEY;
use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use crate::report::{Figure, Goal, Measured};
use crate::stage::{Place, Stage, Subscription};

const EXPERIMENTS: usize = 1000;
const CONNECTIONS: usize = 64;
/// What each reader asks for, over and over: what is examined is far more than what is found.
const LISTS: [[&str; 2]; 2] = [
    ["/deliveries?state=delivered&limit=250", "/deliveries?state=pending&limit=250"],
    ["/events?types=experiment.calculated_metrics.updated&limit=250", "/deliveries?state=exhausted&limit=250"],
];
/// For the log that the backlog left to be written back.
const REST: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct Lists {
    #[arg(long, default_value_t = 1_000_000)]
    deliveries: usize,
    #[arg(long, default_value_t = 20)]
    endpoints: usize,
    /// Milliseconds that each reader rests between lists; with a loop of curl, its start takes about these
    #[arg(long, default_value_t = 10)]
    pause: u64,
    /// Changes per second while it is measured
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Pairs of phases, without and with the readers
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The length of a phase
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

impl Lists {
    pub async fn run(&self, place: &Place) -> Result<Vec<Figure>, Problem> {
        let stage = Stage::set(place, EXPERIMENTS).await?;
        let disabled = |n| Subscription { url: stage.receiver.url_of(n), settings: json!({"enabled": false}) };
        stage.subscribe((0..self.endpoints).map(disabled).collect()).await?;
        let until = Until::Accepted(self.deliveries / self.endpoints.max(1));
        load::closed_loop(stage.server.address(), &stage.experiments, CONNECTIONS, until).await?;
        stage.subscribe_receiver(1).await?;
        tokio::time::sleep(REST).await;
        let (mut ratios, mut read) = (Vec::new(), 0);
        for round in 1..=self.rounds {
            let without = self.phase(&stage).await?;
            let mut readers = JoinSet::new();
            for lists in LISTS {
                let api = Api::at(stage.server.address(), ADMIN_KEY);
                let pause = Duration::from_millis(self.pause);
                readers.spawn(read_until(api, lists, pause, load::now() + self.length()));
            }
            let with = self.phase(&stage).await?;
            while let Some(count) = readers.join_next().await {
                read += count??;
            }
            without.print(&format!("round {round}, without readers"));
            with.print(&format!("round {round}, with readers   "));
            ratios.push(with.at(0.99) / without.at(0.99));
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let median = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
        let each = f64::from(self.seconds) * self.rounds as f64 / (read.max(1) as f64) * LISTS.len() as f64 * 1e3;
        println!("{read} lists were read, one each {each:.1} ms by each reader");
        let name = format!(
            "{} pending: p99 from request to receipt with two readers of lists, against without; median of {}",
            self.deliveries, self.rounds
        );
        Ok(vec![Figure::of(name, median, " ×", Goal::AtMost(1.2))])
    }

    fn length(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    async fn phase(&self, stage: &Stage) -> Result<Measured, Problem> {
        let changes = (self.rate * f64::from(self.seconds)).max(1.0) as usize;
        let goal = stage.arrived() + changes;
        let exchanges =
            load::open_loop(stage.server.address(), &stage.experiments, CONNECTIONS, self.rate, changes).await?;
        stage.wait_for_arrivals(goal).await?;
        let intended: HashMap<(i64, i64), Instant> =
            exchanges.iter().map(|exchange| ((exchange.experiment_id, exchange.revision), exchange.intended)).collect();
        let delay = |arrival: &Arrival| Some(arrival.at - *intended.get(&(arrival.experiment_id, arrival.revision))?);
        Ok(Measured::of(stage.receiver.take_arrivals().iter().filter_map(delay).collect()))
    }
}

/// Reads the lists by turns until the time has come, and tells how many were read.
async fn read_until(api: Api, lists: [&'static str; 2], pause: Duration, end: Instant) -> Result<usize, Problem> {
    let mut read = 0;
    for list in lists.iter().cycle() {
        if load::now() >= end {
            break;
        }
        api.exchange(http::Method::GET, list, None).await?;
        read += 1;
        tokio::time::sleep(pause).await;
    }
    Ok(read)
}
