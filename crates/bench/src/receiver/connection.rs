//! One connection of the receiver: requests in, notes in the ledger, answers out, one after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bellwether_webhook::{Event, Secret, Verifier, header, verify_body_signature};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Options;
use super::ledger::{Arrival, Ledger};
use super::misbehaviour::{ACCEPTED, Misbehaviour};
use crate::Problem;
use crate::wire::{self, EMPTY_HEADER, MOST_HEADERS, Request};

const REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
const BUFFER: usize = 8192;

/// What all connections of a receiver share.
pub struct Desk {
    pub ledger: Arc<Ledger>,
    pub count: watch::Sender<usize>,
    pub silence: watch::Receiver<bool>,
    verification: Option<(Verifier, Secret)>,
    misbehaviour: Option<(Misbehaviour, f64)>,
    requests: AtomicU64,
    keeps_ledger: bool,
}

impl Desk {
    pub fn set_up(
        options: &Options,
        ledger: Arc<Ledger>,
        count: watch::Sender<usize>,
        silence: watch::Receiver<bool>,
    ) -> Self {
        Self {
            ledger,
            count,
            silence,
            verification: options.secret.as_ref().map(|secret| (Verifier::new(secret), secret.clone())),
            misbehaviour: options.misbehaviour.map(|misbehaviour| (misbehaviour, options.share)),
            requests: AtomicU64::new(0),
            keeps_ledger: options.keeps_ledger,
        }
    }

    /// The misbehaviour that is this request's turn: an even share of all, the same in every run.
    fn misbehaviour(&self) -> Option<Misbehaviour> {
        let (misbehaviour, share) = self.misbehaviour?;
        let turn = self.requests.fetch_add(1, Ordering::Relaxed) as f64;
        ((turn * share).floor() < ((turn + 1.0) * share).floor()).then_some(misbehaviour)
    }

    #[expect(clippy::disallowed_methods, reason = "a measurement reads the machine's clock")]
    fn read(&self, request: &Request) -> Result<Arrival, Problem> {
        let at = Instant::now();
        let endpoint = request.path.rsplit('/').next().and_then(|last| last.parse().ok()).unwrap_or(0);
        let Some((verifier, secret)) = &self.verification else {
            let revision = wire::header(request.headers, header::REVISION).and_then(|text| text.parse().ok());
            let experiment_id = number_after(&request.body, b"\"experiment_id\":").unwrap_or(0);
            return Ok(Arrival { id: String::new(), endpoint, experiment_id, revision: revision.unwrap_or(0), at });
        };
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let webhook = verifier.verify(|name| wire::header(request.headers, name), &request.body, now)?;
        verify_body_signature(&request.body, secret)?;
        let Event::Experiment(event) = webhook.event else { return Err("not an event of an experiment".into()) };
        let revision = webhook.revision.ok_or_else(|| format!("no {}", header::REVISION))?;
        Ok(Arrival {
            id: webhook.id,
            endpoint,
            experiment_id: i64::try_from(event.experiment_id)?,
            revision: i64::try_from(revision)?,
            at,
        })
    }

    /// Notes a request, and says what to answer.
    fn note(&self, request: &Request) -> &'static [u8] {
        match self.read(request) {
            Ok(arrival) => {
                if self.keeps_ledger {
                    self.ledger.note(arrival);
                }
                self.count.send_modify(|count| *count += 1);
                ACCEPTED
            }
            Err(reason) => {
                self.ledger.note_refused(reason.to_string());
                REFUSED
            }
        }
    }
}

/// The number that follows `name`, which must stand once.
pub fn number_after(text: &[u8], name: &[u8]) -> Option<i64> {
    let at = memchr::memmem::find(text, name)? + name.len();
    let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[at..at + digits]).ok()?.parse().ok()
}

/// Serves a connection until its other side ends it, or breaks it: that is the sender's to mend.
pub async fn serve(mut stream: TcpStream, desk: Arc<Desk>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some((Misbehaviour::BadTls, _)) = desk.misbehaviour {
        return Misbehaviour::BadTls.answer(&mut stream).await.map(drop);
    }
    let mut silence = desk.silence.clone();
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let Some(request) = wire::request(&buffer, &mut headers)? else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let answer = match desk.misbehaviour() {
            Some(misbehaviour) => Err(misbehaviour),
            None => Ok(desk.note(&request)),
        };
        let used = request.used;
        buffer.drain(..used);
        // It fails only if the receiver is gone, and then nobody waits for the answer.
        let _ = silence.wait_for(|is_silent| !is_silent).await;
        match answer {
            Ok(answer) => stream.write_all(answer).await?,
            Err(misbehaviour) => {
                if !misbehaviour.answer(&mut stream).await? {
                    return Ok(());
                }
            }
        }
    }
}
