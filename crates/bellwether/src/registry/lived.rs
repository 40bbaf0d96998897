//! Lived time: the time that processes have counted together while they ran, in a counter that all share. What cannot be
//! undone goes by its differences, and not by a wall clock that may jump. Who counts is `maintenance::lived`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Registry;
use crate::store::{StoreError, Tx, lived};

/// No more is counted at once, however long a count took to come.
pub const LONGEST_COUNT: Duration = Duration::from_secs(60);

/// What the counter stood at when this process last looked.
#[derive(Default)]
pub(super) struct Lived(AtomicU64);

impl Registry {
    /// How long the installation has lived, to a minute.
    pub fn lived(&self) -> Duration {
        Duration::from_secs(self.context.lived.0.load(Ordering::Acquire))
    }

    /// Counts the time that has passed since this process last counted: at most a minute, and nothing where another process
    /// has counted meanwhile.
    pub async fn live(&self, by: Duration) -> Result<(), StoreError> {
        let (seen, by, wall) = (self.lived(), by.min(LONGEST_COUNT), self.clock().now());
        let advance = move |tx: &mut dyn Tx| lived::advance(tx, seen, by, wall);
        let lived = self.db().write_outcomes::<_, StoreError, _>(advance).await?;
        self.context.lived.0.store(lived.as_secs(), Ordering::Release);
        Ok(())
    }
}
