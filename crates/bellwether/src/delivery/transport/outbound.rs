//! The way out, which all lanes share: the guard, TLS, the proxy and the limits of time. Made once, cheap to clone, and
//! without any connection of its own.

use std::sync::Arc;
use std::time::Duration;

use super::guard::Guard;
use super::resolver::{Resolve, SystemResolver};
use super::settings::{OutboundSettings, Proxy};
use super::slots::Slots;
use super::tls::Tls;
use crate::domain::address::AddressPolicy;
use crate::domain::clock::Clock;
use crate::domain::endpoint::OwnTls;

/// Connections at a time, unless it is said how many.
const MOST_CONNECTIONS: usize = 4096;

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
    pub(super) tls: Tls,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) proxy_resolves: bool,
    pub(super) timeouts: Timeouts,
    pub(super) slots: Arc<Slots>,
    pub(super) clock: Arc<dyn Clock>,
    /// What links in sentences begin with; without it there are none.
    pub(super) links: Option<Arc<str>>,
}

impl Outbound {
    /// Reads the files that the settings name; the error says which setting cannot be used.
    pub fn from_settings(
        settings: &OutboundSettings,
        policy: AddressPolicy,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OutboundError> {
        let resolver = SystemResolver::of_machine();
        if let Some(problem) = resolver.problem() {
            tracing::warn!("{problem}");
        }
        Ok(Self {
            guard: Guard::with_policy(policy, Arc::new(resolver)),
            tls: Tls::from_settings(settings).map_err(OutboundError)?,
            proxy: settings.proxy.clone().map(Arc::new),
            proxy_resolves: settings.proxy_resolves,
            timeouts: Timeouts::default(),
            slots: Arc::new(Slots::of(MOST_CONNECTIONS)),
            clock,
            links: None,
        })
    }

    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        Self { guard: self.guard.with_resolver(resolver), ..self }
    }

    /// Has sentences link to what they are about, below this URL.
    #[must_use]
    pub fn with_links(self, links: Option<&str>) -> Self {
        Self { links: links.map(Into::into), ..self }
    }

    /// No more connections than `most` at a time, of all lanes together.
    #[must_use]
    pub fn with_connections(self, most: usize) -> Self {
        Self { slots: Arc::new(Slots::of(most)), ..self }
    }

    /// TLS with what an endpoint has of its own; the error names the field that cannot be used.
    pub fn tls_with(&self, own: &OwnTls) -> Result<Tls, (&'static str, String)> {
        self.tls.with_own(own)
    }

    /// How many connections there may be, and how many there are.
    pub fn connections(&self) -> (usize, usize) {
        self.slots.count()
    }

    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }
}
