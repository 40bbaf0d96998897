//! Requests that are carried out once under a key of the client's choice, however often they are sent. That one was carried out
//! is written in the transaction of its first change; what it was answered, before the answer goes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Context, Registry, Result};
use crate::domain::error::{Conflict, Refusal};
use crate::store::{StoreError, Tx, idempotency_keys};

/// A key is kept for so long.
const KEPT_FOR: Duration = Duration::from_hours(24);

tokio::task_local! {
    /// Of the request that this task carries out, if it has one.
    static CLAIM: Arc<Claim>;
}

/// A request's claim to be carried out under its key, once.
pub struct Claim {
    /// Whose key it is: others may use the same.
    pub holder: String,
    pub key: String,
    /// By what the request is known again.
    pub request: Vec<u8>,
    is_carried_out: AtomicBool,
}

/// What became of an earlier request under the same key.
#[derive(Debug, PartialEq, Eq)]
pub enum Earlier {
    /// It was the same, and was answered so.
    Answered(Vec<u8>),
    /// It was the same, but what it was answered is not known: it is under way, or the process died.
    Unanswered,
    /// It was another request.
    Different,
}

impl Claim {
    pub fn of(holder: String, key: String, request: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { holder, key, request, is_carried_out: AtomicBool::new(false) })
    }

    /// Whether something was changed under it.
    pub fn is_carried_out(&self) -> bool {
        self.is_carried_out.load(Ordering::Acquire)
    }

    fn place(&self) -> String {
        format!("idempotency_keys.answer/{}/{}", self.holder, self.key)
    }
}

/// Carries out a request whose changes claim its key.
pub async fn under<T>(claim: Arc<Claim>, work: impl Future<Output = T>) -> T {
    CLAIM.scope(claim, work).await
}

/// The claim of the request that this task carries out.
pub(super) fn claim_of_this_task() -> Option<Arc<Claim>> {
    CLAIM.try_with(Arc::clone).ok()
}

impl Claim {
    /// To stand before anything else in the transaction.
    pub(super) fn record(&self, context: &Context, tx: &mut dyn Tx) -> Result<()> {
        if self.is_carried_out() {
            return Ok(());
        }
        let now = context.setup.clock.now();
        let place = (self.holder.as_str(), self.key.as_str());
        if idempotency_keys::claim(tx, place, &self.request, now, now.minus(KEPT_FOR))? {
            return Ok(());
        }
        let detail = "a request with this Idempotency-Key has just been carried out; send it again to get its answer";
        Err(Refusal::conflict(Conflict::SameKey, detail).into())
    }

    /// To be noted once the transaction is on disk.
    pub(super) fn note_carried_out(&self) {
        self.is_carried_out.store(true, Ordering::Release);
    }
}

impl Registry {
    /// What became of an earlier request under this key.
    pub async fn earlier(&self, claim: &Arc<Claim>) -> Result<Option<Earlier>> {
        let (of, since) = (claim.clone(), self.clock().now().minus(KEPT_FOR));
        let get = move |tx: &mut dyn Tx| idempotency_keys::get(tx, &of.holder, &of.key, since);
        let Some(kept) = self.db().read(get).await? else { return Ok(None) };
        if kept.request != claim.request {
            return Ok(Some(Earlier::Different));
        }
        let Some(sealed) = kept.answer else { return Ok(Some(Earlier::Unanswered)) };
        // One that was sealed before the encryption key was rotated is lost with the old key.
        let opened = self.vault().open(&claim.place(), &sealed);
        Ok(Some(opened.map_or(Earlier::Unanswered, Earlier::Answered)))
    }

    /// Keeps what a request that was carried out is answered.
    pub async fn keep_answer(&self, claim: &Arc<Claim>, answer: &[u8]) -> Result<()> {
        let sealed = self.vault().seal(&claim.place(), answer, self.ids().secret_bytes()).map_err(StoreError::from)?;
        let of = claim.clone();
        let set = move |tx: &mut dyn Tx| idempotency_keys::set_answer(tx, &of.holder, &of.key, &sealed);
        Ok(self.db().write(set).await?)
    }

    pub async fn prune_idempotency_keys(&self) -> Result<()> {
        let before = self.clock().now().minus(KEPT_FOR);
        Ok(self.db().write_outcomes(move |tx| idempotency_keys::prune(tx, before)).await?)
    }
}
