//! The store's threads. One that panics takes the process with it: the rest would go on taking what nobody carries out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

use super::StoreError;

pub fn spawn(name: impl Into<String>, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let watched = move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("a thread of the store failed; ending the process, for the next start to go on");
            std::process::abort();
        }
    };
    let thread = Builder::new().name(name.into()).spawn(watched);
    thread.map_err(|error| StoreError::Failed(format!("cannot start a thread: {error}")))
}
