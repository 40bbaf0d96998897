//! Putting a file into a warehouse's folder: under which names, and so that nobody ever reads a part of it.
//!
//! It is written aside, under a hidden name in the folder that it is for, synced, and then renamed to its own. Of two at once
//! the last rename wins.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{READ, format_of, resolve, root_of};

/// How a file is called that is being written.
const HIDDEN: &str = ".upload-";
/// A hidden file that nobody has written to for so long is a dead process's.
const ABANDONED: Duration = Duration::from_hours(1);
/// Bytes of a name that all file systems take.
const LONGEST_NAME: usize = 255;

/// Why a file is not there.
#[derive(Debug)]
pub enum Unplaced {
    /// It cannot have this name; says why, and which are allowed.
    Name(String),
    /// The warehouse's folder cannot take it.
    Folder(String),
    Disk(io::Error),
}

impl From<io::Error> for Unplaced {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// A file on its way. Dropped before it is finished, it leaves nothing.
pub struct Placing {
    file: File,
    hidden: PathBuf,
    /// Where it is to lie: the folder, which may have to be made, and the name in it.
    folder: PathBuf,
    target: PathBuf,
    is_placed: bool,
}

/// The table that a file of this name belongs to, if it may have the name: `orders` for `orders.csv`, and for
/// `orders/part-1.parquet`.
pub fn table_of(name: &str) -> Result<&str, String> {
    let refuse = |what: &str| {
        Err(format!(
            "{name:?} was given, {what}; give a file's name, like `orders.csv`, or one in a folder that is the table, like \
             `orders/part-1.parquet`, that ends in one of {READ}"
        ))
    };
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() > 2 {
        return refuse("which lies in a folder within a folder");
    }
    for part in &parts {
        if part.is_empty() || part.starts_with(['.', '_']) {
            return refuse("in which a part is empty or begins with `.` or `_`, and would not be read");
        }
        if part.len() > LONGEST_NAME || part.contains(|c: char| c.is_control() || c == '\\') {
            return refuse("which is too long, or holds a control character or `\\`");
        }
    }
    match (parts.as_slice(), format_of(parts[parts.len() - 1])) {
        (_, None) => refuse("which is none of the files that are read"),
        ([folder, _], Some(_)) => Ok(folder),
        (_, Some((stem, _))) => Ok(stem),
    }
}

impl Placing {
    /// Begins to write the file `name` into the warehouse at `folder`, below one of `roots`. `unique` sets it apart from
    /// others of the same name.
    pub fn begin(
        folder: &Path,
        roots: &[PathBuf],
        name: &str,
        unique: &str,
        now: SystemTime,
    ) -> Result<Self, Unplaced> {
        table_of(name).map_err(Unplaced::Name)?;
        let (root, allowed) = root_of(folder, roots).map_err(|failure| Unplaced::Folder(failure.to_string()))?;
        let path = root.join(name);
        let parent = path.parent().unwrap_or(&root).to_owned();
        let file = path.file_name().unwrap_or_default();
        let is_there = parent.symlink_metadata().is_ok();
        let inside = if is_there { resolve(&parent, &allowed).ok() } else { Some(parent.clone()) };
        let inside = inside.filter(|inside| inside.starts_with(&root) && (inside.is_dir() || !is_there));
        let folder = inside.ok_or_else(|| {
            Unplaced::Name(format!(
                "{name:?} was given, whose folder is a file there, or leads out of the warehouse's folder"
            ))
        })?;
        let target = folder.join(file);
        if target.symlink_metadata().is_ok_and(|there| !there.is_file()) {
            return Err(Unplaced::Name(format!(
                "{name:?} was given, which is a folder or a link there; remove it first"
            )));
        }
        let aside = if is_there { &folder } else { &root };
        remove_abandoned(aside, now);
        let hidden = aside.join(format!("{HIDDEN}{unique}"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden)?;
        Ok(Self { file, hidden, folder, target, is_placed: false })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts it in its place once it is on disk; tells whether there was none of its name.
    pub fn finish(mut self) -> io::Result<bool> {
        self.file.sync_all()?;
        let makes_folder = !self.folder.is_dir();
        if makes_folder {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        }
        let is_new = self.target.symlink_metadata().is_err();
        if let Err(error) = std::fs::rename(&self.hidden, &self.target) {
            if makes_folder {
                // It fails where another has put a file there meanwhile.
                let _ = std::fs::remove_dir(&self.folder);
            }
            return Err(error);
        }
        self.is_placed = true;
        File::open(&self.folder)?.sync_all()?;
        if let Some(above) = self.folder.parent().filter(|_| makes_folder) {
            File::open(above)?.sync_all()?;
        }
        Ok(is_new)
    }
}

impl Drop for Placing {
    fn drop(&mut self) {
        if !self.is_placed {
            // Where it fails, a later upload removes it.
            let _ = std::fs::remove_file(&self.hidden);
        }
    }
}

/// What processes left behind that died. It is in nobody's way, so that nothing depends on it.
fn remove_abandoned(folder: &Path, now: SystemTime) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(HIDDEN));
        let written = if is_ours { entry.metadata().and_then(|there| there.modified()).ok() } else { None };
        if written.is_some_and(|written| now.duration_since(written).is_ok_and(|age| age > ABANDONED)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path, name: &str, text: &str) -> Result<bool, Unplaced> {
        let root = folder.to_owned();
        let mut placing =
            Placing::begin(&folder.join("w"), &[root], name, name.rsplit('/').next().unwrap(), SystemTime::UNIX_EPOCH)?;
        placing.write(text.as_bytes())?;
        Ok(placing.finish()?)
    }

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn names_are_those_of_files_that_are_read() {
        for (name, table) in
            [("orders.csv", "orders"), ("a.b.tsv.gz", "a.b"), ("facts/p.parquet", "facts"), ("ö.CSV.zst", "ö")]
        {
            assert_eq!(table_of(name), Ok(table));
        }
        for name in [
            "",
            "/",
            ".csv",
            "orders",
            "orders.txt",
            "../x.csv",
            "x/../y.csv",
            "/x.csv",
            "x//y.csv",
            "a/b/c.csv",
            "_x.csv",
            ".x.csv",
            "_a/x.csv",
            ".a/x.csv",
            "a/",
            "x\0.csv",
            "a\\b.csv",
            "x\n.csv",
            "./x.csv",
        ] {
            let refusal = table_of(name).unwrap_err();
            assert!(refusal.contains("was given") && refusal.contains(".parquet"), "{name:?}: {refusal}");
        }
    }

    #[test]
    fn it_comes_whole_or_not_at_all_and_replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("w");
        assert!(matches!(place(folder.path(), "a.csv", "1"), Err(Unplaced::Folder(_))), "there is no folder");
        std::fs::create_dir(&inside).unwrap();
        assert!(place(folder.path(), "a.csv", "1").unwrap());
        assert!(!place(folder.path(), "a.csv", "22").unwrap());
        assert!(place(folder.path(), "t/p.csv", "3").unwrap());
        assert_eq!(std::fs::read_to_string(inside.join("a.csv")).unwrap(), "22");
        let roots = [folder.path().to_owned()];
        for name in ["b.csv", "new/b.csv", "t/b.csv"] {
            let mut placing = Placing::begin(&inside, &roots, name, "u", SystemTime::UNIX_EPOCH).unwrap();
            placing.write(b"half").unwrap();
        }
        assert_eq!(
            (entries(&inside), entries(&inside.join("t"))),
            (vec!["a.csv".into(), "t".into()], vec!["p.csv".into()])
        );
    }

    #[test]
    fn no_link_leads_out_and_none_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let inside = folder.path().join("w");
        std::fs::create_dir_all(inside.join("d.csv")).unwrap();
        std::fs::create_dir_all(folder.path().join("other")).unwrap();
        std::fs::write(inside.join("file"), "").unwrap();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, inside.join(name)).unwrap();
        link(outside.path(), "out");
        link(&folder.path().join("other"), "beside");
        link(&outside.path().join("x.csv"), "l.csv");
        for name in ["out/x.csv", "beside/x.csv", "l.csv", "d.csv", "file/x.csv"] {
            assert!(matches!(place(folder.path(), name, "1"), Err(Unplaced::Name(_))), "{name}");
        }
        assert!(entries(outside.path()).is_empty());
        std::fs::create_dir(inside.join("t")).unwrap();
        link(&inside.join("t"), "same");
        assert!(place(folder.path(), "same/x.csv", "1").unwrap());
    }

    #[test]
    fn what_a_dead_process_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("w");
        std::fs::create_dir(&inside).unwrap();
        for name in [".upload-1", ".hidden", "x.csv"] {
            std::fs::write(inside.join(name), "").unwrap();
        }
        let written = std::fs::metadata(inside.join(".upload-1")).unwrap().modified().unwrap();
        let roots = [folder.path().to_owned()];
        let begin =
            |unique: &str, later| drop(Placing::begin(&inside, &roots, "y.csv", unique, written + later).unwrap());
        begin("2", ABANDONED);
        assert_eq!(entries(&inside), [".hidden", ".upload-1", "x.csv"]);
        begin("3", ABANDONED + Duration::from_secs(5));
        assert_eq!(entries(&inside), [".hidden", "x.csv"]);
    }
}
