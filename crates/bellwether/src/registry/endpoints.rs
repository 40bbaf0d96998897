//! Commands on endpoints: subscribe, edit, switch off and on, delete.

use serde_json::{Map, Value};

use super::edit::{check_version, overlay};
use super::{Commanded, Context, DeliveryWake, Registry, Result};
use crate::endpoint::{Endpoint, EndpointState, Settings, secret_from};
use crate::error::Refusal;
use crate::id::EndpointId;
use crate::store::{Tx, endpoints};

/// Where an endpoint that is enabled again begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnableFrom {
    /// With everything that was owed meanwhile.
    Stopped,
    /// With what comes from now on; what was owed is cancelled.
    Now,
}

impl Registry {
    /// `secret` is the user's own, or one is made. The answer is the only place that tells it.
    pub async fn create_endpoint(
        &self,
        settings: Settings,
        secret: Option<String>,
        is_enabled: bool,
    ) -> Result<Endpoint> {
        settings.validate(self.addresses())?;
        let secret = secret_from(secret.as_deref(), self.ids().secret_bytes())?;
        let state = if is_enabled { EndpointState::Enabled } else { EndpointState::Disabled };
        let disabled_reason = (!is_enabled).then(|| "created disabled".to_owned());
        self.command(move |context, tx| {
            let now = context.setup.clock.now();
            let endpoint = Endpoint {
                id: EndpointId::of(context.setup.ids.next()),
                settings: settings.clone(),
                secret: secret.clone(),
                state,
                disabled_reason: disabled_reason.clone(),
                version: 1,
                created_at: now,
                updated_at: now,
            };
            context.save_endpoint(tx, &endpoint)?;
            Ok(endpoint)
        })
        .await
    }

    pub async fn edit_endpoint(
        &self,
        id: EndpointId,
        edit: Map<String, Value>,
        if_match: Option<String>,
    ) -> Result<Commanded<Endpoint>> {
        self.change_endpoint(id, if_match, move |context, _, endpoint| {
            let mut edit = edit.clone();
            // Whoever sends back what was shown does not mean to change it.
            if edit.get("url").and_then(Value::as_str) == Some(endpoint.settings.shown_url().as_str()) {
                edit.shift_remove("url");
            }
            let settings: Settings = overlay(&endpoint.settings, edit)?;
            settings.validate(&context.setup.addresses)?;
            Ok(Endpoint { settings, ..endpoint.clone() })
        })
        .await
    }

    /// Deliveries are recorded from now on, but not sent.
    pub async fn disable_endpoint(
        &self,
        id: EndpointId,
        reason: String,
        if_match: Option<String>,
    ) -> Result<Commanded<Endpoint>> {
        self.change_endpoint(id, if_match, move |_, _, endpoint| match endpoint.state {
            EndpointState::Disabled => Ok(endpoint.clone()),
            _ => Ok(Endpoint {
                state: EndpointState::Disabled,
                disabled_reason: Some(reason.clone()),
                ..endpoint.clone()
            }),
        })
        .await
    }

    pub async fn enable_endpoint(
        &self,
        id: EndpointId,
        from: EnableFrom,
        if_match: Option<String>,
    ) -> Result<Commanded<Endpoint>> {
        self.change_endpoint(id, if_match, move |context, tx, endpoint| {
            if endpoint.state == EndpointState::Disabled && from == EnableFrom::Now {
                endpoints::cancel_pending(tx, id, "the endpoint was enabled from now on", context.setup.clock.now())?;
            }
            Ok(Endpoint { state: EndpointState::Enabled, disabled_reason: None, ..endpoint.clone() })
        })
        .await
    }

    /// Cancels what was owed to it.
    pub async fn delete_endpoint(&self, id: EndpointId, if_match: Option<String>) -> Result<()> {
        self.change_endpoint(id, if_match, move |context, tx, endpoint| {
            endpoints::cancel_pending(tx, id, "the endpoint was deleted", context.setup.clock.now())?;
            Ok(Endpoint { state: EndpointState::Deleted, ..endpoint.clone() })
        })
        .await
        .map(drop)
    }

    async fn change_endpoint(
        &self,
        id: EndpointId,
        if_match: Option<String>,
        change: impl Fn(&Context, &mut dyn Tx, &Endpoint) -> Result<Endpoint> + Send + 'static,
    ) -> Result<Commanded<Endpoint>> {
        self.command(move |context, tx| {
            let before =
                endpoints::lock(tx, &context.setup.vault, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?;
            check_version(if_match.as_deref(), before.version)?;
            let after = change(context, tx, &before)?;
            if after.settings == before.settings && after.state == before.state {
                return Ok(Commanded { value: before, is_changed: false });
            }
            let after = Endpoint { version: before.version + 1, updated_at: context.setup.clock.now(), ..after };
            context.save_endpoint(tx, &after)?;
            Ok(Commanded { value: after, is_changed: true })
        })
        .await
    }
}

impl Context {
    fn save_endpoint(&self, tx: &mut dyn Tx, endpoint: &Endpoint) -> Result<()> {
        endpoints::save(tx, &self.setup.vault, self.setup.ids.as_ref(), endpoint)?;
        let wakes = self.wakes.clone();
        tx.after_commit(Box::new(move || wakes.deliveries(DeliveryWake::EndpointsChanged)));
        Ok(())
    }
}
