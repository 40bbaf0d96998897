//! Making connections: look up and vet, connect or ask the proxy, TLS. How many there are, and what goes over them, is not
//! decided here.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::Url;

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

/// Makes connections to one target.
pub struct Connector {
    outbound: Outbound,
    target: Target,
}

/// What a URL says about whom to connect to.
struct Target {
    url: String,
    /// Without brackets.
    host: String,
    port: u16,
    is_tls: bool,
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
    /// `None`: the URL names no host.
    pub fn to(url: &Url, outbound: Outbound) -> Option<Self> {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = url.scheme() == "https";
        let port = url.port_or_known_default()?;
        Some(Self { outbound, target: Target { url: url.to_string(), host, port, is_tls } })
    }

    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        let whole = self.outbound.timeouts.connect;
        let allowance = Allowance { whole, ends_at: Instant::now() + whole };
        let tcp = match &self.outbound.proxy {
            None => self.direct(allowance).await?,
            Some(proxy) => self.through(proxy, allowance).await?,
        };
        if !self.target.is_tls {
            return Ok(Connected { stream: Box::new(tcp), is_h2: false });
        }
        let handshake = self.handshake(tcp);
        let tls = allowance.within(ErrorClass::TimeoutTls, "waiting for the TLS handshake", handshake).await?;
        let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { stream: Box::new(tls), is_h2 })
    }

    async fn vetted(&self, allowance: Allowance) -> Result<Vec<SocketAddr>, ConnectError> {
        let Target { host, port, is_tls, .. } = &self.target;
        let looking = self.outbound.guard.vetted(host, *is_tls);
        let addresses = allowance.within(ErrorClass::TimeoutDns, "looking up the name", looking).await?;
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, *port)).collect())
    }

    async fn direct(&self, allowance: Allowance) -> Result<TcpStream, ConnectError> {
        let addresses = self.vetted(allowance).await?;
        let connecting = async { dial(addresses).await.map_err(|error| failed(ErrorClass::Connect, error)) };
        allowance.within(ErrorClass::TimeoutConnect, "connecting", connecting).await
    }

    /// The target is looked up and vetted here and the proxy is told the address, unless the operator leaves that to it.
    async fn through(&self, proxy: &Proxy, allowance: Allowance) -> Result<TcpStream, ConnectError> {
        let Target { url, host, port, .. } = &self.target;
        let destinations = if self.outbound.proxy_resolves && host.parse::<std::net::IpAddr>().is_err() {
            self.outbound.guard.vet_unresolved(url)?;
            vec![Destination::Name(host.clone(), *port)]
        } else {
            self.vetted(allowance).await?.into_iter().map(Destination::Address).collect()
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

    async fn handshake(&self, tcp: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
        let host = &self.target.host;
        let name = ServerName::try_from(host.clone())
            .map_err(|_| failed(ErrorClass::Request, format!("{host} cannot be in a certificate")))?;
        let connected = TlsConnector::from(self.outbound.tls.clone()).connect(name, tcp).await;
        connected.map_err(|error| failed(ErrorClass::Tls, error.to_string()))
    }
}

pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, plain or in TLS.
pub type Stream = Box<dyn Duplex>;

/// What came of connecting.
pub struct Connected {
    pub stream: Stream,
    /// Both sides agreed on HTTP/2.
    pub is_h2: bool,
}
