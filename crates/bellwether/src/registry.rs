//! The registry: the one place where a change becomes change, event and deliveries, in one transaction.
//!
//! The API, the pipeline and the command line all come through here. A command loads under lock, decides by the pure
//! rules of the domain, and records; `record` is the only writer of history, events and deliveries. It sends nothing:
//! it hints those who do, once the transaction is on disk.

mod attachments;
mod declared;
mod defining;
mod definitions;
mod discovery;
mod edit;
mod encryption_key;
mod endpoints;
mod experiments;
mod fact_sources;
mod hints;
mod idempotency;
mod indexing;
mod keys;
mod lanes;
mod lately;
pub mod lived;
mod metric_sync;
mod outcomes;
pub mod persist;
mod probe;
mod record;
mod recovery;
mod rotation;
mod runs;
mod sessions;
mod tally;
mod trail;
mod transitions;
mod why;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::domain::address::AddressPolicy;
use crate::domain::clock::Clock;
use crate::domain::definition::Schedule;
use crate::domain::endpoint::Sendable;
use crate::domain::error::Refusal;
use crate::domain::experiment::Experiment;
use crate::domain::id::{ExperimentId, Ids, KeyId, NodeId, SessionId};
use crate::domain::key::ApiKey;
use crate::domain::trusted_time::{Doubt, TrustedTime};
use crate::platform::secret::Vault;
use crate::store::lived::last_seen;
use crate::store::{Db, StoreError, Tx, settings};
pub use defining::{Completion, Defined};
pub use definitions::warehouse_config;
pub use edit::overlay;
pub use encryption_key::EncryptionKey;
pub use endpoints::{EnableFrom, OnEndpoint};
pub use hints::{DeliveryHint, HintReceivers, Hints, RunHint};
pub use idempotency::{Claim, Earlier, under};
pub use keys::IssuedKey;
use lately::Lately;
pub use metric_sync::Synced;
pub use outcomes::Report;
pub use runs::{Ending, Requested};
pub use tally::Tally;
pub use transitions::Started;
pub use why::{Verdict, Waits, Why};

/// Why a command did not come about.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// As much of this is under way as may be; the same request may succeed in a moment.
    #[error("{0}")]
    Busy(&'static str),
}

pub type Result<T> = std::result::Result<T, Error>;

/// A thing after a command, and whether the command changed it.
#[derive(Debug, Clone)]
pub struct Effect<T> {
    pub value: T,
    pub is_changed: bool,
}

/// Everything a command needs. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    context: Arc<Context>,
}

pub struct Setup {
    pub db: Db,
    pub vault: Arc<Vault>,
    /// Where the vault's keys lie, unless a setting gives them.
    pub key_file: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub addresses: AddressPolicy,
    /// Whether an endpoint can be sent to.
    pub sendable: Arc<dyn Sendable>,
    /// Folders that `files` warehouses may lie in.
    pub files_roots: Vec<PathBuf>,
    /// Of experiments that name none.
    pub default_schedule: Schedule,
}

struct Context {
    setup: Setup,
    /// This process, among those that share the database.
    node_id: NodeId,
    hints: Hints,
    /// Shared with what is done after a commit.
    tally: Arc<Tally>,
    subscriptions: Mutex<record::Subscriptions>,
    known_keys: Lately<KeyId, ApiKey>,
    known_sessions: Lately<SessionId, sessions::Known>,
    rotating: tokio::sync::Mutex<()>,
    lived: lived::Lived,
    looks: Arc<Semaphore>,
    probed: tokio::sync::Mutex<Option<probe::Probed>>,
    trusted_time: Mutex<TrustedTime>,
}

impl Registry {
    /// Binds the database to the vault's key: one that was written with another key is refused.
    pub async fn open(setup: Setup, hints: Hints) -> Result<Self> {
        let node_id = NodeId::of(setup.ids.next());
        let last_seen = setup.db.look(|tx: &mut dyn Tx| last_seen(tx)).await?;
        let trusted_time = TrustedTime::starting(last_seen, setup.clock.now(), setup.clock.monotonic());
        let registry = Self {
            context: Arc::new(Context {
                setup,
                node_id,
                hints,
                tally: Arc::default(),
                subscriptions: Mutex::default(),
                known_keys: Lately::default(),
                known_sessions: Lately::default(),
                rotating: tokio::sync::Mutex::default(),
                lived: lived::Lived::default(),
                looks: Arc::new(Semaphore::new(definitions::MOST_LOOKS)),
                probed: tokio::sync::Mutex::default(),
                trusted_time: Mutex::new(trusted_time),
            }),
        };
        registry.bind_to_key().await?;
        Ok(registry)
    }

    pub fn db(&self) -> &Db {
        &self.context.setup.db
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.context.setup.clock
    }

    pub fn ids(&self) -> &Arc<dyn Ids> {
        &self.context.setup.ids
    }

    pub fn node_id(&self) -> NodeId {
        self.context.node_id
    }

    pub fn vault(&self) -> &Arc<Vault> {
        &self.context.setup.vault
    }

    pub fn hints(&self) -> &Hints {
        &self.context.hints
    }

    pub fn tally(&self) -> &Tally {
        &self.context.tally
    }

    /// What changes by date do not believe of the clock just now, if there is anything.
    pub fn clock_doubt(&self) -> Option<Doubt> {
        self.context.trusted_now();
        self.context.trusted_time.lock().unwrap_or_else(PoisonError::into_inner).doubt()
    }

    /// Hints that were dropped since the start, for too many waited.
    pub fn hints_lost(&self) -> u64 {
        self.context.hints.hints_lost()
    }

    pub fn sendable(&self) -> &dyn Sendable {
        &*self.context.setup.sendable
    }

    pub fn addresses(&self) -> &AddressPolicy {
        &self.context.setup.addresses
    }

    pub fn files_roots(&self) -> &[PathBuf] {
        &self.context.setup.files_roots
    }

    /// Runs a command in a transaction of its own.
    async fn command<T: Send + 'static>(
        &self,
        work: impl Fn(&Context, &mut dyn Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (context, claim) = (self.context.clone(), idempotency::claim_of_this_task());
        let claimed = claim.clone();
        let done = self.db().write(move |tx| {
            claimed.as_ref().map_or(Ok(()), |claim| claim.record(&context, tx))?;
            work(&context, tx)
        });
        let done = done.await?;
        if let Some(claim) = claim {
            claim.note_carried_out();
        }
        Ok(done)
    }

    /// Runs a command on an experiment, under lock, if it is still at the version that the caller read.
    async fn on_experiment<T: Send + 'static>(
        &self,
        id: ExperimentId,
        if_match: Option<String>,
        work: impl Fn(&Context, &mut dyn Tx, Experiment) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.command(move |context, tx| {
            let experiment = context.lock(tx, id)?;
            edit::check_version(if_match.as_deref(), experiment.version)?;
            work(context, tx, experiment)
        })
        .await
    }
}

/// The key that a database's secrets are encrypted with, if any are.
pub async fn key_name_of(db: &Db) -> Result<Option<String>> {
    Ok(db.look(|tx: &mut dyn Tx| settings::get(tx, settings::SECRET_KEY_NAME)).await?)
}
