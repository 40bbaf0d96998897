//! Finds the migrations: a file of each number in both folders. Writes the list that `store/engine/migrate.rs` includes. And has
//! the linker make the program smaller, where it is known to be able to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

type Found = Result<BTreeMap<String, PathBuf>, String>;

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=migrations");
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    // Rust's own linker links for this target. Generic code is much alike: 2.6 of 99 MB are saved.
    if variable("TARGET")? == "x86_64-unknown-linux-gnu" && variable("PROFILE")? == "release" {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        // 5 MB more, where the machine that builds can start what comes of it.
        if variable("HOST")? == variable("TARGET")? && glibc() >= PACKED_RELOCATIONS {
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
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

/// The first glibc that reads addresses to be moved at the start in their short form.
const PACKED_RELOCATIONS: (u32, u32) = (2, 36);

/// The version that this machine has; 0 where there is none, or it does not say.
fn glibc() -> (u32, u32) {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().map(|output| output.stdout);
    let said = String::from_utf8(said.unwrap_or_default()).unwrap_or_default();
    let version = said.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let number = |text: &str| text.parse().ok();
    version.and_then(|(major, minor)| number(major).zip(number(minor))).unwrap_or_default()
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
