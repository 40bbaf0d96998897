//! A folder that is one table: its files, and the columns that the names of its subfolders add (`day=2026-03-01`).
//!
//! Whatever is visible in it is read, or the table is refused and the entry named: nothing is left out without a word.

use std::path::{Path, PathBuf};

use super::{FileFormat, FilePart, MOST_ENTRIES, READ, children, file_failure, format_of, resolve, text};
use crate::Failure;

/// Folders within folders; more is a mistake, or a link that leads back.
const DEEPEST: usize = 12;
/// How the tools that write such folders spell a null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Whether a folder is a table at all: some file in it, or below the folders that name a value, is of a kind that is read.
pub fn holds_a_table(folder: &Path) -> Result<bool, Failure> {
    holds(folder, 0)
}

fn holds(folder: &Path, depth: usize) -> Result<bool, Failure> {
    let entries = children(folder)?;
    let name = |path: &PathBuf| text(path.file_name()).unwrap_or_default();
    let is_data = |path: &PathBuf| format_of(&name(path)).is_some() && !path.is_dir();
    if entries.iter().any(is_data) {
        return Ok(true);
    }
    for entry in entries.iter().filter(|path| name(path).contains('=') && path.is_dir()) {
        if depth < DEEPEST && holds(entry, depth + 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files of the folder `name`, which lies at `path`.
pub fn parts(name: &str, path: &Path, allowed: &[PathBuf]) -> Result<Vec<FilePart>, Failure> {
    let mut found = Vec::new();
    gather(&Level { name: name.to_owned(), path, partition: Vec::new() }, allowed, &mut found)?;
    let Some(first) = found.first() else {
        return Err(refused(name, "holds no file", &format!("what is read is {READ}")));
    };
    let stem = |part: &FilePart| format_of(&part.name).map(|(stem, _)| stem.to_owned());
    for pair in found.windows(2) {
        // They are in the order of their names, so that those of one stem stand together.
        if stem(&pair[0]) == stem(&pair[1]) {
            let what =
                format!("has the stem of {:?}, as if one were the other packed, and both would be read", pair[0].name);
            return Err(refused(&pair[1].name, &what, "move one of them away, or rename it"));
        }
    }
    for other in &found {
        if is_parquet(other) != is_parquet(first) {
            let what = format!("stands beside {:?}, and a table is either of Parquet files or of others", first.name);
            return Err(refused(&other.name, &what, "move one of them to a folder of its own"));
        }
        let keys = |part: &FilePart| part.partition.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        if keys(other) != keys(first) {
            let what = format!(
                "lies in folders that name {:?}, while {:?} lies in such that name {:?}",
                keys(other),
                first.name,
                keys(first)
            );
            return Err(refused(&other.name, &what, "let all files lie in folders of the same names"));
        }
    }
    Ok(found)
}

struct Level<'a> {
    name: String,
    path: &'a Path,
    partition: Vec<(String, Option<String>)>,
}

fn gather(level: &Level<'_>, allowed: &[PathBuf], found: &mut Vec<FilePart>) -> Result<(), Failure> {
    for entry in children(level.path)? {
        let Some(file) = text(entry.file_name()) else {
            let name = format!("{}/{}", level.name, entry.file_name().unwrap_or_default().display());
            return Err(refused(&name, "has a name that is no UTF-8", "rename it"));
        };
        let name = format!("{}/{file}", level.name);
        let path = resolve(&entry, allowed)?;
        if path.is_dir() {
            let mut partition = level.partition.clone();
            partition.push(key_and_value(&name, &file)?);
            let twice = partition.iter().filter(|(key, _)| Some(key) == partition.last().map(|(key, _)| key)).count();
            if twice > 1 || partition.len() > DEEPEST {
                return Err(refused(&name, "names a value once more, or lies too deep", "give each name once"));
            }
            gather(&Level { name, path: &path, partition }, allowed, found)?;
        } else {
            let format = format_of(&file).map(|(_, format)| format);
            let advice = format!(
                "all files of a table's folder are read, which are {READ}; rename it, move it away, or put `_` before \
                 its name"
            );
            let format = format.ok_or_else(|| refused(&name, "is none of the files that are read", &advice))?;
            found.push(FilePart { path, name, format, partition: level.partition.clone() });
        }
        if found.len() > MOST_ENTRIES {
            return Err(refused(&level.name, &format!("has more than {MOST_ENTRIES} files"), "join some of them"));
        }
    }
    Ok(())
}

/// What a folder's name says: `day=2026-03-01`. Writers escape what a path cannot hold as `%2F`.
fn key_and_value(name: &str, folder: &str) -> Result<(String, Option<String>), Failure> {
    let unnamed = || {
        let advice = "a table's folder holds files, and folders only where each names a value of all rows in it, such as \
                      `day=2026-03-01`; move its files up, move it away, or put `_` before its name";
        refused(name, "is a folder", advice)
    };
    let (key, value) = folder.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(unnamed)?;
    let unescaped = |text: &str| {
        unescape(text).ok_or_else(|| refused(name, "has a `%` that stands for no UTF-8", "write it as `%25`"))
    };
    let value = if value == NULL || value.is_empty() { None } else { Some(unescaped(value)?) };
    Ok((unescaped(key)?, value))
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

fn is_parquet(part: &FilePart) -> bool {
    part.format == FileFormat::Parquet
}

fn refused(name: &str, what: &str, advice: &str) -> Failure {
    file_failure(Path::new(name), what, advice)
}
