//! The store's threads. One that panics takes the process with it: the rest would go on taking what nobody carries out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

use crate::store::StoreError;

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

/// Lets others have the processor before the calling thread, as by `nice`; 0 changes nothing. Only Linux knows this of a
/// thread; elsewhere it would be the whole process.
pub fn give_way(niceness: i32) {
    #[cfg(target_os = "linux")]
    if niceness > 0 && rustix::process::nice(niceness).is_err() {
        tracing::debug!("a thread of the store keeps the priority of the others");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn one_thread_gives_way_and_no_other() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let given = std::thread::spawn(move || {
            give_way(3);
            niceness()
        });
        assert_eq!(given.join().unwrap(), (before + 3).min(19));
        assert_eq!(niceness(), before);
    }
}
