//! The data folder: whether it is there, whose it is, how much room it has, and how long its disk takes for a sync.

use std::fs::{self, File};
use std::io::{self, Write};
#[cfg(target_os = "linux")]
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::Subject;
use crate::domain::check::Check;
use crate::domain::clock::Clock;

const MIB: u64 = 1024 * 1024;
/// Less room than this is soon used up.
const LITTLE_ROOM: u64 = 1024 * MIB;
/// Less than this, and changes are about to be refused.
const NO_ROOM: u64 = 100 * MIB;
/// A sync that takes longer is felt in every change.
const LONG_SYNC: Duration = Duration::from_millis(50);
const SYNCS: usize = 21;

pub fn examine(subject: &Subject) -> Vec<Check> {
    let folder = data_folder(&subject.data);
    if !subject.data.is_dir() {
        return vec![folder];
    }
    let key = match &subject.secret_key {
        Some(_) => Check::ok("secret_key_file", "the key is given by the setting secret_key"),
        None => private_file("secret_key_file", &subject.data.join("secret.key"), "it is made at the first start"),
    };
    let admin = private_file("admin_key_file", &subject.data.join("admin-key"), "there is none, which is as well");
    vec![folder, key, admin, disk(&subject.data), sync(&subject.data, &*subject.clock)]
}

fn data_folder(data: &Path) -> Check {
    let (name, shown) = ("data_folder", data.display());
    let mode = match fs::metadata(data) {
        Ok(found) if found.is_dir() => found.permissions().mode(),
        Ok(_) => return Check::failure(name, format!("{shown} is no folder"), "give another with --data"),
        Err(error) => {
            let advice = "give its folder with --data, or start the server, which makes it";
            return Check::failure(name, format!("{shown}: {error}"), advice);
        }
    };
    if let Err(error) = rustix::fs::access(data, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        let advice = "run doctor as the user that runs the server; if it is, give the folder to that user";
        return Check::failure(name, format!("this user cannot write into {shown}: {error}"), advice);
    }
    if mode & 0o022 != 0 {
        let finding = format!("other users may write into {shown} (mode {:o})", mode & 0o7777);
        return Check::warning(name, finding, format!("chmod 700 {shown}"));
    }
    Check::ok(name, format!("{shown} (mode {:o})", mode & 0o7777))
}

fn private_file(name: &'static str, path: &Path, if_missing: &str) -> Check {
    let shown = path.display();
    let mode = match fs::metadata(path) {
        Ok(found) => found.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::skipped(name, format!("{shown} is not there; {if_missing}"));
        }
        Err(error) => {
            return Check::failure(name, format!("{shown}: {error}"), "run doctor as the user that runs the server");
        }
    };
    if mode & 0o077 != 0 {
        let finding = format!("other users may read {shown} (mode {mode:o})");
        return Check::warning(name, finding, format!("chmod 600 {shown}"));
    }
    match File::open(path) {
        Ok(_) => Check::ok(name, format!("{shown} is its owner's alone (mode {mode:o})")),
        Err(error) => Check::failure(name, format!("{shown}: {error}"), "run doctor as the user that runs the server"),
    }
}

fn disk(data: &Path) -> Check {
    let name = "disk";
    let found = match rustix::fs::statvfs(data) {
        Ok(found) => found,
        Err(error) => return Check::skipped(name, format!("the room on the disk cannot be told: {error}")),
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let (finding, advice) =
        (format!("{} MiB are free below {}", free / MIB, data.display()), "make room, or move the data folder");
    match free {
        0..NO_ROOM => Check::failure(name, finding, advice),
        NO_ROOM..LITTLE_ROOM => Check::warning(name, finding, advice),
        _ => Check::ok(name, finding),
    }
}

/// Measured in a file without a name, which nobody sees and which is gone afterwards.
fn sync(data: &Path, clock: &dyn Clock) -> Check {
    let name = "sync";
    let measured = || {
        let mut file = nameless(data)?;
        let mut taken = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            file.write_all(&[0; 4096])?;
            let began = clock.monotonic();
            file.sync_data()?;
            taken.push(clock.monotonic().saturating_sub(began));
        }
        taken.sort_unstable();
        Ok::<_, io::Error>(taken[SYNCS / 2])
    };
    match measured() {
        Ok(median) => {
            let finding = format!("writing 4 KiB to the disk takes {:.2} ms", median.as_secs_f64() * 1000.0);
            match median > LONG_SYNC {
                true => Check::warning(name, finding, "every change waits for that; take a faster disk"),
                false => Check::ok(name, finding),
            }
        }
        Err(error) => Check::skipped(name, format!("it cannot be measured here: {error}")),
    }
}

#[cfg(target_os = "linux")]
fn nameless(folder: &Path) -> io::Result<File> {
    File::options().write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(folder)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}
