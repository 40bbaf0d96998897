//! Which files of a folder are tables, and the guard that keeps reading inside the allowed roots.
//!
//! Looks at names and paths only: nothing is opened here, so a folder of large files costs nothing until it is queried.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{ErrorKind, Failure};

/// What is looked at in one folder; more would be a mistake, and cost every look at it.
const MOST_ENTRIES: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Csv,
    Parquet,
}

/// One table: a CSV or Parquet file, or a folder of Parquet files (its direct children).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTable {
    pub format: FileFormat,
    /// The name of the file or folder inside the warehouse's root.
    pub file: String,
    is_folder: bool,
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
        // A root that is not there allows nothing, but must not forbid the others.
        let allowed: Vec<PathBuf> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
        let root = match folder.is_absolute() {
            true => resolve(folder, &allowed)?,
            false => below_a_root(folder, &allowed)?,
        };
        if !root.is_dir() {
            return Err(file_failure(folder, "is not a folder", "give the folder that holds the files"));
        }
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

    /// The resolved paths to read for `table`, each one vetted: a symlink that leaves the roots is refused by name.
    pub fn paths(&self, table: &FileTable) -> Result<Vec<PathBuf>, Failure> {
        let path = self.root.join(&table.file);
        let resolved = resolve(&path, &self.allowed)?;
        if !table.is_folder {
            return Ok(vec![resolved]);
        }
        let parts: Vec<PathBuf> = children(&resolved)?.into_iter().filter(|part| is_parquet(part)).collect();
        parts.iter().map(|part| resolve(part, &self.allowed)).collect()
    }

    fn insert(&mut self, path: &Path) -> Result<(), Failure> {
        let (Some(file), Some(stem)) = (text(path.file_name()), text(path.file_stem())) else {
            return Ok(());
        };
        let extension = text(path.extension()).unwrap_or_default().to_ascii_lowercase();
        let (name, table) = if path.is_dir() {
            // Outside folders are not looked into; the name stays listed, so that a query is told why it is refused.
            let is_inside = resolve(path, &self.allowed).is_ok();
            if is_inside && !children(path)?.iter().any(|part| is_parquet(part)) {
                return Ok(());
            }
            (file.clone(), FileTable { format: FileFormat::Parquet, file, is_folder: true })
        } else {
            let format = match extension.as_str() {
                "csv" => FileFormat::Csv,
                "parquet" => FileFormat::Parquet,
                _ => return Ok(()),
            };
            (stem, FileTable { format, file, is_folder: false })
        };
        if let Some(other) = self.tables.get(&name) {
            return Err(Failure::of(
                ErrorKind::File,
                format!(
                    "{:?} and {:?} would both be the table {name:?}; a table is named by its stem: rename one",
                    other.file, table.file
                ),
            ));
        }
        self.tables.insert(name, table);
        Ok(())
    }
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
    paths.retain(|path| text(path.file_name()).is_some_and(|name| !name.starts_with(['.', '_'])));
    paths.sort();
    Ok(paths)
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")) && !path.is_dir()
}

fn text(name: Option<&std::ffi::OsStr>) -> Option<String> {
    name.and_then(|name| name.to_str()).map(str::to_owned)
}

fn file_failure(path: &Path, what: &str, advice: &str) -> Failure {
    Failure::of(ErrorKind::File, format!("{}: {what}; {advice}", path.display()))
}
