//! HTTP/1.1 at its thinnest, over kept connections: so that what is measured is the server, not the tool around it.
//! It reads messages that are whole, with a length or in chunks, and knows nothing of TLS, proxies or upgrades.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use httparse::{EMPTY_HEADER, Header};

/// More headers than this in a message are an error.
pub const MOST_HEADERS: usize = 64;
const FIRST_BUFFER: usize = 4096;

/// A request as it came. `used` bytes of the buffer were its.
pub struct Request<'b, 'h> {
    pub path: &'b str,
    pub headers: &'h [Header<'b>],
    pub body: Cow<'b, [u8]>,
    pub used: usize,
}

/// A value of a header, by its lower-case name.
pub fn header<'b>(headers: &[Header<'b>], name: &str) -> Option<&'b str> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The first request in `bytes`; `None` while it is not whole.
pub fn request<'b, 'h>(bytes: &'b [u8], headers: &'h mut [Header<'b>]) -> io::Result<Option<Request<'b, 'h>>> {
    let mut parsed = httparse::Request::new(headers);
    let httparse::Status::Complete(head) = parsed.parse(bytes).map_err(invalid)? else { return Ok(None) };
    let (path, headers) = (parsed.path.unwrap_or("/"), &*parsed.headers);
    let body = body(&bytes[head..], headers)?;
    Ok(body.map(|(body, length)| Request { path, headers, body, used: head + length }))
}

/// A body and how many bytes it took; `None` while it is not whole.
fn body<'b>(bytes: &'b [u8], headers: &[Header<'b>]) -> io::Result<Option<(Cow<'b, [u8]>, usize)>> {
    if header(headers, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Ok(chunks(bytes)?.map(|(body, length)| (Cow::Owned(body), length)));
    }
    let length = header(headers, "content-length").map_or(Ok(0), str::parse).map_err(invalid)?;
    Ok(bytes.get(..length).map(|body| (Cow::Borrowed(body), length)))
}

fn chunks(bytes: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let size = httparse::parse_chunk_size(&bytes[at..]).map_err(|_| invalid("a chunk without a size"))?;
        let httparse::Status::Complete((head, size)) = size else { return Ok(None) };
        let size = usize::try_from(size).map_err(invalid)?;
        // Two bytes end each chunk, and the last one too: trailers are not read.
        let Some(chunk) = bytes.get(at + head..at + head + size + 2) else { return Ok(None) };
        at += head + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

/// An answer to a request.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, if the status is a success.
    pub fn into_success(self) -> Result<Vec<u8>, crate::Problem> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        Err(format!("answered {}: {}", self.status, String::from_utf8_lossy(&self.body)).into())
    }
}

/// The first answer in `bytes` and how many of them it took; `None` while it is not whole.
fn answer(bytes: &[u8]) -> io::Result<Option<(Answer, usize)>> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(bytes).map_err(invalid)? else { return Ok(None) };
    let status = parsed.code.unwrap_or_default();
    let body = body(&bytes[head..], parsed.headers)?;
    Ok(body.map(|(body, length)| (Answer { status, body: body.into_owned() }, head + length)))
}

/// A kept connection, with one request under way at a time.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(FIRST_BUFFER) })
    }

    /// Sends a request, which must be whole, and waits for its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((answer, used)) = answer(&self.buffer)? {
                self.buffer.drain(..used);
                return Ok(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, String, usize)> {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let request = request(text.as_bytes(), &mut headers).unwrap()?;
        Some((request.path.to_owned(), String::from_utf8(request.body.into_owned()).unwrap(), request.used))
    }

    #[test]
    fn a_request_is_read_when_it_is_whole_and_not_before() {
        let text = "POST /hooks/7 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), None, "{end}");
        }
        assert_eq!(parse(&format!("{text}POST")), Some(("/hooks/7".into(), "hello".into(), text.len())));
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        let text = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), None, "{end}");
        }
        assert_eq!(parse(text), Some(("/".into(), "hello".into(), text.len())));
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        assert!(request(b"\x16\x03\x01 nonsense\r\n\r\n", &mut headers).is_err());
        assert!(request(b"POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n", &mut headers).is_err());
    }
}
