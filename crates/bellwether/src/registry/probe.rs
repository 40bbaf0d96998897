//! Whether anything can be written: found out by writing, for a disk that is full, or a database that only reads, still reads.

use std::time::Duration;

use super::Registry;
use crate::store::{StoreError, Tx, settings};

/// Anyone may ask; the database is asked no more often than this.
const PROBED_EVERY: Duration = Duration::from_secs(1);

/// When it was tried, and what came of it.
pub type Probed = (Duration, Result<(), StoreError>);

impl Registry {
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        // Who comes meanwhile waits for the same answer.
        let mut probed = self.context.probed.lock().await;
        let now = self.clock().monotonic();
        if let Some((_, result)) = probed.as_ref().filter(|(at, _)| now.saturating_sub(*at) < PROBED_EVERY) {
            return result.clone();
        }
        let written_at = self.clock().now().to_string();
        let write = move |tx: &mut dyn Tx| settings::set(tx, settings::WRITTEN_AT, &written_at);
        let result = self.db().write(write).await;
        *probed = Some((now, result.clone()));
        result
    }
}
