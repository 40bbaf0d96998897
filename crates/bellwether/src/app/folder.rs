//! The data folder: one process's at a time. What lies in it is for its owner alone, whatever the umask and the folder's own
//! mode; what is made in it is still there after a crash.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::StartError;
use crate::platform::secret::sync_folder_of;

/// Files of the embedded database; SQLite gives the later ones the mode of the first.
pub const DATABASE: [&str; 3] = ["bellwether.db", "bellwether.db-wal", "bellwether.db-shm"];

/// Makes the folder if there is none, and claims it for this process until the lock is dropped.
pub fn claim(data: &Path) -> Result<File, StartError> {
    let failed = |error| StartError::Data(data.display().to_string(), error);
    let made: Vec<&Path> = data.ancestors().take_while(|folder| !folder.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
    for folder in made {
        sync_folder_of(folder).map_err(failed)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(data.join("files")).map_err(failed)?;
    let lock = private_file(&data.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(StartError::InUse(data.display().to_string())),
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    let scratch = data.join("scratch");
    // What a killed process left of its runs: subjects' data, and much of it.
    let _ = std::fs::remove_dir_all(&scratch);
    DirBuilder::new().recursive(true).mode(0o700).create(&scratch).map_err(failed)?;
    Ok(lock)
}

/// Before SQLite makes or opens its files.
pub fn guard_database(data: &Path) -> Result<(), StartError> {
    let failed = |error| StartError::Data(data.display().to_string(), error);
    private_file(&data.join(DATABASE[0])).map_err(failed)?;
    for name in &DATABASE[1..] {
        let path = data.join(name);
        if path.exists() {
            make_private(&path);
        }
    }
    sync_folder_of(&data.join(DATABASE[0])).map_err(failed)
}

/// Opens a file, or makes it.
fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    make_private(path);
    Ok(file)
}

/// Some file systems have no modes, and are none the worse for starting.
pub fn make_private(path: &Path) {
    if let Err(error) = std::fs::set_permissions(path, Permissions::from_mode(0o600)) {
        tracing::warn!(%error, path = %path.display(), "others may be able to read this file");
    }
}
