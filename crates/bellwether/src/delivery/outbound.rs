//! The way out, which all lanes share: the guard, TLS, the proxy and the limits of time. Made once, cheap to clone, and
//! without any connection of its own.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::guard::{Guard, Resolve, SystemResolver};
use super::tls;
use crate::address::AddressPolicy;
use crate::config::{OutboundSettings, Proxy};

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For looking up the name, connecting, the proxy and TLS together.
    pub connect: Duration,
    /// For all of it, until the body has been read.
    pub whole: Duration,
    /// For the body of an answer whose status has come.
    pub body: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), whole: Duration::from_secs(15), body: Duration::from_secs(2) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OutboundError(String);

#[derive(Clone)]
pub struct Outbound {
    pub(super) guard: Guard,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) proxy_resolves: bool,
    pub(super) timeouts: Timeouts,
}

impl Outbound {
    /// Reads the files that the settings name; the error says which setting cannot be used.
    pub fn from_settings(settings: &OutboundSettings, policy: AddressPolicy) -> Result<Self, OutboundError> {
        let resolver = SystemResolver::from_system().map_err(OutboundError)?;
        Ok(Self {
            guard: Guard::with_policy(policy, Arc::new(resolver)),
            tls: tls::client_config(settings).map_err(OutboundError)?,
            proxy: settings.proxy.clone().map(Arc::new),
            proxy_resolves: settings.proxy_resolves,
            timeouts: Timeouts::default(),
        })
    }

    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        Self { guard: self.guard.with_resolver(resolver), ..self }
    }

    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }
}
