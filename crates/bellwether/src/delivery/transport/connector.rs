//! Making connections: look up and vet, connect or ask the proxy, TLS. How many there are, and what goes over them, is not
//! decided here.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::dial::{DialError, dial};
use super::error::{ConnectError, ErrorClass, failed};
use super::outbound::Outbound;
use super::proxy::{self, Destination};
use super::resolver::{self, Unresolved};
use super::settings::Proxy;
use super::slots::Slot;
use super::stream::Stream;
use crate::domain::clock::Clock;

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
    /// Whose certificate is asked for; `None`: there is no TLS.
    tls_name: Option<ServerName<'static>>,
}

/// The time that is left for all that comes before the request.
#[derive(Clone, Copy)]
struct Allowance<'a> {
    clock: &'a dyn Clock,
    whole: Duration,
    ends_at: Duration,
}

impl Allowance<'_> {
    async fn within<T>(
        self,
        class: ErrorClass,
        doing: &str,
        phase: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let left = self.ends_at.saturating_sub(self.clock.monotonic());
        let ended = tokio::time::timeout(left, phase).await;
        ended.unwrap_or_else(|_| {
            let seconds = self.whole.as_secs_f64();
            Err(failed(class, format!("no connection within {seconds} s; the time was up while {doing}")))
        })
    }
}

impl Connector {
    /// All that connecting needs is made here already; an error says what cannot be.
    pub fn to(url: &Url, outbound: Outbound) -> Result<Self, String> {
        let host = url.host_str().ok_or("it names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().filter(|port| *port > 0).ok_or("port 0 cannot be connected to")?;
        if host.parse::<IpAddr>().is_err() {
            resolver::check(&host).map_err(|error| format!("the host '{host}' cannot be looked up: {error}"))?;
        }
        let tls_name = (url.scheme() == "https").then(|| ServerName::try_from(host.clone())).transpose();
        let tls_name = tls_name.map_err(|_| format!("the host '{host}' cannot be in a certificate"))?;
        Ok(Self { outbound, target: Target { url: url.to_string(), host, port, tls_name } })
    }

    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    pub fn is_tls(&self) -> bool {
        self.target.tls_name.is_some()
    }

    /// `is_http1`: HTTP/2 is not offered.
    pub async fn connect(&self, is_http1: bool) -> Result<Connected, ConnectError> {
        let allowance = self.allowance();
        let slot = async {
            let shortage = || failed(ErrorClass::LocalLimit, "this process is ending");
            self.outbound.slots.take().await.ok_or_else(shortage)
        };
        let slot =
            allowance.within(ErrorClass::LocalLimit, "waiting for one of this server's connections", slot).await?;
        let tcp = match &self.outbound.proxy {
            None => self.direct(allowance).await?,
            Some(proxy) => self.through(proxy, allowance).await?,
        };
        let Some(name) = self.target.tls_name.clone() else {
            return Ok(Connected { stream: Box::new(tcp), slot, is_h2: false });
        };
        let handshake = async {
            let connector = TlsConnector::from(self.outbound.tls.offering(is_http1));
            connector.connect(name, tcp).await.map_err(|error| failed(ErrorClass::Tls, error.to_string()))
        };
        let tls = allowance.within(ErrorClass::TimeoutTls, "waiting for the TLS handshake", handshake).await?;
        let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { stream: Box::new(tls), slot, is_h2 })
    }

    /// Looks the target up and vets what is found, as is done before connecting.
    pub async fn vet(&self) -> Result<(), ConnectError> {
        if self.is_left_to_proxy() {
            return self.outbound.guard.vet_unresolved(&self.target.url);
        }
        self.vetted(self.allowance()).await.map(drop)
    }

    fn allowance(&self) -> Allowance<'_> {
        let whole = self.outbound.timeouts.connect;
        let clock = &*self.outbound.clock;
        Allowance { clock, whole, ends_at: clock.monotonic() + whole }
    }

    /// The proxy looks the name up.
    fn is_left_to_proxy(&self) -> bool {
        let is_proxied = self.outbound.proxy.is_some() && self.outbound.proxy_resolves;
        is_proxied && self.target.host.parse::<IpAddr>().is_err()
    }

    async fn vetted(&self, allowance: Allowance<'_>) -> Result<Vec<SocketAddr>, ConnectError> {
        let Target { host, port, .. } = &self.target;
        let looking = self.outbound.guard.vetted(host, self.is_tls());
        let addresses = allowance.within(ErrorClass::TimeoutDns, "looking up the name", looking).await?;
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, *port)).collect())
    }

    async fn direct(&self, allowance: Allowance<'_>) -> Result<TcpStream, ConnectError> {
        let addresses = self.vetted(allowance).await?;
        let connecting = async { dial(addresses).await.map_err(|error| undialled(ErrorClass::Connect, error)) };
        allowance.within(ErrorClass::TimeoutConnect, "connecting", connecting).await
    }

    /// The target is looked up and vetted here and the proxy is told the address, unless the operator leaves that to it.
    async fn through(&self, proxy: &Proxy, allowance: Allowance<'_>) -> Result<TcpStream, ConnectError> {
        let Target { url, host, port, .. } = &self.target;
        let destinations = if self.is_left_to_proxy() {
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
                    Err(DialError { reason, is_own_want }) => {
                        let reason = format!("the proxy {} port {}: {reason}", proxy.host, proxy.port);
                        last = undialled(ErrorClass::Proxy, DialError { reason, is_own_want });
                    }
                }
            }
            Err(last)
        };
        allowance.within(ErrorClass::TimeoutProxy, "waiting for the proxy", asking).await
    }

    async fn ask(&self, proxy: &Proxy, destination: &Destination) -> Result<TcpStream, DialError> {
        let unresolved = |Unresolved { reason, is_own_want }| DialError { reason, is_own_want };
        let addresses = self.outbound.guard.resolve(&proxy.host).await.map_err(unresolved)?;
        let mut stream = dial(addresses.into_iter().map(|address| SocketAddr::new(address, proxy.port))).await?;
        let asked = proxy::open(proxy, &mut stream, destination).await;
        asked.map(|()| stream).map_err(|error| format!("asked for {destination}, {error}").into())
    }
}

fn undialled(class: ErrorClass, error: DialError) -> ConnectError {
    failed(if error.is_own_want { ErrorClass::LocalLimit } else { class }, error.reason)
}

/// What came of connecting.
pub struct Connected {
    pub stream: Stream,
    /// Held while the connection is there.
    pub slot: Slot,
    /// Both sides agreed on HTTP/2.
    pub is_h2: bool,
}
