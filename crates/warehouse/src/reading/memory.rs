//! Remembers what was found in files, so that the next worker does not look at every value again.
//!
//! One small file for each that was scanned. Nothing depends on it: what cannot be read or is of another file is as good as
//! not there, and what cannot be written is not remembered.

use super::{Identity, Scan, TextFile};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Raised with every change of what is found in a file, or of how.
const VERSION: u32 = 1;
/// Files remembered, about; beyond, the oldest half is forgotten. More than a table may have.
const MOST_KEPT: usize = 20_000;
/// Files written between two looks at how many there are, which take long where there are many.
const LOOK_EVERY: u64 = 256;
/// What a scan takes at most; a file of more columns than that is scanned each time.
const LARGEST_KEPT: usize = 4 << 20;

#[derive(Clone, Debug)]
pub struct Memory {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    path: PathBuf,
    separator: u8,
    scan: Scan,
}

/// What is remembered of the file, or what is found in it now.
pub fn scan(file: &TextFile, memory: Option<&Memory>) -> Result<Scan, String> {
    let Some(memory) = memory else { return Scan::of(file) };
    let identity = file.identity().map_err(|error| format!("{error}: check its permissions"))?;
    if let Some(known) = memory.recall(file, &identity) {
        return Ok(known);
    }
    let scan = Scan::of(file)?;
    memory.keep(file, &scan);
    Ok(scan)
}

impl Memory {
    /// A folder of this program's own, which is made if missing; for its owner alone, as some values stand in it.
    pub fn at(folder: &Path) -> Option<Memory> {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(folder).ok()?;
        Some(Memory { folder: folder.to_owned() })
    }

    pub fn recall(&self, file: &TextFile, identity: &Identity) -> Option<Scan> {
        let bytes = std::fs::read(self.place(&file.path)).ok()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        let fits = kept.version == VERSION
            && kept.path == file.path
            && kept.separator == file.separator
            && kept.scan.identity == *identity;
        fits.then_some(kept.scan)
    }

    /// Not where the file has changed only just now: it might change again without that showing.
    pub fn keep(&self, file: &TextFile, scan: &Scan) {
        if scan.identity.is_fresh() {
            return;
        }
        let kept = Kept { version: VERSION, path: file.path.clone(), separator: file.separator, scan: scan.clone() };
        let Ok(bytes) = serde_json::to_vec(&kept) else { return };
        if bytes.len() > LARGEST_KEPT {
            return;
        }
        // Written aside, so that nobody reads the half of it; workers write at the same time.
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(LOOK_EVERY) {
            self.forget_the_oldest();
        }
        let aside = self.folder.join(format!("{}.{number}.aside", std::process::id()));
        let is_kept = write_private(&aside, &bytes).and_then(|()| std::fs::rename(&aside, self.place(&file.path)));
        if is_kept.is_err() {
            let _ = std::fs::remove_file(&aside);
        }
    }

    fn forget_the_oldest(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let mut found: Vec<_> = entries
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        if found.len() <= MOST_KEPT {
            return;
        }
        found.sort();
        found.iter().take(MOST_KEPT / 2).for_each(|(_, path)| drop(std::fs::remove_file(path)));
    }

    fn place(&self, path: &Path) -> PathBuf {
        self.folder.join(format!("{:016x}.json", fingerprint(path.as_os_str().as_encoded_bytes())))
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create(true).truncate(true).open(path)?.write_all(bytes)
}

/// FNV-1a, which is the same in every build. Two paths that share one forget each other, no more.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Packing;
    use std::time::{Duration, SystemTime};

    fn written(folder: &Path, content: &str, age: u64) -> TextFile {
        let path = folder.join("facts.csv");
        std::fs::write(&path, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - age);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        TextFile { path, name: "facts.csv".into(), separator: b',', packing: Packing::None }
    }

    #[test]
    fn what_was_found_is_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::at(&folder.path().join("memory")).unwrap();
        let file = written(folder.path(), "n,t\n1,a\n2,b\n", 0);
        let found = scan(&file, Some(&memory)).unwrap();
        let identity = file.identity().unwrap();
        assert_eq!(memory.recall(&file, &identity), Some(found));
        assert_eq!(memory.recall(&TextFile { separator: b'\t', ..file.clone() }, &identity), None);
        let changed = written(folder.path(), "n,t\n1,a\nx,b\n", 1);
        assert_eq!(memory.recall(&changed, &changed.identity().unwrap()), None);
        // What is broken is as good as not there, and is replaced.
        std::fs::write(memory.place(&file.path), "{\"version\":1,").unwrap();
        let again = scan(&changed, Some(&memory)).unwrap();
        assert_eq!(memory.recall(&changed, &again.identity), Some(again));
    }

    #[test]
    fn a_file_that_has_just_changed_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::at(&folder.path().join("memory")).unwrap();
        let file = written(folder.path(), "n\n1\n", 0);
        std::fs::write(&file.path, "n\n2\n").unwrap();
        let found = scan(&file, Some(&memory)).unwrap();
        assert_eq!(memory.recall(&file, &found.identity), None);
    }
}
