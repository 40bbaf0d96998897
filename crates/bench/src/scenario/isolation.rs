//! What bad receivers cost the good ones: the delay of the others' deliveries with a refused, a black-holed, a nameless
//! and a slow one among them, against the delay with none of these, by turns.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bellwether_bench::Problem;
use bellwether_bench::load::{self, Until, request};
use bellwether_bench::receiver::{Misbehaviour, Options, Receiver};
use clap::Args;
use serde_json::json;

use crate::report::{Figure, Goal, Measured};
use crate::stage::{Place, Stage, Subscription};

const EXPERIMENTS: usize = 64;
const CONNECTIONS: usize = 16;
const SLOW: Duration = Duration::from_secs(10);
/// A name that never exists.
const NAMELESS: &str = "https://receiver.invalid/hooks";
/// How long the server is driven to saturation.
const SATURATION: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct Isolation {
    #[arg(long, default_value_t = 1000)]
    endpoints: usize,
    /// Pairs of phases, without and with the bad ones
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The length of a phase
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

/// The endpoints that turn bad and good again.
struct Fickle {
    ids: Vec<String>,
    good: Vec<String>,
    bad: Vec<String>,
    _receivers: Vec<Receiver>,
}

impl Fickle {
    /// All of them good.
    async fn subscribe(stage: &Stage) -> Result<Self, Problem> {
        let bad = [Misbehaviour::Refuse, Misbehaviour::BlackHole, Misbehaviour::Slow(SLOW)];
        let mut receivers = vec![Receiver::start(&Options { keeps_ledger: false, ..Options::default() })?];
        for misbehaviour in bad {
            receivers.push(Receiver::start(&Options::misbehaving(misbehaviour))?);
        }
        let mut bad: Vec<_> = receivers[1..].iter().map(Receiver::url).collect();
        bad.push(NAMELESS.to_owned());
        let good: Vec<_> = (0..bad.len()).map(|n| receivers[0].url_of(n)).collect();
        let ids = stage.subscribe(good.iter().cloned().map(Subscription::to).collect()).await?;
        Ok(Self { ids, good, bad, _receivers: receivers })
    }

    /// Points them elsewhere; what they were owed until now is cancelled.
    async fn turn(&self, stage: &Stage, is_bad: bool) -> Result<(), Problem> {
        for (id, url) in self.ids.iter().zip(if is_bad { &self.bad } else { &self.good }) {
            let requests = vec![
                request("POST", &format!("/endpoints/{id}/disable"), "{}"),
                request("PATCH", &format!("/endpoints/{id}"), &json!({"url": url}).to_string()),
                request("POST", &format!("/endpoints/{id}/enable"), r#"{"from":"now"}"#),
            ];
            load::send_all(stage.server.address(), 1, requests).await?;
        }
        Ok(())
    }
}

impl Isolation {
    pub async fn run(&self, place: &Place) -> Result<Vec<Figure>, Problem> {
        let stage = Stage::set(place, EXPERIMENTS).await?;
        let fickle = Fickle::subscribe(&stage).await?;
        let others = self.endpoints.saturating_sub(fickle.ids.len());
        stage.subscribe_receiver(others).await?;
        let saturation = self.saturate(&stage, others).await?;
        let rate = saturation / 2.0 / self.endpoints as f64;
        println!(
            "{} endpoints, saturation {saturation:.0} deliveries/s; {rate:.1} changes/s from here",
            self.endpoints
        );
        let mut ratios = Vec::new();
        for round in 1..=self.rounds {
            fickle.turn(&stage, false).await?;
            let without = self.phase(&stage, rate, others).await?;
            fickle.turn(&stage, true).await?;
            let with = self.phase(&stage, rate, others).await?;
            without.print(&format!("round {round}, without bad ones"));
            with.print(&format!("round {round}, with bad ones   "));
            ratios.push(with.at(0.99) / without.at(0.99));
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let median = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
        let name = format!(
            "{} endpoints at half of saturation: p99 of the others with a refused, a black-holed, a nameless and a slow one, against without; median of {}",
            self.endpoints, self.rounds
        );
        Ok(vec![
            Figure::of(
                format!("saturation with {} endpoints", self.endpoints),
                saturation,
                " deliveries/s",
                Goal::None,
            ),
            Figure::of(name, median, " ×", Goal::AtMost(1.2)),
        ])
    }

    async fn saturate(&self, stage: &Stage, others: usize) -> Result<f64, Problem> {
        let start = load::now();
        let until = Until::Passed(SATURATION);
        let accepted = load::closed_loop(stage.server.address(), &stage.experiments, CONNECTIONS, until).await?;
        let last = stage.wait_for_arrivals(accepted.answered.len() * others).await?;
        stage.receiver.take_arrivals();
        Ok((accepted.answered.len() * self.endpoints) as f64 / (last - start).as_secs_f64())
    }

    /// From request to receipt at the others.
    async fn phase(&self, stage: &Stage, rate: f64, others: usize) -> Result<Measured, Problem> {
        let changes = (rate * f64::from(self.seconds)).max(1.0) as usize;
        let goal = stage.arrived() + changes * others;
        let exchanges = load::open_loop(stage.server.address(), &stage.experiments, CONNECTIONS, rate, changes).await?;
        stage.wait_for_arrivals(goal).await?;
        let intended: HashMap<(i64, i64), Instant> =
            exchanges.iter().map(|exchange| ((exchange.experiment_id, exchange.revision), exchange.intended)).collect();
        let delay = |arrival: &bellwether_bench::receiver::Arrival| {
            Some(arrival.at - *intended.get(&(arrival.experiment_id, arrival.revision))?)
        };
        Ok(Measured::of(stage.receiver.take_arrivals().iter().filter_map(delay).collect()))
    }
}
