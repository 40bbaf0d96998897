//! Asking a proxy for a way to a destination: HTTP `CONNECT`, and SOCKS5 (RFC 1928, 1929). Once it agrees, the stream
//! leads to the destination. Vets nothing: the destination was vetted, and the proxy is the operator's.

use std::net::{IpAddr, SocketAddr};
use std::{fmt, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::settings::{Proxy, ProxyCredentials, ProxyProtocol};

/// No more of a proxy's answer to `CONNECT` is read.
const MOST_READ: usize = 8 * 1024;
/// No more of what a proxy says is shown.
const MOST_SHOWN: usize = 100;

/// Where the proxy is to connect to.
#[derive(Debug, Clone)]
pub enum Destination {
    Address(SocketAddr),
    Name(String, u16),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("it closed the connection, or the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("it answered {0}")]
    Refused(String),
    #[error("it does not accept the user and password of outbound_proxy")]
    Credentials,
    #[error("it does not speak the protocol: {0}; check the scheme and port of outbound_proxy")]
    Protocol(&'static str),
}

/// Asks for a way to `destination` on a fresh connection to the proxy.
pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    proxy: &Proxy,
    stream: &mut S,
    destination: &Destination,
) -> Result<(), ProxyError> {
    match proxy.protocol {
        ProxyProtocol::Http => connect(stream, proxy.credentials.as_ref(), destination).await,
        ProxyProtocol::Socks5 => {
            authenticate(stream, proxy.credentials.as_ref()).await?;
            socks5(stream, destination).await
        }
    }
}

async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: Option<&ProxyCredentials>,
    destination: &Destination,
) -> Result<(), ProxyError> {
    let mut request = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n");
    if let Some(ProxyCredentials { user, password }) = credentials {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        request.push_str(&format!("Proxy-Authorization: Basic {encoded}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;

    let mut answer = Vec::with_capacity(512);
    let end = loop {
        if let Some(at) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        if answer.len() >= MOST_READ {
            return Err(ProxyError::Protocol("its answer has no end"));
        }
        let mut some = [0; 512];
        match stream.read(&mut some).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            length => answer.extend_from_slice(&some[..length]),
        }
    };
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split_once(' ')).map(|(_, status)| status);
    match status {
        Some(status) if status.starts_with("407") => Err(ProxyError::Credentials),
        Some(status) if !status.starts_with('2') => Err(ProxyError::Refused(status.chars().take(MOST_SHOWN).collect())),
        // Neither HTTP nor TLS lets the destination speak first: what follows would be the proxy's own.
        Some(_) if end < answer.len() => Err(ProxyError::Protocol("its answer goes on where the way should be open")),
        Some(_) => Ok(()),
        None => Err(ProxyError::Protocol("its answer is not HTTP/1")),
    }
}

const SOCKS5: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;

async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: Option<&ProxyCredentials>,
) -> Result<(), ProxyError> {
    let methods: &[u8] =
        if credentials.is_some() { &[SOCKS5, 2, NO_AUTHENTICATION, PASSWORD] } else { &[SOCKS5, 1, NO_AUTHENTICATION] };
    stream.write_all(methods).await?;
    let [version, method] = read(stream).await?;
    if version != SOCKS5 {
        return Err(ProxyError::Protocol("its answer is not SOCKS5"));
    }
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => Ok(()),
        (PASSWORD, Some(ProxyCredentials { user, password })) => {
            let mut request = vec![1];
            for text in [user, password] {
                request.push(u8::try_from(text.len()).map_err(|_| ProxyError::Credentials)?);
                request.extend_from_slice(text.as_bytes());
            }
            stream.write_all(&request).await?;
            let [_, status] = read(stream).await?;
            if status == 0 { Ok(()) } else { Err(ProxyError::Credentials) }
        }
        _ => Err(ProxyError::Credentials),
    }
}

async fn socks5<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    destination: &Destination,
) -> Result<(), ProxyError> {
    const CONNECT: u8 = 1;
    const RESERVED: u8 = 0;
    const IPV4: u8 = 1;
    const NAME: u8 = 3;
    const IPV6: u8 = 4;
    let mut request = vec![SOCKS5, CONNECT, RESERVED];
    let port = match destination {
        Destination::Address(address) => {
            match address.ip() {
                IpAddr::V4(ip) => request.extend([&[IPV4][..], &ip.octets()].concat()),
                IpAddr::V6(ip) => request.extend([&[IPV6][..], &ip.octets()].concat()),
            }
            address.port()
        }
        Destination::Name(name, port) => {
            let length = u8::try_from(name.len()).map_err(|_| ProxyError::Protocol("the name is too long for it"))?;
            request.extend([&[NAME, length][..], name.as_bytes()].concat());
            *port
        }
    };
    request.extend(port.to_be_bytes());
    stream.write_all(&request).await?;

    let [version, reply, _, kind] = read(stream).await?;
    if version != SOCKS5 {
        return Err(ProxyError::Protocol("its answer is not SOCKS5"));
    }
    if reply != 0 {
        return Err(ProxyError::Refused(socks5_reply(reply)));
    }
    // The address it connects from is of no use, but stands before what the destination says.
    let rest = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(read::<1, _>(stream).await?[0]),
        _ => return Err(ProxyError::Protocol("its answer has an unknown kind of address")),
    };
    let mut bound = [0; 255 + 2];
    stream.read_exact(&mut bound[..rest + 2]).await?;
    Ok(())
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> Result<[u8; N], io::Error> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn socks5_reply(code: u8) -> String {
    let meaning = match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "too many hops",
        7 => "command not supported",
        8 => "kind of address not supported",
        _ => "an unknown reply",
    };
    format!("{code} ({meaning})")
}
