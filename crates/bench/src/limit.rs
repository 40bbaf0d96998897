//! The bare-POST limit: signed webhooks from a sender that stores nothing, to the same fast receiver. What is left of it
//! once a sender keeps its promises is what is measured elsewhere.

use std::time::Duration;

use bellwether_bench::load::now;
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_bench::wire::Connection;
use bellwether_bench::{Problem, process};
use bellwether_webhook::{Secret, Signer};
use clap::Args;
use tokio::task::JoinSet;

use crate::report::{Figure, Goal};

/// By this name others find the figure, to compare themselves.
pub const NAME: &str = "bare signed POSTs, nothing stored";

#[derive(Args)]
pub struct Limit {
    /// Kept connections, each with one request under way
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// What a sender must do for every webhook: sign it both ways and write it down.
struct BareSender {
    signer: Signer,
    sent: u64,
}

impl BareSender {
    fn request(&mut self) -> Vec<u8> {
        self.sent += 1;
        let data = bellwether_webhook::data(self.sent % 1000, "bench-experiment", None);
        let signature = self.signer.sign_data(data.as_bytes());
        let body = bellwether_webhook::body("experiment.configuration.updated", &data, &signature);
        let (id, timestamp) = (format!("evt_{:026}", self.sent), 1_795_420_800);
        let signature = self.signer.sign_message(&id, timestamp, body.as_bytes());
        let (revision, length) = (self.sent / 1000 + 1, body.len());
        format!(
            "POST /hooks/0 HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nuser-agent: Bellwether/0.1.0\r\n\
             webhook-id: {id}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: {signature}\r\n\
             bellwether-revision: {revision}\r\nbellwether-attempt: 1\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

impl Limit {
    pub async fn run(&self) -> Result<Vec<Figure>, Problem> {
        let receiver = Receiver::start(&Options::default())?;
        let before = process::processor_time(std::process::id())?;
        let (start, length) = (now(), Duration::from_secs(self.seconds));
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            let mut connection = Connection::to(receiver.address()).await?;
            let mut sender = BareSender { signer: Signer::new(&Secret::parse("a secret for measuring")?), sent: 0 };
            tasks.spawn(async move {
                while start.elapsed() < length {
                    connection.exchange(&sender.request()).await?.into_success()?;
                }
                Ok::<_, Problem>(sender.sent)
            });
        }
        let mut sent = 0;
        while let Some(task) = tasks.join_next().await {
            sent += task??;
        }
        let rate = sent as f64 / start.elapsed().as_secs_f64();
        let used = process::processor_time(std::process::id())?.saturating_sub(before);
        let each = used.as_secs_f64() * 1e6 / sent as f64;
        println!(
            "bare signed POSTs over {} connections: {rate:.0}/s, {each:.1} µs of processor each",
            self.connections
        );
        Ok(vec![Figure::of(NAME, rate, "/s", Goal::None)])
    }
}
