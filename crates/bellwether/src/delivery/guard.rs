//! The way out: resolves a name, vets every address it has, and connects to a vetted one, so that a second look-up cannot
//! change where the request goes. One bad address refuses all.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::address::AddressPolicy;

/// For resolving and connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    pub class: &'static str,
    pub message: String,
}

fn failed(class: &'static str, message: impl Into<String>) -> ConnectError {
    ConnectError { class, message: message.into() }
}

/// A connector for the HTTP client.
#[derive(Clone)]
pub struct Guard {
    policy: Arc<AddressPolicy>,
    resolver: Arc<TokioResolver>,
}

impl Guard {
    /// Resolves names as the machine is set up to.
    pub fn with_policy(policy: AddressPolicy) -> Result<Self, ConnectError> {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        let resolver = resolver.map_err(|error| failed("dns", format!("the resolver cannot be set up: {error}")))?;
        Ok(Self { policy: Arc::new(policy), resolver: Arc::new(resolver) })
    }

    async fn connect(&self, uri: &Uri) -> Result<TcpStream, ConnectError> {
        let is_tls = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or_else(|| failed("request", "the URL names no host"))?;
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let addresses = self.resolve(host).await?;
        for address in &addresses {
            self.policy.vet(*address, is_tls).map_err(|reason| failed("blocked_address", reason))?;
        }
        let mut last = failed("dns", format!("{host} has no address"));
        for address in addresses {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => {
                    // Requests are small and go out at once.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = failed("connect", format!("{address} port {port}: {error}")),
            }
        }
        Err(last)
    }

    /// An address given as such is not looked up, but is vetted all the same.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        let found = self.resolver.lookup_ip(host).await.map_err(|error| failed("dns", format!("{host}: {error}")))?;
        Ok(found.iter().collect())
    }
}

impl tower::Service<Uri> for Guard {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guard = self.clone();
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, guard.connect(&uri)).await {
                Ok(connected) => connected.map(TokioIo::new),
                Err(_) => {
                    Err(failed("timeout_connect", format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())))
                }
            }
        })
    }
}
