//! Where things lie: the workspace, and what setup installs for it in the user's cache.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The root of the workspace. Cargo names the folder of the running xtask; the path at build time may be another's.
pub fn workspace() -> PathBuf {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

/// Where cargo's subcommands are installed that the user does not have.
pub fn tools() -> Result<PathBuf, String> {
    Ok(cache()?.join("tools"))
}

/// Where the packages are installed that the oracle tests compare with.
pub fn oracles() -> Result<PathBuf, String> {
    match env::var_os("BELLWETHER_ORACLES") {
        Some(folder) => Ok(folder.into()),
        None => Ok(cache()?.join("oracles")),
    }
}

/// The user's `PATH`, and last the tools: those that the user has go first.
pub fn search_path() -> Option<OsString> {
    let user = env::var_os("PATH").unwrap_or_default();
    env::join_paths(env::split_paths(&user).chain([tools().ok()?.join("bin")])).ok()
}

fn cache() -> Result<PathBuf, String> {
    let parent = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let parent = parent.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let parent =
        parent.ok_or("neither XDG_CACHE_HOME nor HOME is set; set one, for there is no place to install to")?;
    Ok(parent.join("bellwether"))
}
