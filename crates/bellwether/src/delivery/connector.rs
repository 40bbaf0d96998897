//! Connections for the HTTP client: look up and vet, connect or ask the proxy, TLS. Each connection holds one of the
//! lane's permits for as long as it lives, so that no receiver makes their number grow.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::answer::ErrorClass;
use super::dial::dial;
use super::outbound::Outbound;
use super::proxy::{self, Destination};
use crate::config::Proxy;

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    pub class: ErrorClass,
    pub message: String,
}

pub fn failed(class: ErrorClass, message: impl Into<String>) -> ConnectError {
    ConnectError { class, message: message.into() }
}

/// Makes the connections of one lane.
#[derive(Clone)]
pub struct Connector {
    outbound: Outbound,
    permits: Arc<Semaphore>,
}

/// What a URL says about whom to connect to.
struct Target<'u> {
    uri: &'u Uri,
    /// Without brackets.
    host: &'u str,
    port: u16,
    is_tls: bool,
}

impl<'u> Target<'u> {
    fn of(uri: &'u Uri) -> Result<Self, ConnectError> {
        let host = uri.host().ok_or_else(|| failed(ErrorClass::Request, "the URL names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = uri.scheme_str() == Some("https");
        Ok(Self { uri, host, port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }), is_tls })
    }
}

/// The time that is left for all that comes before the request.
#[derive(Clone, Copy)]
struct Allowance {
    whole: Duration,
    ends_at: Instant,
}

impl Allowance {
    async fn within<T>(
        self,
        class: ErrorClass,
        doing: &str,
        phase: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let ended = tokio::time::timeout_at(self.ends_at, phase).await;
        ended.unwrap_or_else(|_| {
            let seconds = self.whole.as_secs_f64();
            Err(failed(class, format!("no connection within {seconds} s; the time was up while {doing}")))
        })
    }
}

impl Connector {
    pub fn with_limit(outbound: Outbound, most_connections: usize) -> Self {
        Self { outbound, permits: Arc::new(Semaphore::new(most_connections)) }
    }

    async fn connect(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let whole = self.outbound.timeouts.connect;
        let allowance = Allowance { whole, ends_at: Instant::now() + whole };
        let target = Target::of(uri)?;
        let free = async {
            let permit = self.permits.clone().acquire_owned().await;
            permit.map_err(|error| failed(ErrorClass::Connect, error.to_string()))
        };
        let permit =
            allowance.within(ErrorClass::TimeoutConnect, "waiting for another connection to end", free).await?;
        let tcp = match &self.outbound.proxy {
            None => self.direct(&target, allowance).await?,
            Some(proxy) => self.through(proxy, &target, allowance).await?,
        };
        if !target.is_tls {
            return Ok(Stream { io: TokioIo::new(Box::new(tcp)), is_h2: false, _permit: permit });
        }
        let handshake = self.handshake(&target, tcp);
        let tls = allowance.within(ErrorClass::TimeoutTls, "waiting for the TLS handshake", handshake).await?;
        let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Stream { io: TokioIo::new(Box::new(tls)), is_h2, _permit: permit })
    }

    async fn vetted(&self, target: &Target<'_>, allowance: Allowance) -> Result<Vec<SocketAddr>, ConnectError> {
        let looking = self.outbound.guard.vetted(target.host, target.is_tls);
        let addresses = allowance.within(ErrorClass::TimeoutDns, "looking up the name", looking).await?;
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, target.port)).collect())
    }

    async fn direct(&self, target: &Target<'_>, allowance: Allowance) -> Result<TcpStream, ConnectError> {
        let addresses = self.vetted(target, allowance).await?;
        let connecting = async { dial(addresses).await.map_err(|error| failed(ErrorClass::Connect, error)) };
        allowance.within(ErrorClass::TimeoutConnect, "connecting", connecting).await
    }

    /// The target is looked up and vetted here and the proxy is told the address, unless the operator leaves that to it.
    async fn through(
        &self,
        proxy: &Proxy,
        target: &Target<'_>,
        allowance: Allowance,
    ) -> Result<TcpStream, ConnectError> {
        let destinations = if self.outbound.proxy_resolves && target.host.parse::<std::net::IpAddr>().is_err() {
            self.outbound.guard.vet_unresolved(&target.uri.to_string())?;
            vec![Destination::Name(target.host.to_owned(), target.port)]
        } else {
            self.vetted(target, allowance).await?.into_iter().map(Destination::Address).collect()
        };
        let asking = async {
            let mut last = failed(ErrorClass::Proxy, "there is no address to ask the proxy for");
            for destination in destinations {
                match self.ask(proxy, &destination).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => {
                        let message = format!("the proxy {} port {}: {error}", proxy.host, proxy.port);
                        last = failed(ErrorClass::Proxy, message);
                    }
                }
            }
            Err(last)
        };
        allowance.within(ErrorClass::TimeoutProxy, "waiting for the proxy", asking).await
    }

    async fn ask(&self, proxy: &Proxy, destination: &Destination) -> Result<TcpStream, String> {
        let addresses = self.outbound.guard.resolve(&proxy.host).await?;
        let mut stream = dial(addresses.into_iter().map(|address| SocketAddr::new(address, proxy.port))).await?;
        let asked = proxy::open(proxy, &mut stream, destination).await;
        asked.map(|()| stream).map_err(|error| format!("asked for {destination}, {error}"))
    }

    async fn handshake(
        &self,
        target: &Target<'_>,
        tcp: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
        let name = ServerName::try_from(target.host.to_owned())
            .map_err(|_| failed(ErrorClass::Request, format!("{} cannot be in a certificate", target.host)))?;
        let connected = TlsConnector::from(self.outbound.tls.clone()).connect(name, tcp).await;
        connected.map_err(|error| failed(ErrorClass::Tls, error.to_string()))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, plain or in TLS.
pub struct Stream {
    io: TokioIo<Box<dyn Duplex>>,
    is_h2: bool,
    _permit: OwnedSemaphorePermit,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        if self.is_h2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}
