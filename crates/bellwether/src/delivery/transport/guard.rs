//! Which addresses a connection may be made to: resolves a name once and vets every address it has. One bad address
//! refuses all. Connecting is another's task, and goes to what was vetted here, so that a second look-up changes nothing.

use std::net::IpAddr;
use std::sync::Arc;

use super::error::{ConnectError, ErrorClass, failed};
use super::resolver::{Resolve, Unresolved};
use crate::domain::address::{AddressPolicy, is_localhost};

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
        if is_localhost(host) {
            return self.policy.localhost(is_tls).map_err(|reason| failed(ErrorClass::BlockedAddress, reason));
        }
        let addresses = self.resolve(host).await.map_err(|Unresolved { reason, is_own_want }| {
            failed(if is_own_want { ErrorClass::LocalLimit } else { ErrorClass::Dns }, reason)
        })?;
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
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let of_host = |error: Unresolved| Unresolved { reason: format!("{host}: {}", error.reason), ..error };
        let found = self.resolver.resolve(host).await.map_err(of_host)?;
        if found.is_empty() { Err(format!("{host} has no address").into()) } else { Ok(found) }
    }
}
