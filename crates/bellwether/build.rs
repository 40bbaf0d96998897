//! Finds the migrations: a file of each number in both folders. Writes the list that `store/engine/migrate.rs` includes. And has
//! the linker fold functions of the same code into one, where it is known to be able to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

type Found = Result<BTreeMap<String, PathBuf>, String>;

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=migrations");
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    // Rust's own linker links for this target. Generic code is much alike: 2.6 of 99 MB are saved.
    if variable("TARGET")? == "x86_64-unknown-linux-gnu" && variable("PROFILE")? == "release" {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
    let migrations = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("migrations");
    let (sqlite, postgres) = (scripts(&migrations.join("sqlite"))?, scripts(&migrations.join("postgres"))?);
    if !sqlite.keys().eq(postgres.keys()) {
        return Err("migrations/sqlite and migrations/postgres must have files of the same names".to_owned());
    }
    let mut list = String::from("&[\n");
    for (position, (name, path)) in sqlite.iter().enumerate() {
        let version = position + 1;
        if !name.starts_with(&format!("{version:04}_")) || !name.ends_with(".sql") {
            return Err(format!(
                "migrations/…/{name}: its name should be {version:04}_….sql, for numbers have no gaps"
            ));
        }
        let included = |path: &Path| format!("include_str!({:?})", path.display().to_string());
        let (sqlite, postgres) = (included(path), included(&postgres[name]));
        writeln!(list, "    Migration {{ version: {version}, sqlite: {sqlite}, postgres: {postgres} }},")
            .map_err(|error| error.to_string())?;
    }
    list.push(']');
    let target = Path::new(&variable("OUT_DIR")?).join("migrations.rs");
    std::fs::write(&target, list).map_err(|error| format!("{}: {error}", target.display()))
}

/// The files of a folder by name.
fn scripts(folder: &Path) -> Found {
    let unread = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a migration's name is not UTF-8")?;
        found.insert(name.to_owned(), path);
    }
    Ok(found)
}
