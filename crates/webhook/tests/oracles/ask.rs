//! Asking another implementation, in a process of its own.

use std::{
    env,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::Verdict;

/// The folder where `cargo xtask setup` installs the packages.
fn installed(what: &str) -> PathBuf {
    let cache = || match env::var_os("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&env::var_os("HOME").expect("HOME is unset; set it, or BELLWETHER_ORACLES")).join(".cache"),
    };
    let oracles =
        env::var_os("BELLWETHER_ORACLES").map_or_else(|| cache().join("bellwether/oracles"), |folder| folder.into());
    let path = oracles.join(what);
    assert!(path.exists(), "{} is missing; run `cargo xtask setup`", path.display());
    path
}

pub fn node() -> Command {
    let mut node = Command::new("node");
    node.arg(script("oracle.mjs")).arg(installed("node/node_modules/standardwebhooks").ancestors().nth(2).unwrap());
    node
}

pub fn python() -> Command {
    let mut python = Command::new(installed("python/bin/python"));
    python.arg(script("oracle.py"));
    python
}

/// Asked for at run time: what was built in another checkout of the same cache names that one's folder.
fn script(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("tests/oracles").join(name)
}

/// Asks one process every question, a line each, and reads its answers.
pub fn ask(mut oracle: Command, questions: &[Value]) -> Vec<Verdict> {
    let mut child = oracle.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("run `cargo xtask setup`");
    let mut stdin = BufWriter::new(child.stdin.take().unwrap());
    let stdout = BufReader::new(child.stdout.take().unwrap());
    // The oracle answers while it is still being asked: whoever only wrote would block on a full pipe.
    let verdicts: Vec<Verdict> = std::thread::scope(|scope| {
        scope.spawn(move || questions.iter().try_for_each(|question| writeln!(stdin, "{question}")));
        stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    });
    assert!(child.wait().unwrap().success(), "the oracle {oracle:?} failed");
    assert_eq!(verdicts.len(), questions.len(), "the oracle {oracle:?} did not answer every question");
    verdicts
}
