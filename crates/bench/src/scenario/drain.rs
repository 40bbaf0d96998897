//! How fast a backlog of one endpoint drains: deliveries owed while it was disabled, then enabled from where it stopped.

use bellwether_bench::Problem;
use bellwether_bench::load::{self, Until, now, request};
use clap::Args;
use serde_json::json;

use crate::report::{Figure, Goal};
use crate::stage::{Place, Stage, Subscription, microseconds_each};

const CONNECTIONS: usize = 64;

#[derive(Args)]
pub struct Drain {
    #[arg(long, default_value_t = 200_000)]
    deliveries: usize,
    #[arg(long, default_value_t = 1_000)]
    experiments: usize,
    /// Requests of the endpoint under way at once
    #[arg(long, default_value_t = 64)]
    max_in_flight: u32,
}

impl Drain {
    /// `limit` is the bare-POST limit of the same run, if it was measured.
    pub async fn run(&self, place: &Place, limit: Option<f64>) -> Result<Vec<Figure>, Problem> {
        let stage = Stage::set(place, self.experiments).await?;
        let settings = json!({"enabled": false, "max_in_flight": self.max_in_flight});
        let made = stage.subscribe(vec![Subscription { url: stage.receiver.url(), settings }]).await?;
        let (address, until) = (stage.server.address(), Until::Accepted(self.deliveries));
        load::closed_loop(address, &stage.experiments, CONNECTIONS, until).await?;
        println!("{} deliveries are owed; enabling the endpoint", self.deliveries);
        let (before, start) = (stage.server.processor_time()?, now());
        let enable = request("POST", &format!("/endpoints/{}/enable", made[0]), r#"{"from":"stopped"}"#);
        load::send_all(address, 1, vec![enable]).await?;
        let last = stage.wait_for_arrivals(self.deliveries).await?;
        let (took, used) = (last - start, stage.server.processor_time()?.saturating_sub(before));
        let rate = self.deliveries as f64 / took.as_secs_f64();
        let each = microseconds_each(used, self.deliveries);
        println!("{} deliveries drained in {took:.2?}: {rate:.0}/s, {each:.1} µs of processor each", self.deliveries);
        let mut figures = vec![
            Figure::of(format!("backlog of {} drained to one endpoint", self.deliveries), rate, "/s", Goal::None),
            Figure::of("server's processor time for each of them", each, " µs", Goal::None),
        ];
        if let Some(limit) = limit {
            let goal = Goal::AtLeast(place.either(0.5, 0.2));
            figures.push(Figure::of("the same, as share of the bare-POST limit of this run", rate / limit, "", goal));
        }
        Ok(figures)
    }
}
