//! One connection of HTTP/1.1 (RFC 9112): a request goes out whole, its answer comes in, and the next may follow. The head is
//! read by `httparse`; what stands here is how an answer's end is told, and whether the connection can be used again. Knows
//! nothing of names, TLS, limits of time, or what an answer means.
//!
//! It is driven by whoever waits for the answer: no task of its own, and nothing between the two but the socket.

mod framing;
mod lenient;

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU16, Ordering};

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::coop::unconstrained;

use super::slots::Slot;
use super::stream::Stream;
use framing::{Framed, Framing};

/// The most that heads may have together, interim answers' included, and in headers each.
const MOST_HEAD: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;
/// What is kept of the headers.
const MOST_SHOWN: usize = 4 * 1024;
const BUFFER: usize = 4096;
/// Kept from one exchange to the next.
const LARGEST_KEPT_BUFFER: usize = 16 * 1024;

/// Why no status came.
#[derive(Debug)]
pub enum Failure {
    /// The connection ended or broke. `is_unanswered`: before any byte of an answer.
    Broken {
        error: io::Error,
        is_unanswered: bool,
    },
    Malformed(String),
}

/// A status, and what else a head tells.
#[derive(Debug)]
pub struct Head {
    pub code: u16,
    pub retry_after: Option<String>,
    /// The headers as they came, a line for each; the first of them, where they are many.
    pub headers: String,
    /// `None`: there is no body.
    framing: Option<Framing>,
    is_kept: bool,
}

pub struct Connection {
    stream: Stream,
    /// What came and is not used yet.
    buffer: Vec<u8>,
    /// There was an exchange on it before.
    is_reused: bool,
    /// Held while the connection is there.
    _slot: Slot,
}

impl Connection {
    pub fn over(stream: Stream, slot: Slot) -> Self {
        Self { stream, buffer: Vec::with_capacity(BUFFER), is_reused: false, _slot: slot }
    }

    /// Whether a connection that waited can be used: its other side has neither ended it nor said anything unasked.
    pub fn is_usable(&mut self) -> bool {
        // A lane polls many requests at a time: its task's budget may be used up, and reading would then pend unasked.
        self.buffer.is_empty() && unconstrained(self.fill()).now_or_never().is_none()
    }

    /// Sends a request, and reads the head of its answer. The status decides as soon as it can be read, whatever follows;
    /// `seen` holds it from then on, for whoever has no more time to wait for the rest.
    pub async fn ask(&mut self, request: &[u8], seen: &AtomicU16) -> Result<Head, Failure> {
        let sent = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await
        };
        let sent = sent.await;
        match self.head(seen).await {
            // Who refuses a request may close before all of it is sent, and the answer is there all the same.
            Ok(head) => Ok(Head { is_kept: head.is_kept && sent.is_ok(), ..head }),
            Err(Failure::Broken { error, is_unanswered }) => {
                Err(Failure::Broken { error: sent.err().unwrap_or(error), is_unanswered })
            }
            Err(malformed) => Err(malformed),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(BUFFER);
        self.stream.read_buf(&mut self.buffer).await
    }

    async fn head(&mut self, status_seen: &AtomicU16) -> Result<Head, Failure> {
        let (mut passed, mut is_unanswered) = (0, true);
        loop {
            let seen = self.buffer.len();
            let broken = match self.fill().await {
                Ok(0) => {
                    Some(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed before a status came"))
                }
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = broken {
                let is_fresh_garbage = !self.is_reused && !lenient::may_be_answer(&self.buffer);
                return lenient::parse(&self.buffer).ok_or_else(|| match is_fresh_garbage {
                    true => Failure::Malformed(self.no_answer("")),
                    false => Failure::Broken { error, is_unanswered },
                });
            }
            is_unanswered = false;
            // Only the end of a line can end a head: what drips in is not read again and again.
            if !self.buffer[seen..].contains(&b'\n') && passed + self.buffer.len() <= MOST_HEAD {
                continue;
            }
            while let Some((head, used)) = self.parse()? {
                self.buffer.drain(..used);
                if !is_interim(head.code) {
                    return Ok(head);
                }
                passed += used;
            }
            let partial = lenient::parse(&self.buffer);
            if passed + self.buffer.len() > MOST_HEAD {
                let message = format!("the head of the answer has more than {MOST_HEAD} bytes");
                return partial.ok_or(Failure::Malformed(message));
            }
            if let Some(head) = partial {
                status_seen.store(head.code, Ordering::Relaxed);
            }
        }
    }

    /// The head at the beginning of what came, and how many bytes it has; `None` while it is not whole.
    fn parse(&self) -> Result<Option<(Head, usize)>, Failure> {
        match parse(&self.buffer) {
            Ok(parsed) => Ok(parsed),
            Err(error) => match lenient::parse(&self.buffer) {
                // Nothing behind it can be told apart: all of it is used up, and the connection with it.
                Some(head) => Ok(Some((head, self.buffer.len()))),
                // What stands at the head of a connection that was used before is left from that time, and no answer.
                None if self.is_reused => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, self.no_answer(""));
                    Err(Failure::Broken { error, is_unanswered: true })
                }
                None => Err(Failure::Malformed(self.no_answer(&format!(" ({error})")))),
            },
        }
    }

    fn no_answer(&self, why: &str) -> String {
        format!("the answer is not HTTP{why}; it begins with {}", lenient::beginning(&self.buffer))
    }

    /// Reads the body behind `head` into `body`, and at most `limit` bytes of it.
    pub async fn read_body(&mut self, head: &mut Head, body: &mut Vec<u8>, limit: usize) {
        // Bytes as they come count, whatever of them is body.
        let mut received = self.buffer.len();
        while let Some(framing) = &mut head.framing {
            let taken = framing.take(&self.buffer, body);
            let Ok(taken) = taken else { break };
            self.buffer.drain(..taken.used);
            if taken.is_all {
                head.framing = None;
                break;
            }
            if body.len() >= limit || received >= limit {
                break;
            }
            match self.fill().await {
                Ok(more @ 1..) => received += more,
                _ => break,
            }
        }
        body.truncate(limit);
    }

    /// The same as far as it has come already; `false` if there is more.
    pub fn take_body(&mut self, head: &mut Head, body: &mut Vec<u8>, limit: usize) -> bool {
        self.read_body(head, body, limit).now_or_never().is_some()
    }

    /// The connection, if it can be used for another request after the answer with this head.
    pub fn kept(mut self, head: &Head) -> Option<Self> {
        if !head.is_kept || head.framing.is_some() || !self.buffer.is_empty() {
            return None;
        }
        if self.buffer.capacity() > LARGEST_KEPT_BUFFER {
            self.buffer = Vec::with_capacity(BUFFER);
        }
        self.is_reused = true;
        Some(self)
    }
}

const fn is_interim(code: u16) -> bool {
    100 <= code && code < 200 && code != 101
}

/// The head at the beginning of `bytes`, and how many of them it has; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, httparse::Error> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let used = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers)? {
        httparse::Status::Complete(used) => used,
        httparse::Status::Partial => return Ok(None),
    };
    let code = response.code.unwrap_or_default();
    let headers: &[httparse::Header<'_>] = response.headers;
    let is_persistent = response.version == Some(1);
    let Framed { framing, is_trusted } = Framed::of(code, is_persistent, headers);
    let retry_after = values(headers, "retry-after").next();
    let says = |word: &str| tokens(headers, "connection").any(|token| token.eq_ignore_ascii_case(word));
    let head = Head {
        code,
        retry_after: retry_after.and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned),
        headers: lines(headers),
        is_kept: is_trusted && code != 101 && if is_persistent { !says("close") } else { says("keep-alive") },
        framing,
    };
    Ok(Some((head, used)))
}

fn lines(headers: &[httparse::Header<'_>]) -> String {
    let mut lines = String::new();
    for header in headers {
        let value = String::from_utf8_lossy(header.value);
        if lines.len() + header.name.len() + value.len() > MOST_SHOWN {
            break;
        }
        for part in [header.name, ": ", &*value, "\n"] {
            lines.push_str(part);
        }
    }
    lines
}

fn values<'h>(headers: &'h [httparse::Header<'h>], name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// What stands between the commas of all headers of a name. One that is no text is not passed over, lest what stands in others
/// is all there is.
fn tokens<'h>(headers: &'h [httparse::Header<'h>], name: &'h str) -> impl Iterator<Item = &'h str> {
    let texts = values(headers, name).map(|value| std::str::from_utf8(value).unwrap_or("?"));
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests;
