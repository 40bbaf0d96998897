//! Installing what a fresh Debian machine with Rust lacks. What is there already is left alone.
//!
//! Debian packages go where Debian puts them; all else goes into the user's cache and touches nothing outside it.

use std::{fs, path::Path, process::Command};

use crate::{
    folders,
    step::{cargo, is_successful, succeed, succeed_quietly},
};

type IsThere = fn() -> bool;

/// What Debian provides, and how to tell that it is there.
const DEBIAN: [(IsThere, &str); 8] = [
    (|| runs("cc", &["--version"]) && runs("make", &["--version"]), "build-essential"),
    (|| runs("node", &["--version"]), "nodejs"),
    (|| runs("strace", &["--version"]), "strace"),
    (|| runs("npm", &["--version"]), "npm"),
    (|| runs("chromium", &["--version"]), "chromium"),
    (|| runs("python3", &["--version"]), "python3"),
    (|| runs("python3", &["-c", "import venv, ensurepip"]), "python3-venv"),
    (|| Path::new("/usr/lib/postgresql/15/bin/initdb").exists(), "postgresql-15"),
];

pub fn run() -> Result<(), String> {
    debian()?;
    tools()?;
    let oracles = folders::oracles()?;
    install_once(&oracles.join("node"), "package.json", |folder, _| {
        let mut npm = Command::new("npm");
        npm.current_dir(folder).args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]);
        succeed_quietly(&mut npm)
    })?;
    install_once(&oracles.join("python"), "requirements.txt", pip_install)?;
    // On their own, for one of them wants an older numpy than the others, and one brings much that no other needs.
    install_once(&oracles.join("references"), "references.txt", pip_install)?;
    install_once(&oracles.join("schemathesis"), "schemathesis.txt", pip_install)?;
    // Each on its own, for they are two versions of one package.
    for version in ["eppo_metrics_sync-0.1.6", "eppo_metrics_sync-0.2.0"] {
        install_once(&oracles.join(version), &format!("{version}.txt"), pip_install)?;
    }
    Ok(())
}

/// What cargo runs as its own subcommands.
pub fn tools() -> Result<(), String> {
    for component in ["clippy", "rustfmt"] {
        if !is_successful(&mut cargo([component.trim_start_matches("rust"), "--version"])) {
            eprintln!("installing Rust's {component}");
            succeed_quietly(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    for (subcommand, tool, version) in [("deny", "cargo-deny", "0.20.2"), ("nextest", "cargo-nextest", "0.9.148")] {
        if !is_successful(&mut cargo([subcommand, "--version"])) {
            install_tool(tool, version)?;
        }
    }
    Ok(())
}

/// From the source that its authors publish, with the versions of their lock file: it runs with all rights of whoever
/// runs the checks, so nobody else's build of it will do. Without optimisation and debug information, for it runs for
/// seconds and is built once.
fn install_tool(tool: &str, version: &str) -> Result<(), String> {
    let folder = folders::tools()?;
    eprintln!("building {tool} {version} into {}, once; this takes minutes", folder.display());
    let build = folder.join("build");
    let mut install = cargo(["install", "--quiet", "--locked", "--debug", "--no-default-features", tool]);
    install.args(["--version", version, "--root"]).arg(&folder);
    install.env("CARGO_TARGET_DIR", &build).env("CARGO_PROFILE_DEV_DEBUG", "false");
    let installed = succeed(&mut install);
    // Of no use any more, whichever way it ended, and large.
    let removed = fs::remove_dir_all(&build);
    installed?;
    removed.map_err(|error| format!("{} cannot be removed: {error}", build.display()))
}

fn debian() -> Result<(), String> {
    let missing: Vec<_> = DEBIAN.iter().filter(|(is_there, _)| !is_there()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let all = missing.join(" ");
    if !runs("apt-get", &["--version"]) {
        return Err(format!("missing, and there is no apt-get to install them; install what Debian calls: {all}"));
    }
    eprintln!("installing the Debian packages {all}");
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(if is_root() { "env" } else { "sudo" });
        if !is_root() {
            command.arg("env");
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).args(arguments);
        succeed_quietly(&mut command)
    };
    apt_get(&["update"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat())
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    is_successful(Command::new(program).args(arguments))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// Installs into `folder` what the manifest in `xtask/oracles` asks for, again whenever the manifest changes.
fn install_once(
    folder: &Path,
    manifest: &str,
    install: impl Fn(&Path, &Path) -> Result<(), String>,
) -> Result<(), String> {
    let wanted = folders::workspace().join("xtask/oracles").join(manifest);
    let wanted_text = read(&wanted)?;
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted_text) {
        return Ok(());
    }
    eprintln!("installing {manifest} of the oracle tests into {}", folder.display());
    write(&folder.join(manifest), &wanted_text)?;
    install(folder, &wanted)?;
    // Last, so that an install that broke off is not taken for a whole one.
    write(&installed, &wanted_text)
}

fn pip_install(folder: &Path, requirements: &Path) -> Result<(), String> {
    succeed_quietly(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "--requirement",
    ]);
    succeed_quietly(pip.arg(requirements))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
