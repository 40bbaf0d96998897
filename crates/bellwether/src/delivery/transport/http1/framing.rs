//! How the end of an answer's body is told (RFC 9112, section 6.3), and taking the body out of what comes.

use super::{tokens, values};

const TRANSFER_ENCODING: &str = "transfer-encoding";
/// The longest line before a chunk, and all that may stand behind the last one.
const LONGEST_LINE: usize = 4096;

#[derive(Debug)]
pub enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunks(Chunk),
    /// Until the connection is closed, and so never known to be whole.
    ToTheEnd,
}

/// What comes next of a body in chunks.
#[derive(Debug)]
pub enum Chunk {
    Size,
    Data(u64),
    /// The end of the line behind a chunk.
    DataEnd,
    /// Behind the last chunk: headers, of which so many bytes have come, and an empty line.
    Trailers(usize),
}

/// What was done with some bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub used: usize,
    /// The body has come to its end.
    pub is_all: bool,
}

/// The body is not framed as it was said to be.
#[derive(Debug)]
pub struct Broken;

/// How a body is framed, and whether what is said about it can be trusted: where it cannot, nobody knows what comes next on
/// the connection.
pub struct Framed {
    /// `None`: there is no body, or none that could be read.
    pub framing: Option<Framing>,
    pub is_trusted: bool,
}

impl Framed {
    pub fn of(code: u16, is_http11: bool, headers: &[httparse::Header<'_>]) -> Self {
        let length = length(headers);
        let is_chunked = is_chunked(headers);
        let has_body = is_chunked.is_some() || !matches!(length, Ok(None | Some(0)));
        if matches!(code, 100..=199 | 204 | 304) {
            // It has no body whatever it says; who says otherwise may send one later. A 304 tells of another's.
            return Self { framing: None, is_trusted: code == 304 || !has_body };
        }
        match (is_chunked, length) {
            (Some(is_chunked), length) => {
                let framing = if is_chunked { Framing::Chunks(Chunk::Size) } else { Framing::ToTheEnd };
                let is_known = values(headers, TRANSFER_ENCODING).all(<[u8]>::is_ascii);
                Self { framing: Some(framing), is_trusted: is_http11 && is_known && matches!(length, Ok(None)) }
            }
            (None, Ok(None)) => Self { framing: Some(Framing::ToTheEnd), is_trusted: true },
            (None, Ok(Some(0))) => Self { framing: None, is_trusted: true },
            (None, Ok(Some(length))) => Self { framing: Some(Framing::Length(length)), is_trusted: true },
            (None, Err(Broken)) => Self { framing: None, is_trusted: false },
        }
    }
}

/// Whether the last coding of the body is that in chunks; `None`: none is told. In a header that has other bytes than a coding's
/// name can have, nobody finds one.
fn is_chunked(headers: &[httparse::Header<'_>]) -> Option<bool> {
    let last = values(headers, TRANSFER_ENCODING).last()?;
    let coding = tokens(headers, TRANSFER_ENCODING).last();
    Some(last.is_ascii() && coding.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")))
}

/// `None`: none is told. Broken if nobody can tell how long the body is.
fn length(headers: &[httparse::Header<'_>]) -> Result<Option<u64>, Broken> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| is_number).ok_or(Broken)
    };
    let mut lengths = tokens(headers, "content-length").map(number);
    let Some(first) = lengths.next().transpose()? else { return Ok(None) };
    // Told twice, it is the same number, however it is written.
    if lengths.all(|other| other.is_ok_and(|other| other == first)) { Ok(Some(first)) } else { Err(Broken) }
}

impl Framing {
    /// Takes what it can of `bytes` into `body`.
    pub fn take(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<Taken, Broken> {
        match self {
            Self::ToTheEnd => {
                body.extend_from_slice(bytes);
                Ok(Taken { used: bytes.len(), is_all: false })
            }
            Self::Length(left) => {
                let used = take_some(left, bytes, body);
                Ok(Taken { used, is_all: *left == 0 })
            }
            Self::Chunks(chunk) => {
                let mut used = 0;
                loop {
                    let (step, is_all) = chunk.step(&bytes[used..], body)?;
                    used += step;
                    if is_all || step == 0 {
                        return Ok(Taken { used, is_all });
                    }
                }
            }
        }
    }
}

impl Chunk {
    /// Goes on by one part, if it is there whole: how many bytes that took, and whether it was the last.
    fn step(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<(usize, bool), Broken> {
        match self {
            Self::Size => match httparse::parse_chunk_size(bytes) {
                Ok(httparse::Status::Complete((used, size))) => {
                    *self = if size == 0 { Self::Trailers(0) } else { Self::Data(size) };
                    Ok((used, false))
                }
                Ok(httparse::Status::Partial) if bytes.len() <= LONGEST_LINE => Ok((0, false)),
                _ => Err(Broken),
            },
            Self::Data(left) => {
                let used = take_some(left, bytes, body);
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                Ok((used, false))
            }
            Self::DataEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    *self = Self::Size;
                    Ok((2, false))
                }
                [] | [b'\r'] => Ok((0, false)),
                _ => Err(Broken),
            },
            Self::Trailers(seen) => match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    *seen += end + 1;
                    let is_empty = matches!(&bytes[..end], [] | [b'\r']);
                    if *seen > LONGEST_LINE { Err(Broken) } else { Ok((end + 1, is_empty)) }
                }
                None if *seen + bytes.len() <= LONGEST_LINE => Ok((0, false)),
                None => Err(Broken),
            },
        }
    }
}

fn take_some(left: &mut u64, bytes: &[u8], body: &mut Vec<u8>) -> usize {
    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    body.extend_from_slice(&bytes[..used]);
    *left -= used as u64;
    used
}
