//! The measurements.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether_bench::Problem;
use bellwether_bench::api::Api;
use bellwether_bench::receiver::Receiver;
use bellwether_bench::server::Server;
use bellwether_webhook::Secret;
use serde_json::json;
use tokio::task::JoinSet;

use crate::report;

/// More experiments than connections, so that order per experiment does not serialize what is measured.
const EXPERIMENTS: usize = 256;
/// For what was accepted to arrive, after the load has ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);

pub struct Bench {
    _server: Server,
    api: Api,
    receiver: Receiver,
    experiments: Arc<[i64]>,
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the machine's clock")]
fn now() -> Instant {
    Instant::now()
}

impl Bench {
    /// A server with one endpoint and some experiments, whose events have arrived.
    pub async fn start(program: &Path, data: &Path, database_url: Option<&str>) -> Result<Self, Problem> {
        let secret = Secret::parse("a secret for measuring")?;
        let receiver = Receiver::start(&secret).await?;
        let server = Server::start(program, data, database_url)?;
        let api = server.api();
        api.post("/endpoints", &json!({"url": receiver.url(), "secret": secret.text()})).await?;
        let mut experiments = Vec::new();
        for i in 0..EXPERIMENTS {
            experiments.push(api.create_experiment(&format!("bench-{i}")).await?);
        }
        let bench = Self { _server: server, api, receiver, experiments: experiments.into() };
        bench.wait_for(EXPERIMENTS).await?;
        Ok(bench)
    }

    /// Waits until `count` deliveries have come.
    async fn wait_for(&self, count: usize) -> Result<(), Problem> {
        let mut counted = self.receiver.count();
        let arrived = tokio::time::timeout(DRAIN_TIMEOUT, counted.wait_for(|there| *there >= count)).await;
        match arrived {
            Ok(Ok(_)) => Ok(()),
            _ => Err(format!(
                "{} of {count} arrived; refused: {:?}",
                *self.receiver.count().borrow(),
                self.receiver.refused().first()
            )
            .into()),
        }
    }

    /// A closed loop: each connection sends its next change when the last is answered.
    pub async fn changes(&self, connections: usize, seconds: u64) -> Result<(), Problem> {
        let accepted = Arc::new(AtomicU64::new(0));
        let start = now();
        let end = start + Duration::from_secs(seconds);
        let mut tasks = JoinSet::new();
        for connection in 0..connections {
            let (api, experiments, accepted) = (self.api.clone(), self.experiments.clone(), accepted.clone());
            tasks.spawn(async move {
                let mut answered = Vec::new();
                let mut turn = 0;
                while now() < end {
                    let experiment = experiments[(connection + turn * connections) % experiments.len()];
                    let sent = now();
                    api.change_experiment(experiment, &format!("{connection}-{turn}")).await?;
                    answered.push(now() - sent);
                    accepted.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
                Ok::<_, Problem>(answered)
            });
        }
        let mut answered = Vec::new();
        while let Some(task) = tasks.join_next().await {
            answered.extend(task??);
        }
        let took = now() - start;
        let accepted = usize::try_from(accepted.load(Ordering::Relaxed))?;
        let arrived = *self.receiver.count().borrow() - EXPERIMENTS;
        println!(
            "accepted: {accepted} in {took:.2?} over {connections} connections: {:.0} changes/s",
            accepted as f64 / took.as_secs_f64()
        );
        println!("delivered meanwhile: {arrived} ({:.0} %)", 100.0 * arrived as f64 / accepted as f64);
        report::percentiles("from request to answer", answered);
        self.wait_for(EXPERIMENTS + accepted).await?;
        println!("all delivered {:.2?} after the last was accepted", now() - start - took);
        Ok(())
    }

    /// An open loop: changes go out by the clock, whether or not the earlier ones are answered.
    pub async fn latency(&self, rate: u32, seconds: u64) -> Result<(), Problem> {
        let total = usize::try_from(u64::from(rate) * seconds)?;
        let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
        let mut tasks = JoinSet::new();
        for i in 0..total {
            clock.tick().await;
            let (api, experiment) = (self.api.clone(), self.experiments[i % self.experiments.len()]);
            tasks.spawn(async move {
                let sent = now();
                let revision = api.change_experiment(experiment, &i.to_string()).await?;
                Ok::<_, Problem>(((experiment, revision), sent, now()))
            });
        }
        let mut sent = HashMap::new();
        while let Some(task) = tasks.join_next().await {
            let (change, sent_at, answered_at) = task??;
            sent.insert(change, (sent_at, answered_at));
        }
        self.wait_for(EXPERIMENTS + total).await?;
        let arrivals = self.receiver.arrivals();
        let of_change = |arrival: &bellwether_bench::receiver::Arrival| {
            sent.get(&(arrival.experiment_id, arrival.revision)).map(|times| (*times, arrival.at))
        };
        let measured: Vec<_> = arrivals.iter().filter_map(of_change).collect();
        println!("{} changes at {rate}/s", measured.len());
        report::percentiles(
            "from request to answer",
            measured.iter().map(|((sent, answered), _)| *answered - *sent).collect(),
        );
        report::percentiles("from request to receipt", measured.iter().map(|((sent, _), at)| *at - *sent).collect());
        let beyond = measured.iter().map(|((_, answered), at)| at.saturating_duration_since(*answered)).collect();
        report::percentiles("from answer to receipt (0: the receiver was first)", beyond);
        Ok(())
    }
}
