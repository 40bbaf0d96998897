//! A look at an installation from outside of the server, whether it runs or not: what is wrong, and what to do. Nothing is
//! changed, and nobody is sent a request. What a check is: `domain/check.rs`; how they are shown is not known here.

mod contents;
mod database;
mod installation;
mod network;

use std::path::PathBuf;
use std::sync::Arc;

use crate::delivery::transport::outbound::Outbound;
use crate::delivery::transport::settings::OutboundSettings;
use crate::domain::address::AddressPolicy;
use crate::domain::check::Check;
use crate::domain::clock::Clock;
use crate::platform::secret::{Vault, VaultError};
use crate::store::{Location, StoreError, Tx, look_at};
use contents::Contents;

/// What is looked at.
#[derive(Clone)]
pub struct Subject {
    pub data: PathBuf,
    pub location: Location,
    /// As given by the setting; else it lies in the data folder.
    pub secret_key: Option<String>,
    pub files_roots: Vec<PathBuf>,
    pub outbound: OutboundSettings,
    pub addresses: AddressPolicy,
    pub clock: Arc<dyn Clock>,
}

impl Subject {
    fn vault(&self) -> Result<Option<Vault>, VaultError> {
        match &self.secret_key {
            Some(text) => Vault::with_key_text(text).map(Some),
            None => Vault::read(&self.data.join("secret.key")),
        }
    }

    fn look<T>(&self, look: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError>) -> Result<T, StoreError> {
        look_at(&self.location, look)
    }
}

/// All there is to find, in the order in which it is best mended.
pub async fn examine(subject: Subject) -> Vec<Check> {
    let of_disk = subject.clone();
    // These look at files and at databases, which may take long.
    let looking = tokio::task::spawn_blocking(move || {
        let mut checks = installation::examine(&of_disk);
        let (of_database, is_readable) = database::examine(&of_disk);
        checks.extend(of_database);
        let contents = is_readable.then(|| Contents::of(&of_disk));
        checks.extend(contents::examine(&of_disk, contents.as_ref()));
        (checks, contents)
    });
    let (mut checks, contents) = match looking.await {
        Ok(found) => found,
        Err(error) => (vec![Check::failure("doctor", error.to_string(), "this is a mistake of the program")], None),
    };
    match Outbound::from_settings(&subject.outbound, subject.addresses, subject.clock) {
        Ok(outbound) => checks.extend(network::examine(&outbound, contents.as_ref()).await),
        Err(error) => checks.push(Check::failure("outbound", error.to_string(), "correct the setting, or its file")),
    }
    checks
}
