//! The ways in which receivers fail their senders, at the level of TCP.

use std::io;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a receiver says that has no objections.
pub const ACCEPTED: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// How far apart the bytes of a slow-drip body are.
const DRIP_INTERVAL: Duration = Duration::from_millis(500);
/// What a gzip bomb unpacks to; it is sent in a thousandth of that.
const BOMB_SIZE: u64 = 100 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Misbehaviour {
    /// Answers, but so late.
    Slow(Duration),
    /// Nobody listens at the port.
    Refuse,
    /// Takes the request in and never answers.
    BlackHole,
    /// Sends its answer's body a byte at a time.
    SlowDrip,
    /// Never comes to the end of its answer's body.
    EndlessBody,
    /// Answers with a small body that unpacks to a large one.
    GzipBomb,
    /// Ends the connection by a reset.
    Reset,
    /// Says something before the request that is no TLS, and no HTTP either.
    BadTls,
    /// Sends the sender elsewhere.
    Redirect,
    /// 410: wants no more.
    Gone,
    /// 429, with the seconds to wait.
    TooManyRequests(u32),
    Status(u16),
}

impl FromStr for Misbehaviour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = text.split_once('=').unwrap_or((text, ""));
        let wrong = |_| format!("'{text}' needs a number, as in '{name}=10'");
        Ok(match name {
            "slow" => Self::Slow(Duration::from_millis(number.parse().map_err(wrong)?)),
            "refuse" => Self::Refuse,
            "black-hole" => Self::BlackHole,
            "slow-drip" => Self::SlowDrip,
            "endless-body" => Self::EndlessBody,
            "gzip-bomb" => Self::GzipBomb,
            "reset" => Self::Reset,
            "bad-tls" => Self::BadTls,
            "redirect" => Self::Redirect,
            "gone" => Self::Gone,
            "too-many" => Self::TooManyRequests(number.parse().map_err(wrong)?),
            "status" => Self::Status(number.parse().map_err(wrong)?),
            _ => {
                return Err("give slow=MS, refuse, black-hole, slow-drip, endless-body, gzip-bomb, reset, bad-tls, \
                            redirect, gone, too-many=SECONDS or status=CODE"
                    .to_owned());
            }
        })
    }
}

impl Misbehaviour {
    /// What is done to a connection instead of answering the request that came over it. `true`: it can go on.
    pub async fn answer(self, stream: &mut TcpStream) -> io::Result<bool> {
        match self {
            Self::Slow(delay) => {
                tokio::time::sleep(delay).await;
                stream.write_all(ACCEPTED).await?;
            }
            // The sender gives up first, and that is when reading ends.
            Self::Refuse | Self::BlackHole => while stream.read(&mut [0; 1024]).await? > 0 {},
            Self::SlowDrip => drip(stream).await?,
            Self::EndlessBody => pour(stream).await?,
            Self::GzipBomb => bomb(stream).await?,
            Self::Reset => stream.set_zero_linger()?,
            Self::BadTls => stream.write_all(b"good day\r\n").await?,
            Self::Redirect => status(stream, 302, "location: http://127.0.0.1:1/elsewhere\r\n").await?,
            Self::Gone => status(stream, 410, "").await?,
            Self::TooManyRequests(seconds) => status(stream, 429, &format!("retry-after: {seconds}\r\n")).await?,
            Self::Status(code) => status(stream, code, "").await?,
        }
        Ok(matches!(
            self,
            Self::Slow(_) | Self::Redirect | Self::Gone | Self::TooManyRequests(_) | Self::Status(_) | Self::GzipBomb
        ))
    }
}

async fn status(stream: &mut TcpStream, code: u16, headers: &str) -> io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {code} -\r\n{headers}content-length: 0\r\n\r\n").as_bytes()).await
}

async fn drip(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
    loop {
        stream.write_all(b".").await?;
        tokio::time::sleep(DRIP_INTERVAL).await;
    }
}

async fn pour(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    let chunk = [b"4000\r\n".as_slice(), &[b'.'; 0x4000], b"\r\n"].concat();
    loop {
        stream.write_all(&chunk).await?;
    }
}

fn packed() -> io::Result<Vec<u8>> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    io::copy(&mut io::Read::take(io::repeat(0), BOMB_SIZE), &mut packed)?;
    packed.finish()
}

async fn bomb(stream: &mut TcpStream) -> io::Result<()> {
    // Packing takes a while, and all are alike.
    static PACKED: OnceLock<Vec<u8>> = OnceLock::new();
    let packed = match PACKED.get() {
        Some(packed) => packed,
        None => {
            let made = packed()?;
            PACKED.get_or_init(|| made)
        }
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(packed).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_name() {
        assert_eq!("slow=10".parse(), Ok(Misbehaviour::Slow(Duration::from_millis(10))));
        assert_eq!("too-many=3".parse(), Ok(Misbehaviour::TooManyRequests(3)));
        assert_eq!("status=500".parse(), Ok(Misbehaviour::Status(500)));
        assert_eq!("gone".parse(), Ok(Misbehaviour::Gone));
        assert!("slow".parse::<Misbehaviour>().unwrap_err().contains("slow=10"));
        assert!("mood".parse::<Misbehaviour>().unwrap_err().contains("black-hole"));
    }
}
