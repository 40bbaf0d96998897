//! Which addresses a connection may be made to: resolves a name once and vets every address it has. One bad address
//! refuses all. Connecting is another's task, and goes to what was vetted here, so that a second look-up changes nothing.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use hickory_resolver::TokioResolver;

use super::answer::ErrorClass;
use super::connector::{ConnectError, failed};
use crate::address::AddressPolicy;

/// Addresses, or the reason why there are none.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send + 'a>>;

/// Looks names up.
pub trait Resolve: Send + Sync + 'static {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// Resolves as the machine is set up to.
pub struct SystemResolver(TokioResolver);

impl SystemResolver {
    pub fn from_system() -> Result<Self, String> {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        resolver.map(Self).map_err(|error| format!("the resolver cannot be set up: {error}"))
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let found = self.0.lookup_ip(name).await.map_err(|error| error.to_string())?;
            Ok(found.iter().collect())
        })
    }
}

/// The policy, and what it is asked about.
#[derive(Clone)]
pub struct Guard {
    policy: Arc<AddressPolicy>,
    resolver: Arc<dyn Resolve>,
}

impl Guard {
    pub fn with_policy(policy: AddressPolicy, resolver: Arc<dyn Resolve>) -> Self {
        Self { policy: Arc::new(policy), resolver }
    }

    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, ..self }
    }

    /// The addresses of `host`, none of them forbidden. One that is given as such is not looked up, but is vetted too.
    pub async fn vetted(&self, host: &str, is_tls: bool) -> Result<Vec<IpAddr>, ConnectError> {
        let addresses = self.resolve(host).await.map_err(|reason| failed(ErrorClass::Dns, reason))?;
        for address in &addresses {
            self.policy.vet(*address, is_tls).map_err(|reason| failed(ErrorClass::BlockedAddress, reason))?;
        }
        Ok(addresses)
    }

    /// What can be said of a URL whose name another will resolve.
    pub fn vet_unresolved(&self, url: &str) -> Result<(), ConnectError> {
        self.policy.vet_url(url).map(drop).map_err(|reason| failed(ErrorClass::BlockedAddress, reason))
    }

    /// The addresses of the operator's own proxy, which is not vetted.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let found = self.resolver.resolve(host).await.map_err(|error| format!("{host}: {error}"))?;
        if found.is_empty() { Err(format!("{host} has no address")) } else { Ok(found) }
    }
}
