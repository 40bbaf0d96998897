//! `bellwether listen --forward-to`: a server's events come to a program that the server cannot reach. They are read from the
//! event log's stream, signed here, and sent as the webhooks that an endpoint would get, in the log's order.
//!
//! The server knows nothing of it: no endpoint is made, and nothing is recorded of what the program answers.

mod logged;
mod messages;
mod outcome;
mod program;
mod subscription;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_webhook::{EventType, Secret};
use jiff::SignedDuration;
use tokio::sync::mpsc;
use url::Url;

use crate::delivery::transport::outbound::Outbound;
use crate::delivery::transport::settings::OutboundSettings;
use crate::domain::address::AddressPolicy;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::Format;
use crate::domain::id::Ids;
use crate::domain::signing::secret_from;
use crate::platform::clock::SystemClock;
use crate::platform::ids::RandomIds;
use program::Program;
use subscription::Subscription;

/// Events that were read and wait for their turn. The server waits with more.
const QUEUE: usize = 64;

/// Whose events are forwarded, which of them, and where to.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Instead of receiving")]
pub struct Forwarding {
    /// Send a server's events to this URL, signed as webhooks; no endpoint is made
    #[arg(long, value_name = "URL", conflicts_with_all = ["port", "host", "status", "fail_first", "delay"])]
    forward_to: Option<String>,
    /// The server
    #[arg(long, value_name = "URL", env = "BELLWETHER_URL", default_value = "http://127.0.0.1:7070")]
    server: String,
    /// A key of the server; the role read is enough
    #[arg(long, env = "BELLWETHER_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Only events of these names, with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "forward_to")]
    events: Vec<EventType>,
    /// Only events of this experiment: its number, or key: and its key
    #[arg(long, requires = "forward_to")]
    experiment: Option<String>,
    /// Begin with what has happened since a time (2026-03-01T09:30:00Z), or for how long (90m)
    #[arg(long, value_name = "TIME", requires = "forward_to")]
    replay_since: Option<Since>,
    /// How data is written, as for an endpoint: eppo or detailed
    #[arg(long, default_value = "eppo", value_parser = format, requires = "forward_to")]
    format: Format,
    /// Certificate authorities that are trusted beside the web's (PEM)
    #[arg(long, value_name = "FILE", requires = "forward_to")]
    ca_file: Option<PathBuf>,
}

/// A moment, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    At(Timestamp),
    Ago(Duration),
}

impl Since {
    fn as_of(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.minus(ago),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let ago = text.parse::<SignedDuration>().ok().and_then(|ago| ago.try_into().ok());
        let wrong = "it is no time; write one like 2026-03-01T09:30:00Z, or how long ago it was, like 2h or 90m";
        ago.map(Self::Ago).ok_or_else(|| wrong.to_owned())
    }
}

fn format(text: &str) -> Result<Format, String> {
    let known = [Format::Eppo, Format::Detailed].into_iter().find(|format| format.as_str() == text);
    known.ok_or_else(|| "eppo and detailed are allowed".to_owned())
}

impl Forwarding {
    pub fn is_asked_for(&self) -> bool {
        self.forward_to.is_some()
    }

    /// Until Ctrl-C, or until the server has nothing more to say to us.
    pub async fn run(self, secret: Option<Secret>, is_json: bool) -> Result<(), String> {
        let clock = Arc::new(SystemClock::start());
        let key = self.key.as_deref().filter(|key| !key.is_empty());
        let key =
            key.ok_or("--key is missing; give a key of the server, whose role may be read, or set BELLWETHER_KEY")?;
        let outbound = self.outbound(clock.clone())?;
        let server = with_scheme(&self.server);
        let subscription = Subscription::to(&server, &self.query(clock.now()), key, outbound.clone())
            .map_err(|reason| format!("--server: {reason}"))?;
        let target = with_scheme(self.forward_to.as_deref().unwrap_or_default());
        let is_made = secret.is_none();
        let secret = match secret {
            Some(secret) => secret,
            None => {
                let fresh = RandomIds::with_clock(clock.clone()).secret_bytes();
                secret_from(None, fresh).map_err(|refusal| refusal.to_string())?
            }
        };
        let program = Program::at(&target, &secret, &outbound, clock, is_json)
            .map_err(|reason| format!("--forward-to: {reason}"))?;

        let begun = || {
            if is_made {
                eprintln!("signing with {}; give it to the program, or its own secret with --secret", secret.text());
            }
            eprintln!("forwarding the events of {server} to {target}; Ctrl-C ends it");
        };
        let (sender, queue) = mpsc::channel(QUEUE);
        // What was read before the stream ended is forwarded all the same.
        let forwarding = async { tokio::join!(subscription.follow(sender, begun), program.take(queue)).0 };
        tokio::select! {
            reason = forwarding => Err(reason),
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|error| format!("cannot wait for Ctrl-C: {error}")),
        }
    }

    /// What is asked of the stream.
    fn query(&self, now: Timestamp) -> String {
        let types: Vec<_> = self.events.iter().map(|event| event.as_str()).collect();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("format", self.format.as_str()).append_pair("types", &types.join(","));
        if let Some(experiment) = &self.experiment {
            query.append_pair("experiment", experiment);
        }
        if let Some(since) = self.replay_since {
            query.append_pair("since", &since.as_of(now).to_string());
        }
        query.finish()
    }

    /// To any address: both are named by whoever runs this, and are as near as may be.
    fn outbound(&self, clock: Arc<dyn Clock>) -> Result<Outbound, String> {
        let settings = OutboundSettings { ca_file: self.ca_file.clone(), ..OutboundSettings::default() };
        let outbound = Outbound::from_settings(&settings, anywhere()?, clock);
        outbound.map_err(|error| format!("--ca-file: {error}"))
    }
}

fn anywhere() -> Result<AddressPolicy, String> {
    let allow_networks = ["0.0.0.0/0", "::/0"].into_iter().map(str::parse).collect::<Result<_, _>>()?;
    Ok(AddressPolicy { allow_networks, allow_http: true })
}

/// A URL of whoever runs this, held to what an endpoint's is held to.
fn checked(url: &str) -> Result<Url, String> {
    let has_credentials = Url::parse(url).is_ok_and(|url| !url.username().is_empty() || url.password().is_some());
    if has_credentials {
        return Err("it has a user name or password in it, which is not sent; leave them out".to_owned());
    }
    anywhere()?.vet_url(url)
}

/// `localhost:3000/hooks` is what people write.
fn with_scheme(url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_credentials_is_refused_without_advice_that_nobody_can_follow() {
        let refused = checked("http://me:secret@localhost:3000/").unwrap_err();
        assert!(refused.contains("leave them out") && !refused.contains("headers"), "{refused}");
        assert!(checked("http://localhost:3000/").is_ok());
    }

    #[test]
    fn a_time_is_given_as_such_or_by_how_long_ago_it_was() {
        let now: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let since = |text: &str| text.parse::<Since>().map(|since| since.as_of(now).to_string());
        assert_eq!(since("2026-03-01T09:30:00Z").unwrap(), "2026-03-01T09:30:00Z");
        assert_eq!(since("90m").unwrap(), "2026-03-01T22:30:00Z");
        for text in ["", "-2h", "yesterday", "2026-03-01"] {
            assert!(since(text).unwrap_err().contains("like 2026-03-01T09:30:00Z"), "{text}");
        }
    }

    #[test]
    fn a_url_may_be_given_without_its_scheme() {
        assert_eq!(with_scheme("localhost:3000/hooks"), "http://localhost:3000/hooks");
        assert_eq!(with_scheme("https://bellwether.example"), "https://bellwether.example");
    }
}
