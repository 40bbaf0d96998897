//! From request, and from its answer, to receipt, at fixed rates: open loops.

use std::collections::HashMap;

use bellwether_bench::Problem;
use bellwether_bench::load::{self, Exchange};
use bellwether_bench::receiver::Arrival;
use clap::Args;

use crate::report::{Figure, Goal, Measured};
use crate::stage::{Place, Stage};

const EXPERIMENTS: usize = 256;
/// From here on a rate is judged as the high one.
const HIGH_RATE: f64 = 1000.0;

#[derive(Args)]
pub struct Latency {
    /// Changes per second, one after the other
    #[arg(long, value_delimiter = ',', default_values_t = [100.0, 1000.0])]
    rates: Vec<f64>,
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

impl Latency {
    pub async fn run(&self, place: &Place) -> Result<Vec<Figure>, Problem> {
        let stage = Stage::set(place, EXPERIMENTS).await?;
        stage.subscribe_receiver(1).await?;
        let mut figures = Vec::new();
        for rate in &self.rates {
            figures.extend(self.at(*rate, &stage).await?);
        }
        Ok(figures)
    }

    async fn at(&self, rate: f64, stage: &Stage) -> Result<Vec<Figure>, Problem> {
        let total = (rate * f64::from(self.seconds)) as usize;
        let goal = stage.arrived() + total;
        let exchanges =
            load::open_loop(stage.server.address(), &stage.experiments, self.connections, rate, total).await?;
        stage.wait_for_arrivals(goal).await?;
        println!("{total} changes at {rate}/s");
        let of =
            |duration: fn(&Exchange) -> std::time::Duration| Measured::of(exchanges.iter().map(duration).collect());
        of(|exchange| exchange.sent - exchange.intended).print("the generator's own delay, counted below");
        of(|exchange| exchange.answered - exchange.intended).print("from request to answer");
        let arrivals = stage.receiver.take_arrivals();
        let received = matched(&exchanges, &arrivals);
        let whole = Measured::of(received.iter().map(|(exchange, arrival)| arrival.at - exchange.intended).collect());
        let beyond =
            |(exchange, arrival): &(&Exchange, &Arrival)| arrival.at.saturating_duration_since(exchange.answered);
        let beyond = Measured::of(received.iter().map(beyond).collect());
        whole.print("from request to receipt");
        beyond.print("from answer to receipt (0: the receiver was first)");
        let figure = |name, value, goal| Figure::of(format!("{rate}/s: {name}"), value, " ms", goal);
        Ok(if rate < HIGH_RATE {
            vec![
                figure("from accepted to received, p50", beyond.at(0.5), Goal::AtMost(1.0)),
                figure("from accepted to received, p99", beyond.at(0.99), Goal::AtMost(5.0)),
                figure("from request to received, p50", whole.at(0.5), Goal::None),
                figure("from request to received, p99", whole.at(0.99), Goal::None),
            ]
        } else {
            vec![
                figure("from request to received, p50", whole.at(0.5), Goal::None),
                figure("from request to received, p99", whole.at(0.99), Goal::AtMost(12.0)),
            ]
        })
    }
}

/// Each change with its first arrival.
fn matched<'a>(exchanges: &'a [Exchange], arrivals: &'a [Arrival]) -> Vec<(&'a Exchange, &'a Arrival)> {
    let mut first = HashMap::new();
    for arrival in arrivals {
        first.entry((arrival.experiment_id, arrival.revision)).or_insert(arrival);
    }
    let of = |exchange: &'a Exchange| Some((exchange, *first.get(&(exchange.experiment_id, exchange.revision))?));
    exchanges.iter().filter_map(of).collect()
}
