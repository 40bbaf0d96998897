//! Whether a file is still the one that was looked at: its size, its time of change, and where it lies on the disk.

use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::time::{Duration, UNIX_EPOCH};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub size: u64,
    /// Of the last change, since 1970.
    changed: Duration,
    /// Of the last change of anything about it, in nanoseconds: this one nobody can set back.
    touched: (i64, i64),
    inode: u64,
    device: u64,
}

impl Identity {
    pub fn of(metadata: &Metadata) -> Identity {
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let (inode, device, touched) = place(metadata);
        Identity { size: metadata.len(), changed: changed.unwrap_or_default(), touched, inode, device }
    }

    /// Whether the file may change once more without that showing in its time, because it has changed only just now.
    pub fn is_fresh(&self) -> bool {
        /// Longer than the grain of any file system's times.
        const GRAIN: Duration = Duration::from_secs(3);
        #[allow(
            clippy::disallowed_methods,
            reason = "a file's time is of the machine's clock, and only compared with it"
        )]
        let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(GRAIN) < self.changed
    }
}

#[cfg(unix)]
fn place(metadata: &Metadata) -> (u64, u64, (i64, i64)) {
    use std::os::unix::fs::MetadataExt;
    (metadata.ino(), metadata.dev(), (metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(not(unix))]
fn place(_: &Metadata) -> (u64, u64, (i64, i64)) {
    (0, 0, (0, 0))
}
