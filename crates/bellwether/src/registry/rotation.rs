//! Commands on what an endpoint's webhooks are signed with: rotate, promote, or replace at once.

use super::endpoints::{Changed, OnEndpoint};
use super::{Effect, Registry, Result};
use crate::domain::endpoint::Endpoint;
use crate::domain::signing::{Keys, Signing};

impl Registry {
    /// Opens a rotation, or, if `is_immediate`, replaces the secret at once, for it has leaked. The new secret is the
    /// user's own, or one is made; the answer is the only place that tells it.
    pub async fn rotate_secret(
        &self,
        command: OnEndpoint,
        secret: Option<String>,
        is_immediate: bool,
    ) -> Result<Effect<Endpoint>> {
        let (fresh, seed) = (self.ids().secret_bytes(), self.ids().secret_bytes());
        self.change_endpoint(command, move |_, _, endpoint| {
            // A key that is there is replaced along with the secret.
            let seed = endpoint.signing.current.seed.is_some().then_some(seed);
            let keys = Keys::from(secret.as_deref(), fresh, seed)?;
            let signing = if is_immediate { Signing::with(keys) } else { endpoint.signing.rotate(keys)? };
            let action = if is_immediate { "secret_replaced" } else { "rotated" };
            Ok(Changed { endpoint: Endpoint { signing, ..endpoint.clone() }, action, reason: String::new() })
        })
        .await
    }

    /// The body is signed by the new secret from now on; the headers keep the old one for a day.
    pub async fn promote_secret(&self, command: OnEndpoint) -> Result<Effect<Endpoint>> {
        self.change_endpoint(command, move |context, _, endpoint| {
            let signing = endpoint.signing.promote(context.setup.clock.now())?;
            Ok(Changed {
                endpoint: Endpoint { signing, ..endpoint.clone() },
                action: "promoted",
                reason: String::new(),
            })
        })
        .await
    }
}
