//! The program that events are forwarded to: one after another, each until it is answered, or was tried often enough.
//! What is sent is made by what sends to endpoints.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bellwether_webhook::Secret;
use tokio::sync::mpsc;

use super::logged::Logged;
use super::outcome::Outcome;
use crate::delivery::transport::answer::Answer;
use crate::delivery::transport::client::{Client, Credentials, MessageKey, Target};
use crate::delivery::transport::error::ErrorClass;
use crate::delivery::transport::outbound::Outbound;
use crate::domain::clock::Clock;

/// Time for a program to be started again.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

pub struct Program {
    client: Client,
    clock: Arc<dyn Clock>,
    is_json: bool,
}

impl Program {
    pub fn at(
        url: &str,
        secret: &Secret,
        outbound: &Outbound,
        clock: Arc<dyn Clock>,
        is_json: bool,
    ) -> Result<Self, String> {
        let key = MessageKey { secret: secret.clone(), signing_key: None, until: None };
        let target = Target {
            url: super::checked(url)?.to_string(),
            max_in_flight: 1,
            headers: Vec::new(),
            credentials: Credentials { body: secret.clone(), message: vec![key] },
            chat: None,
            tls: None,
        };
        let client = Client::connect(target, outbound).map_err(|error| error.to_string())?;
        Ok(Self { client, clock, is_json })
    }

    /// Until there are no more.
    pub async fn take(&self, mut queue: mpsc::Receiver<Logged>) {
        while let Some(event) = queue.recv().await {
            self.forward(&event).await;
        }
    }

    async fn forward(&self, event: &Logged) {
        for attempt in 1.. {
            let (at, began) = (self.clock.now(), self.clock.monotonic());
            let answer = self.client.send(&event.message(attempt), at).await;
            let took = self.clock.monotonic().saturating_sub(began);
            let again_in = pause_after(&answer, attempt);
            self.print(&Outcome { at, event, attempt, answer: &answer, took, again_in });
            match again_in {
                Some(pause) => self.clock.sleep(pause).await,
                None => return,
            }
        }
    }

    fn print(&self, outcome: &Outcome<'_>) {
        let line = if self.is_json { outcome.to_json().to_string() } else { outcome.to_string() };
        // Whoever closed the pipe has seen enough; the program still gets its events.
        let _ = writeln!(io::stdout(), "{line}");
    }
}

/// How long to wait before the same event is sent again; `None`: it is not. A program that has seen it has had its turn.
fn pause_after(answer: &Answer, attempt: u32) -> Option<Duration> {
    let is_unseen = matches!(
        answer.class()?,
        ErrorClass::Dns
            | ErrorClass::TimeoutDns
            | ErrorClass::Connect
            | ErrorClass::TimeoutConnect
            | ErrorClass::TimeoutTls
            | ErrorClass::Exchange
            | ErrorClass::LocalLimit
    );
    let attempt = usize::try_from(attempt).ok()?;
    is_unseen.then(|| PAUSES.get(attempt.checked_sub(1)?).copied()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_sent_again_a_few_times_and_what_was_answered_is_not() {
        let refused = Answer::failed(ErrorClass::Connect, "refused");
        let pauses: Vec<_> = (1..).map_while(|attempt| pause_after(&refused, attempt)).collect();
        assert_eq!(pauses, PAUSES);
        let status = |code| Answer::Status { code, retry_after: None, headers: String::new(), body: String::new() };
        for answer in [status(204), status(500), Answer::failed(ErrorClass::TimeoutAnswer, "slow")] {
            assert_eq!(pause_after(&answer, 1), None, "{answer:?}");
        }
    }
}
