//! The key that secrets are encrypted with, and its rotation while everything goes on.
//!
//! The new key is where a start finds it before anything is sealed with it; what is sealed with the old one is sealed anew; only
//! then is the old key forgotten. Broken off anywhere, it is gone on with at the next start.

use serde_json::json;

use super::trail::{self, changed};
use super::{Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::error::{Conflict, Refusal};
use crate::platform::secret::{add_to_file, keep_in_file};
use crate::store::{StoreError, Tx, endpoints, overview, settings};

/// What the history calls it.
const SUBJECT: &str = "setting_encryption_key";

/// The key that seals, and others that are there to open with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKey {
    pub name: String,
    pub others: Vec<String>,
}

impl Registry {
    pub fn encryption_key(&self) -> EncryptionKey {
        EncryptionKey { name: self.vault().key_name(), others: self.vault().other_key_names() }
    }

    /// Seals everything with another key: a new one where the key lies in the data folder, else the other one that the setting
    /// names.
    pub async fn rotate_encryption_key(&self, actor: Actor) -> Result<EncryptionKey> {
        let _one_at_a_time = self.context.rotating.lock().await;
        self.finish_rotating().await?;
        let name = self.next_key().await?;
        let (from, to) = (self.vault().key_name(), name.clone());
        self.command(move |context, tx| {
            settings::set(tx, settings::SECRET_KEY_NAME, &to)?;
            let change = changed("key_name", json!(from), json!(to));
            trail::note(tx, SUBJECT, "rotated", &actor, context.setup.clock.now(), vec![change])
        })
        .await?;
        self.vault().seal_with(&name).map_err(StoreError::from)?;
        self.finish_rotating().await?;
        Ok(self.encryption_key())
    }

    /// The key to go over to. One that is made lies in the file before anything is sealed with it.
    async fn next_key(&self) -> Result<String> {
        if let Some(path) = &self.context.setup.key_file {
            // On SQLite there is one.
            let is_shared = !self.db().dialect().has_one_node() && self.db().look(overview::count_nodes).await? > 1;
            if is_shared {
                let detail = "several nodes share this database, and a new key in this one's folder would be read by this one alone; \
                              give every node the old key and a new one by the setting secret_key, and then ask again";
                return Err(Refusal::conflict(Conflict::State, detail).into());
            }
            let key = self.ids().secret_bytes();
            add_to_file(path, key).map_err(StoreError::from)?;
            return Ok(self.vault().add(key));
        }
        match &self.vault().other_key_names()[..] {
            [other] => Ok(other.clone()),
            _ => {
                let detail = "the key is given by the setting secret_key, so that there is none to go over to; give every node the \
                              old key and the new one, with a comma between, and then ask again";
                Err(Refusal::conflict(Conflict::State, detail).into())
            }
        }
    }

    /// Seals anew what is sealed with another key than the one that seals. In the data folder the others are then forgotten.
    pub async fn finish_rotating(&self) -> Result<()> {
        if self.vault().other_key_names().is_empty() {
            return Ok(());
        }
        let mut after = String::new();
        loop {
            let from = after.clone();
            let sealed = self.command(move |context, tx| {
                Ok(endpoints::seal_anew(tx, &context.setup.vault, context.setup.ids.as_ref(), &from)?)
            });
            match sealed.await? {
                Some(last) => after = last,
                None => break,
            }
        }
        if let Some(path) = &self.context.setup.key_file {
            keep_in_file(path, &self.vault().key_name()).map_err(StoreError::from)?;
            self.vault().forget_others();
        }
        Ok(())
    }

    /// Binds the database to the key that seals; one that was written with a key that is not here is refused.
    pub(super) async fn bind_to_key(&self) -> Result<()> {
        let key_name = self.vault().key_name();
        let bound = self.db().write(move |tx: &mut dyn Tx| match settings::get(tx, settings::SECRET_KEY_NAME)? {
            None => settings::set(tx, settings::SECRET_KEY_NAME, &key_name).map(|()| key_name.clone()),
            Some(bound) => Ok(bound),
        });
        let bound: std::result::Result<String, StoreError> = bound.await;
        let bound = bound?;
        self.vault().seal_with(&bound).map_err(|_| {
            StoreError::Failed(format!(
                "this database's secrets were encrypted with the key {bound}, but this node has the key {}; give it the \
                 secret.key that belongs to the database",
                self.vault().key_name()
            ))
        })?;
        Ok(())
    }
}
