//! Walking a path, which is a program for Node beside this file, in Debian's Chromium.

use std::path::PathBuf;
use std::process::Command;

use bellwether_bench::server::ADMIN_KEY;
use serde_json::{Value, json};

use crate::installation::Installation;

/// Walks it; `told` is what the path needs to know besides the server's address, the admin key and where a receiver listens.
pub async fn walk(path: &'static str, here: &Installation, told: Value) {
    // Asked for at run time: what was built in another checkout of the same cache names that one's folder.
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let oracles = std::env::var_os("BELLWETHER_ORACLES").map(PathBuf::from);
    let modules = oracles.unwrap_or_else(|| cache.join("bellwether/oracles")).join("node/node_modules");
    assert!(
        modules.join("playwright-core").exists(),
        "{} has no playwright-core; run `cargo xtask setup`",
        modules.display()
    );
    let mut all = json!({"url": here.url(), "key": ADMIN_KEY, "receiver": here.receiver.url("")});
    all.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
    let mut node = Command::new("node");
    node.arg(package.join("tests/console").join(path)).env("NODE_PATH", modules).env("CONSOLE", all.to_string());
    node.env("CONSOLE_FAILURES", env!("CARGO_TARGET_TMPDIR"));
    let ended = tokio::task::spawn_blocking(move || node.output().unwrap()).await.unwrap();
    let [said, complained] = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(ended.status.success(), "{path} ended with {}:\n{said}\n{complained}", ended.status);
    println!("{said}");
}
