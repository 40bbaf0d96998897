//! Which files of a warehouse's folder are tables, and the guard that keeps reading inside the allowed roots.
//!
//! Looks at names and paths only: nothing is opened here, so a folder of large files costs nothing until it is queried.
//! What a folder that is one table must look like is [`folder`]'s.

mod folder;
pub mod placing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{ErrorKind, Failure};

/// What is looked at in one folder; more would be a mistake, and cost every look at it.
const MOST_ENTRIES: usize = 10_000;

/// How a file's name says that it is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Values in lines, with the character between them.
    Csv {
        separator: u8,
        packing: Packing,
    },
    Parquet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Gzip,
    Zstd,
}

/// The endings of names that are read, without the point before them.
const ENDINGS: [(&str, FileFormat); 7] = [
    ("csv", FileFormat::Csv { separator: b',', packing: Packing::None }),
    ("csv.gz", FileFormat::Csv { separator: b',', packing: Packing::Gzip }),
    ("csv.zst", FileFormat::Csv { separator: b',', packing: Packing::Zstd }),
    ("tsv", FileFormat::Csv { separator: b'\t', packing: Packing::None }),
    ("tsv.gz", FileFormat::Csv { separator: b'\t', packing: Packing::Gzip }),
    ("tsv.zst", FileFormat::Csv { separator: b'\t', packing: Packing::Zstd }),
    ("parquet", FileFormat::Parquet),
];

/// The endings, for messages.
pub(crate) const READ: &str = "`.csv`, `.tsv` (each also with `.gz` or `.zst`) and `.parquet`";

/// One table: a file, or a folder of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTable {
    /// The name of the file or folder inside the warehouse's root.
    pub file: String,
    is_folder: bool,
    /// Others that would be the same table; there is none of that name then.
    rivals: Vec<String>,
}

/// One file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// With all symlinks followed.
    pub path: PathBuf,
    /// Relative to the warehouse's root, for messages.
    pub name: String,
    pub format: FileFormat,
    /// What the folders above it say of all its rows: `day=2026-03-01`. `None` is the null of such names.
    pub partition: Vec<(String, Option<String>)>,
}

/// The tables of a folder by name, which is the stem of the file. Hidden files and other kinds of file are no tables.
#[derive(Clone, Debug)]
pub struct FileTables {
    root: PathBuf,
    allowed: Vec<PathBuf>,
    tables: BTreeMap<String, FileTable>,
}

impl FileTables {
    /// Lists `folder`, which must lie below one of `roots` once symlinks are followed on both sides. A relative one is looked
    /// for below each of them, in their order; where the process was started has no part in it.
    pub fn of_folder(folder: &Path, roots: &[PathBuf]) -> Result<FileTables, Failure> {
        let (root, allowed) = root_of(folder, roots)?;
        let mut listed = FileTables { root, allowed, tables: BTreeMap::new() };
        for entry in children(&listed.root)? {
            listed.insert(&entry)?;
        }
        Ok(listed)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    pub fn get(&self, name: &str) -> Option<&FileTable> {
        self.tables.get(name)
    }

    /// What lies there under a name that is no table's, with what keeps it from being one.
    pub fn no_table(&self, name: &str) -> Option<String> {
        let is_it = |path: &PathBuf| {
            let stem =
                path.file_name().and_then(|file| file.to_str()).map(|file| file.split('.').next().unwrap_or(file));
            stem.is_some_and(|stem| stem.eq_ignore_ascii_case(name))
        };
        let found = children(&self.root).ok()?.into_iter().find(is_it)?;
        let file = text(found.file_name())?;
        if !found.is_dir() {
            return Some(format!("{file:?} is there, but ends in none of those"));
        }
        let within = children(&found).ok()?.into_iter().next();
        Some(match within.and_then(|within| text(within.file_name())) {
            Some(within) => {
                format!("the folder {file:?} is there, but what is in it ends in none of those, as {within:?}")
            }
            None => format!("the folder {file:?} is there, but nothing is in it"),
        })
    }

    /// The files to read for `table`, by name, each one vetted: a symlink that leaves the roots is refused by name, and so is
    /// a folder that holds what would be left out.
    pub fn parts(&self, table: &FileTable) -> Result<Vec<FilePart>, Failure> {
        if !table.rivals.is_empty() {
            return Err(Failure::of(
                ErrorKind::File,
                format!(
                    "{:?} and {:?} would both be this table, and a table is named by its stem: rename one of them",
                    table.file,
                    table.rivals.join("\", \"")
                ),
            ));
        }
        let path = self.root.join(&table.file);
        let resolved = resolve(&path, &self.allowed)?;
        if table.is_folder {
            return folder::parts(&table.file, &resolved, &self.allowed);
        }
        let format = format_of(&table.file).map(|(_, format)| format);
        let format = format.ok_or_else(|| file_failure(&path, "is no table", &format!("what is read is {READ}")))?;
        Ok(vec![FilePart { path: resolved, name: table.file.clone(), format, partition: Vec::new() }])
    }

    fn insert(&mut self, path: &Path) -> Result<(), Failure> {
        let Some(file) = text(path.file_name()) else { return Ok(()) };
        let is_folder = path.is_dir();
        let name = if is_folder {
            // Outside folders are not looked into; the name stays listed, so that a query is told why it is refused.
            let is_inside = resolve(path, &self.allowed).is_ok();
            if is_inside && !folder::holds_a_table(path)? {
                return Ok(());
            }
            file.clone()
        } else {
            match format_of(&file) {
                Some((stem, _)) => stem.to_owned(),
                None => return Ok(()),
            }
        };
        match self.tables.get_mut(&name) {
            Some(other) => other.rivals.push(file),
            None => {
                self.tables.insert(name, FileTable { file, is_folder, rivals: Vec::new() });
            }
        }
        Ok(())
    }
}

/// The stem of a file's name and how the file is read, if it is.
fn format_of(file: &str) -> Option<(&str, FileFormat)> {
    ENDINGS.iter().find_map(|(ending, format)| {
        let at = file.len().checked_sub(ending.len() + 1)?;
        let (stem, rest) = (file.get(..at)?, file.get(at..)?);
        let fits = rest.starts_with('.') && rest[1..].eq_ignore_ascii_case(ending) && !stem.is_empty();
        fits.then_some((stem, *format))
    })
}

/// A warehouse's folder and the roots, all with symlinks followed.
fn root_of(folder: &Path, roots: &[PathBuf]) -> Result<(PathBuf, Vec<PathBuf>), Failure> {
    // A root that is not there allows nothing, but must not forbid the others.
    let allowed: Vec<PathBuf> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
    let root = match folder.is_absolute() {
        true => resolve(folder, &allowed)?,
        false => below_a_root(folder, &allowed)?,
    };
    if !root.is_dir() {
        return Err(file_failure(folder, "is not a folder", "give the folder that holds the files"));
    }
    Ok((root, allowed))
}

fn below_a_root(folder: &Path, allowed: &[PathBuf]) -> Result<PathBuf, Failure> {
    let found = allowed.iter().map(|root| root.join(folder)).find(|path| path.exists());
    let missing =
        || file_failure(folder, &format!("is in none of {allowed:?}"), "check the path, or give it from / on");
    resolve(&found.ok_or_else(missing)?, allowed)
}

/// The path with all symlinks followed, if it then lies below an allowed root.
fn resolve(path: &Path, allowed: &[PathBuf]) -> Result<PathBuf, Failure> {
    let resolved = path.canonicalize().map_err(|error| file_failure(path, &error.to_string(), "check the path"))?;
    if allowed.iter().any(|root| resolved.starts_with(root)) {
        return Ok(resolved);
    }
    Err(Failure::of(
        ErrorKind::Forbidden,
        format!(
            "{} leads to {}, which is outside the allowed roots {allowed:?}: move it there, or extend `files_roots`",
            path.display(),
            resolved.display()
        ),
    ))
}

/// The visible entries of a folder, by name, so that errors and listings do not depend on the file system's order.
fn children(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| file_failure(folder, &error.to_string(), "check its permissions");
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path())).take(MOST_ENTRIES + 1);
    let mut paths: Vec<PathBuf> = entries.collect::<Result<_, _>>().map_err(unreadable)?;
    if paths.len() > MOST_ENTRIES {
        let what = format!("has more than {MOST_ENTRIES} files and folders in it");
        return Err(file_failure(folder, &what, "divide it"));
    }
    // A name that is no UTF-8 is seen too: what it holds must not be left out without a word.
    paths.retain(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")));
    paths.retain(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"_")));
    paths.sort();
    Ok(paths)
}

fn text(name: Option<&std::ffi::OsStr>) -> Option<String> {
    name.and_then(|name| name.to_str()).map(str::to_owned)
}

fn file_failure(path: &Path, what: &str, advice: &str) -> Failure {
    Failure::of(ErrorKind::File, format!("{}: {what}; {advice}", path.display()))
}
