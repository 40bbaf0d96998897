//! Commands on API keys.

use std::time::Duration;

use serde_json::json;

use super::trail::{self, changed};
use super::{Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Conflict, FieldErrors, Refusal};
use crate::domain::id::KeyId;
use crate::domain::key::{self, ApiKey, PresentedKey, Role};
use crate::domain::person::name_of_actor;
use crate::store::{Tx, keys};

/// Of keys and sessions alike.
pub(super) const USE_NOTED_EVERY: Duration = Duration::from_secs(60);

/// A new key, and its text, which is kept nowhere.
pub struct IssuedKey {
    pub key: ApiKey,
    pub text: String,
}

impl Registry {
    pub async fn issue_key(
        &self,
        actor: Actor,
        name: String,
        role: Role,
        expires_at: Option<Timestamp>,
    ) -> Result<IssuedKey> {
        let now = self.clock().now();
        let mut errors = FieldErrors::default();
        name_of_actor(&mut errors, &name);
        errors.check(expires_at.is_none_or(|expiry| expiry > now), "expires_at", || {
            format!("it must be later than now, {now}")
        });
        errors.finish()?;
        let id = KeyId::of(self.ids().next());
        let (text, hash) = key::issue(id, self.ids().secret_bytes());
        let key = ApiKey { id, name, role, hash, created_at: now, expires_at, last_used_at: None };
        let stored = key.clone();
        self.command(move |_, tx| {
            keys::insert(tx, &stored)?;
            note_change(tx, &stored, "created", &actor, now)
        })
        .await?;
        Ok(IssuedKey { key, text })
    }

    /// Whether any admin key is in force.
    pub async fn has_admin_key(&self) -> Result<bool> {
        let now = self.clock().now();
        Ok(self.db().read(move |tx: &mut dyn Tx| keys::has_admin(tx, now)).await?)
    }

    /// A first admin key to be stored: of the operator's text, or made here.
    pub fn prepare_admin_key(&self, given: Option<String>) -> Result<IssuedKey> {
        let (text, id, hash) = match given {
            Some(text) => {
                let presented = PresentedKey::parse(&text).ok_or_else(|| {
                    let reason = key::check_own(&text).err().unwrap_or_default();
                    Refusal::invalid("admin_key", format!("{reason}; or leave it out to have one made"))
                })?;
                let (id, hash) = (presented.id, presented.hash());
                (text, id, hash)
            }
            None => {
                let id = KeyId::of(self.ids().next());
                let (text, hash) = key::issue(id, self.ids().secret_bytes());
                (text, id, hash)
            }
        };
        let created_at = self.clock().now();
        let key = ApiKey {
            id,
            name: "first admin".into(),
            role: Role::Admin,
            hash,
            created_at,
            expires_at: None,
            last_used_at: None,
        };
        Ok(IssuedKey { key, text })
    }

    /// Stores a prepared key; `false` if another admin key came first.
    pub async fn store_admin_key(&self, key: ApiKey) -> Result<bool> {
        self.command(move |context, tx| {
            keys::lock_admins(tx)?;
            if keys::has_admin(tx, context.setup.clock.now())? {
                return Ok(false);
            }
            // The operator may bring back one that was there before, and was revoked or has expired.
            keys::put(tx, &key)?;
            note_change(tx, &key, "created", &Actor::System, key.created_at)?;
            Ok(true)
        })
        .await
    }

    pub async fn revoke_key(&self, actor: Actor, id: KeyId) -> Result<()> {
        self.command(move |context, tx| {
            keys::lock_admins(tx)?;
            let key = keys::get(tx, id)?.ok_or_else(|| Refusal::not_found("key", id))?;
            let now = context.setup.clock.now();
            keys::revoke(tx, id, now)?;
            // One that expires would lock everybody out in the end.
            let is_lasting = key.expires_at.is_none();
            if key.role == Role::Admin && (!keys::has_admin(tx, now)? || (is_lasting && !keys::has_lasting_admin(tx)?))
            {
                return Err(refuse_last().into());
            }
            note_change(tx, &key, "revoked", &actor, now)
        })
        .await?;
        self.context.known_keys.forget_all();
        Ok(())
    }

    /// The key that `text` is, if it is in force. Its use is noted once a minute at most.
    pub async fn authenticate(&self, text: &str) -> Result<Option<ApiKey>> {
        let Some(presented) = PresentedKey::parse(text) else { return Ok(None) };
        let now = self.clock().now();
        if let Some(key) = self.context.known_keys.get(presented.id, self.clock().monotonic()) {
            return Ok(Some(key).filter(|key| key.admits(&presented, now)));
        }
        // Only the holder of the secret moves the time of the last use.
        let key = self.look_up(presented.id).await?.filter(|key| key.admits(&presented, now));
        if let Some(key) = key.as_ref().filter(|key| is_use_due(key, now)) {
            self.note_use(key.id, now);
        }
        Ok(key)
    }

    /// Whether a key that was let in earlier would be let in now.
    pub async fn is_key_in_force(&self, id: KeyId) -> Result<bool> {
        let key = match self.context.known_keys.get(id, self.clock().monotonic()) {
            Some(key) => Some(key),
            None => self.look_up(id).await?,
        };
        let now = self.clock().now();
        Ok(key.is_some_and(|key| key.expires_at.is_none_or(|expiry| now < expiry)))
    }

    async fn look_up(&self, id: KeyId) -> Result<Option<ApiKey>> {
        let looked_up_at = self.clock().monotonic();
        let key = self.db().read(move |tx: &mut dyn Tx| keys::get(tx, id)).await?;
        if let Some(key) = &key {
            self.context.known_keys.put(id, looked_up_at, key.clone());
        }
        Ok(key)
    }

    /// No request waits for this, and none fails by it: the next look-up notes the use again.
    fn note_use(&self, id: KeyId, now: Timestamp) {
        let db = self.db().clone();
        tokio::spawn(async move { db.write_outcomes(move |tx| keys::note_use(tx, id, now)).await.ok() });
    }
}

/// Writes what was done to a key into its history. Its text stands nowhere.
fn note_change(tx: &mut dyn Tx, key: &ApiKey, action: &str, actor: &Actor, now: Timestamp) -> Result<()> {
    let fields = [("name", json!(key.name)), ("role", json!(key.role)), ("expires_at", json!(key.expires_at))];
    let is_made = action == "created";
    let change =
        |(field, value)| if is_made { changed(field, json!(null), value) } else { changed(field, value, json!(null)) };
    trail::note(tx, &key.id.to_string(), action, actor, now, fields.map(change).to_vec())
}

fn is_use_due(key: &ApiKey, now: Timestamp) -> bool {
    key.last_used_at.is_none_or(|used| now.since(used) >= USE_NOTED_EVERY)
}

fn refuse_last() -> Refusal {
    Refusal::conflict(
        Conflict::State,
        "this is the last admin key that does not expire; make another before revoking it",
    )
}
