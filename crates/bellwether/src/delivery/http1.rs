//! One connection of HTTP/1.1 (RFC 9112): a request goes out whole, its answer comes in, and the next may follow. The head is
//! read by `httparse`; what stands here is how an answer's end is told, and whether the connection can be used again. Knows
//! nothing of names, TLS, limits of time, or what an answer means.
//!
//! It is driven by whoever waits for the answer: no task of its own, and nothing between the two but the socket.

mod framing;

use std::io;
use std::mem::MaybeUninit;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::coop::unconstrained;

use super::connector::Stream;
use framing::Framing;

/// The most that heads may have together, interim answers' included, and in headers each.
const MOST_HEAD: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;
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
    /// `None`: there is no body.
    framing: Option<Framing>,
    is_kept: bool,
}

pub struct Connection {
    stream: Stream,
    /// What came and is not used yet.
    buffer: Vec<u8>,
}

impl Connection {
    pub fn over(stream: Stream) -> Self {
        Self { stream, buffer: Vec::with_capacity(BUFFER) }
    }

    /// Whether a connection that waited can be used: its other side has neither ended it nor said anything unasked.
    pub fn is_usable(&mut self) -> bool {
        // A lane polls many requests at a time: its task's budget may be used up, and reading would then pend unasked.
        self.buffer.is_empty() && unconstrained(self.fill()).now_or_never().is_none()
    }

    /// Sends a request, and reads the head of its answer.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Head, Failure> {
        let sent = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await
        };
        let sent = sent.await;
        match self.head().await {
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

    async fn head(&mut self) -> Result<Head, Failure> {
        let (mut passed, mut is_unanswered) = (0, true);
        loop {
            let seen = self.buffer.len();
            match self.fill().await {
                Ok(0) => {
                    let ended = "the connection was closed before a status came";
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, ended);
                    return Err(Failure::Broken { error, is_unanswered });
                }
                Ok(_) => is_unanswered = false,
                Err(error) => return Err(Failure::Broken { error, is_unanswered }),
            }
            // Only the end of a line can end a head: what drips in is not read again and again.
            if !self.buffer[seen..].contains(&b'\n') && passed + self.buffer.len() <= MOST_HEAD {
                continue;
            }
            while let Some((head, used)) = parse(&self.buffer)? {
                self.buffer.drain(..used);
                if !is_interim(head.code) {
                    return Ok(head);
                }
                passed += used;
            }
            if passed + self.buffer.len() > MOST_HEAD {
                return Err(Failure::Malformed(format!("the head of the answer has more than {MOST_HEAD} bytes")));
            }
        }
    }

    /// Reads the body behind `head` into `body`, and at most `limit` bytes of it.
    pub async fn read_body(&mut self, head: &mut Head, body: &mut Vec<u8>, limit: usize) {
        while let Some(framing) = &mut head.framing {
            let taken = framing.take(&self.buffer, body);
            let Ok(taken) = taken else { break };
            self.buffer.drain(..taken.used);
            if taken.is_all {
                head.framing = None;
                break;
            }
            if body.len() >= limit || !matches!(self.fill().await, Ok(1..)) {
                break;
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
        Some(self)
    }
}

const fn is_interim(code: u16) -> bool {
    100 <= code && code < 200 && code != 101
}

/// The head at the beginning of `bytes`, and how many of them it has; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Failure> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let used = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Failure::Malformed(format!("the answer is not HTTP: {error}"))),
    };
    let code = response.code.unwrap_or_default();
    let headers: &[httparse::Header<'_>] = response.headers;
    let framing = Framing::of(code, headers).map_err(Failure::Malformed)?;
    let retry_after = values(headers, "retry-after").next();
    let is_persistent = response.version == Some(1);
    let says = |word: &str| tokens(headers, "connection").any(|token| token.eq_ignore_ascii_case(word));
    let head = Head {
        code,
        retry_after: retry_after.and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned),
        is_kept: if is_persistent { !says("close") } else { says("keep-alive") } && code != 101,
        framing,
    };
    Ok(Some((head, used)))
}

fn values<'h>(headers: &'h [httparse::Header<'h>], name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// What stands between the commas of all headers of a name.
fn tokens<'h>(headers: &'h [httparse::Header<'h>], name: &'h str) -> impl Iterator<Item = &'h str> {
    let texts = values(headers, name).filter_map(|value| std::str::from_utf8(value).ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests;
