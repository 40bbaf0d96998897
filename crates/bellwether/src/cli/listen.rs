//! `bellwether listen`, for development: prints webhooks as they come, verified or refused and why, and can be told to fail
//! or to be slow, so that retries can be watched; or, with `--forward-to`, has a server's events come to a program here
//! (`forwarding`).

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bellwether_webhook::Secret;
use http::StatusCode;
use jiff::SignedDuration;

use super::forwarding::Forwarding;
use super::receiver::{Behaviour, Received, Receiver};
use crate::domain::signing::secret_from;

/// Receive webhooks, verify them and print them; or pass a server's events on to a program, as webhooks
#[derive(Debug, clap::Args)]
pub struct Listen {
    /// An endpoint's secret, as Bellwether shows it; with --forward-to one is made if none is given
    #[arg(long, env = "BELLWETHER_SECRET", hide_env_values = true, value_parser = secret)]
    secret: Option<Secret>,
    /// Print each as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    receiving: Receiving,
    #[command(flatten)]
    forwarding: Forwarding,
}

/// Where webhooks are received, and how they are answered.
#[derive(Debug, clap::Args)]
struct Receiving {
    /// The port to listen on
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Answer this instead of 204, like 503
    #[arg(long, value_name = "CODE")]
    status: Option<StatusCode>,
    /// Fail this many requests (with --status, else 503), then recover
    #[arg(long, value_name = "N")]
    fail_first: Option<u64>,
    /// Wait before every answer, like 2s or 500ms
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = delay)]
    delay: Duration,
}

impl Listen {
    /// Until Ctrl-C, or until there is no going on.
    pub async fn run(self) -> Result<(), String> {
        match (self.forwarding.is_asked_for(), self.secret) {
            (true, secret) => self.forwarding.run(secret, self.json).await,
            (false, Some(secret)) => self.receiving.run(&secret, self.json).await,
            (false, None) => Err("--secret is missing; give the endpoint's, as its creation showed it, or have a server's events come with --forward-to".to_owned()),
        }
    }
}

impl Receiving {
    async fn run(self, secret: &Secret, is_json: bool) -> Result<(), String> {
        let behaviour = Behaviour { status: self.status, fail_first: self.fail_first, delay: self.delay };
        let address = SocketAddr::new(self.host, self.port);
        let receiver = Receiver::start(address, secret, behaviour, move |received| print(&received, is_json)).await;
        let receiver = receiver.map_err(|error| format!("cannot listen on {address}: {error}; try another --port"))?;
        eprintln!("listening on http://{}/ (any path); Ctrl-C ends it", receiver.address());
        tokio::signal::ctrl_c().await.map_err(|error| format!("cannot wait for Ctrl-C: {error}"))?;
        receiver.stop().await;
        Ok(())
    }
}

fn print(received: &Received, is_json: bool) {
    let line = if is_json { received.to_json().to_string() } else { received.to_string() };
    // Whoever closed the pipe has seen enough; the sender still gets its answer.
    let _ = writeln!(io::stdout(), "{line}");
}

fn secret(text: &str) -> Result<Secret, String> {
    // As an endpoint's is: one that the server refuses would verify nothing here.
    secret_from(Some(text), [0; 32]).map_err(|refusal| refusal.to_string())
}

fn delay(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time to wait; write it like 2s, 500ms or 1m");
    text.parse::<SignedDuration>().map_err(|_| wrong()).and_then(|span| span.try_into().map_err(|_| wrong()))
}
