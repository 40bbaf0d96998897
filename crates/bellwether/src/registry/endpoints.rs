//! Commands on endpoints: subscribe, edit, switch off and on, delete. Each leaves a line in the endpoint's history.

use serde_json::{Map, Value, json};

use super::edit::{check_version, overlay};
use super::{Context, DeliveryHint, Effect, Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::change::EndpointChange;
use crate::domain::configuration::FieldChange;
use crate::domain::endpoint::{Endpoint, EndpointState, Settings};
use crate::domain::error::Refusal;
use crate::domain::health::Health;
use crate::domain::hidden::HIDDEN;
use crate::domain::id::{EndpointChangeId, EndpointId};
use crate::domain::signing::{Keys, Signing};
use crate::domain::topic::EndpointEvent;
use crate::store::{StoreError, Tx, changes, endpoints, lanes, undelivered};

/// Deliveries cancelled in one transaction.
const BATCH: u32 = 500;
const FROM_NOW_ON: &str = "the endpoint was enabled from now on";

/// Where an endpoint that is enabled again begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnableFrom {
    /// With everything that was owed meanwhile.
    Stopped,
    /// With what comes from now on; what was owed is cancelled.
    Now,
}

/// Who commands what on which endpoint, and the version that they read.
#[derive(Debug, Clone)]
pub struct OnEndpoint {
    pub actor: Actor,
    pub id: EndpointId,
    pub if_match: Option<String>,
}

/// What a command makes of an endpoint.
pub(super) struct Changed {
    pub endpoint: Endpoint,
    /// A word for the history.
    pub action: &'static str,
    pub reason: String,
}

impl Registry {
    /// `secret` is the user's own, or one is made. The answer is the only place that tells it.
    pub async fn create_endpoint(
        &self,
        actor: Actor,
        mut settings: Settings,
        secret: Option<String>,
        is_enabled: bool,
    ) -> Result<Endpoint> {
        settings.unhide(None)?;
        settings.validate(self.addresses())?;
        let seed = settings.asymmetric_signature.then(|| self.ids().secret_bytes());
        let keys = Keys::from(secret.as_deref(), self.ids().secret_bytes(), seed)?;
        self.context.check_sendable(&settings, &Signing::with(keys.clone()))?;
        let state = if is_enabled { EndpointState::Enabled } else { EndpointState::Disabled };
        let disabled_reason = (!is_enabled).then(|| "created disabled".to_owned());
        self.command(move |context, tx| {
            let now = context.setup.clock.now();
            let endpoint = Endpoint {
                id: EndpointId::of(context.setup.ids.next()),
                settings: settings.clone(),
                signing: Signing::with(keys.clone()),
                state,
                disabled_reason: disabled_reason.clone(),
                version: 1,
                created_at: now,
                updated_at: now,
            };
            context.save_endpoint(tx, &endpoint)?;
            lanes::insert(tx, endpoint.id)?;
            context.note_endpoint(tx, &actor, endpoint.id, "created", Vec::new(), "")?;
            Ok(endpoint)
        })
        .await
    }

    pub async fn edit_endpoint(&self, command: OnEndpoint, edit: Map<String, Value>) -> Result<Effect<Endpoint>> {
        self.change_endpoint(command, move |context, _, endpoint| {
            let mut settings: Settings = overlay(&endpoint.settings, edit.clone())?;
            // What is not named is kept as if it had been sent back as it is shown.
            let shown = endpoint.settings.shown();
            if !edit.contains_key("headers") {
                settings.headers = shown.headers;
            }
            if !edit.contains_key("tls") {
                settings.tls = shown.tls;
            }
            settings.unhide(Some(&endpoint.settings))?;
            settings.validate(&context.setup.addresses)?;
            let mut signing = endpoint.signing.clone();
            if settings.asymmetric_signature && signing.current.seed.is_none() {
                signing.current.seed = Some(context.setup.ids.secret_bytes());
            }
            context.check_sendable(&settings, &signing)?;
            Ok(Changed {
                endpoint: Endpoint { settings, signing, ..endpoint.clone() },
                action: "edited",
                reason: String::new(),
            })
        })
        .await
    }

    /// Deliveries are recorded from now on, but not sent.
    pub async fn disable_endpoint(&self, command: OnEndpoint, reason: String) -> Result<Effect<Endpoint>> {
        self.change_endpoint(command, move |context, tx, endpoint| {
            let is_enabled = endpoint.state == EndpointState::Enabled;
            if is_enabled {
                context.tell_of_endpoint(tx, EndpointEvent::Disabled, endpoint, &reason)?;
            }
            Ok(Changed { endpoint: disabled(endpoint, &reason), action: "disabled", reason: reason.clone() })
        })
        .await
    }

    /// Notes in the endpoint's history that nothing can be sent to it as it is stored, unless that stands there already.
    pub async fn note_unusable(&self, id: EndpointId, reason: String) -> Result<()> {
        self.command(move |context, tx| {
            let last = changes::last_of_endpoint(tx, id)?;
            if last.is_some_and(|(action, noted)| action == "unusable" && noted == reason) {
                return Ok(());
            }
            context.note_endpoint(tx, &Actor::System, id, "unusable", Vec::new(), &reason)
        })
        .await
    }

    pub async fn enable_endpoint(&self, command: OnEndpoint, from: EnableFrom) -> Result<Effect<Endpoint>> {
        if from == EnableFrom::Now {
            // While it is disabled nothing of it is sent, and so there is time to do this a little at a time.
            while self.cancel_some_of_disabled(&command).await? == u64::from(BATCH) {}
        }
        self.change_endpoint(command, move |context, tx, endpoint| {
            let mut reason = "";
            if endpoint.state == EndpointState::Disabled {
                let now = context.setup.clock.now();
                if from == EnableFrom::Now {
                    reason = "from now on";
                    undelivered::cancel_some(tx, endpoint.id, FROM_NOW_ON, now, BATCH)?;
                }
                // It begins with a clean slate, or the breaker of before would hold back what is owed.
                lanes::save_health(tx, endpoint.id, &Default::default())?;
                undelivered::make_due(tx, endpoint.id, now)?;
            }
            let endpoint = Endpoint { state: EndpointState::Enabled, disabled_reason: None, ..endpoint.clone() };
            Ok(Changed { endpoint, action: "enabled", reason: reason.to_owned() })
        })
        .await
    }

    /// Cancels what was owed to it: a little at a time, for it may be very much.
    pub async fn delete_endpoint(&self, command: OnEndpoint) -> Result<()> {
        self.change_endpoint(command, move |_, _, endpoint| {
            let endpoint = Endpoint { state: EndpointState::Deleted, ..endpoint.clone() };
            Ok(Changed { endpoint, action: "deleted", reason: String::new() })
        })
        .await?;
        // Should this not come to its end, retention goes on with it.
        Ok(self.cancel_owed_to_deleted().await?)
    }

    /// Ends what is still owed to endpoints that were deleted.
    pub async fn cancel_owed_to_deleted(&self) -> std::result::Result<(), StoreError> {
        let deleted: Vec<EndpointId> = self.db().look(|tx: &mut dyn Tx| endpoints::deleted_owing(tx)).await?;
        for id in deleted {
            let now = self.clock().now();
            let cancel =
                move |tx: &mut dyn Tx| undelivered::cancel_some(tx, id, "the endpoint was deleted", now, BATCH);
            while self.db().write_outcomes::<_, StoreError, _>(cancel).await? == u64::from(BATCH) {}
        }
        Ok(())
    }

    async fn cancel_some_of_disabled(&self, command: &OnEndpoint) -> Result<u64> {
        let (context, command) = (self.context.clone(), command.clone());
        self.db()
            .write_outcomes(move |tx| {
                let endpoint = context.lock_endpoint(tx, command.id)?;
                check_version(command.if_match.as_deref(), endpoint.version)?;
                if endpoint.state != EndpointState::Disabled {
                    return Ok(0);
                }
                Ok(undelivered::cancel_some(tx, endpoint.id, FROM_NOW_ON, context.setup.clock.now(), BATCH)?)
            })
            .await
    }

    pub(super) async fn change_endpoint(
        &self,
        command: OnEndpoint,
        change: impl Fn(&Context, &mut dyn Tx, &Endpoint) -> Result<Changed> + Send + 'static,
    ) -> Result<Effect<Endpoint>> {
        self.command(move |context, tx| {
            let before = context.lock_endpoint(tx, command.id)?;
            check_version(command.if_match.as_deref(), before.version)?;
            let Changed { endpoint: after, action, reason } = change(context, tx, &before)?;
            if after.settings == before.settings && after.state == before.state && after.signing == before.signing {
                return Ok(Effect { value: before, is_changed: false });
            }
            let after = Endpoint { version: before.version + 1, updated_at: context.setup.clock.now(), ..after };
            context.save_endpoint(tx, &after)?;
            context.lift_pause(tx, after.id)?;
            lanes::revise(tx, after.id)?;
            let changes = settings_changes(&before.settings, &after.settings);
            context.note_endpoint(tx, &command.actor, after.id, action, changes, &reason)?;
            Ok(Effect { value: after, is_changed: true })
        })
        .await
    }
}

/// `endpoint`, switched off; one that is off already keeps its reason.
pub(super) fn disabled(endpoint: &Endpoint, reason: &str) -> Endpoint {
    match endpoint.state {
        EndpointState::Enabled => {
            Endpoint { state: EndpointState::Disabled, disabled_reason: Some(reason.to_owned()), ..endpoint.clone() }
        }
        _ => endpoint.clone(),
    }
}

/// What the history tells of an edit: never what may be a token, but that it changed.
fn settings_changes(before: &Settings, after: &Settings) -> Vec<FieldChange> {
    let fields = |settings: &Settings| match serde_json::to_value(settings.shown()) {
        // Even the path may be a token, and the history is not encrypted.
        Ok(Value::Object(mut fields)) => {
            fields.insert("url".into(), HIDDEN.into());
            fields
        }
        _ => Map::new(),
    };
    let (from, to) = (fields(before), fields(after));
    let is_hidden_edit = |field: &str| {
        (field == "url" && before.url != after.url)
            || (field == "headers" && before.headers != after.headers)
            || (field == "tls" && before.tls != after.tls)
    };
    let changed = from.iter().filter(|(field, value)| to.get(*field) != Some(value) || is_hidden_edit(field));
    changed
        .map(|(field, value)| FieldChange {
            field: field.clone(),
            from: value.clone(),
            to: to.get(field).cloned().unwrap_or(json!(null)),
        })
        .collect()
}

impl Context {
    /// Refuses what could not be sent, by making all that sending needs.
    fn check_sendable(&self, settings: &Settings, signing: &Signing) -> Result<()> {
        let problem = self.setup.sendable.problem(settings, signing);
        problem.map_or(Ok(()), |problem| Err(Refusal::Invalid(vec![problem]).into()))
    }

    /// Loads an endpoint to change it; nobody else can until the transaction ends.
    pub(super) fn lock_endpoint(&self, tx: &mut dyn Tx, id: EndpointId) -> Result<Endpoint> {
        Ok(endpoints::lock(tx, &self.setup.vault, id)?.ok_or_else(|| Refusal::not_found("endpoint", id))?)
    }

    /// Ends a pause that the receiver asked for, also of the deliveries that were put off by it: whoever changes an endpoint
    /// wants to know at once whether it is mended.
    fn lift_pause(&self, tx: &mut dyn Tx, id: EndpointId) -> Result<()> {
        let Some(lane) = lanes::get(tx, id)?.filter(|lane| lane.health.paused_until.is_some()) else { return Ok(()) };
        lanes::save_health(tx, id, &Health { paused_until: None, ..lane.health })?;
        Ok(undelivered::make_due(tx, id, self.setup.clock.now())?)
    }

    pub(super) fn save_endpoint(&self, tx: &mut dyn Tx, endpoint: &Endpoint) -> Result<()> {
        endpoints::save(tx, &self.setup.vault, self.setup.ids.as_ref(), endpoint)?;
        self.hint_after_commit(tx, DeliveryHint::EndpointsChanged);
        Ok(())
    }

    pub(super) fn hint_after_commit(&self, tx: &mut dyn Tx, hint: DeliveryHint) {
        let hints = self.hints.clone();
        tx.after_commit(Box::new(move || hints.deliveries(hint)));
    }

    /// A line in the endpoint's history.
    pub(super) fn note_endpoint(
        &self,
        tx: &mut dyn Tx,
        actor: &Actor,
        endpoint: EndpointId,
        action: &str,
        field_changes: Vec<FieldChange>,
        reason: &str,
    ) -> Result<()> {
        let change = EndpointChange {
            id: EndpointChangeId::of(self.setup.ids.next()),
            action: action.to_owned(),
            actor: actor.clone(),
            occurred_at: self.setup.clock.now(),
            changes: field_changes,
            reason: reason.to_owned(),
        };
        Ok(changes::insert_of_endpoint(tx, endpoint, &change)?)
    }
}
