//! The project's chores, as `cargo xtask <chore>`: whatever a fresh machine needs is installed by the chore itself.
//!
//! Nothing here is part of the server.

mod check;
mod folders;
mod layout;
mod setup;
mod step;

use std::{env, path::Path, process::ExitCode};

use step::{Step, cargo};

const USAGE: &str = "\
usage: cargo xtask <chore>

  setup            install what is missing: Debian packages, cargo-nextest, cargo-deny, the packages of the oracle tests
  check            formatting, lints, licences and sources of the dependencies, layout
  check --layout   the layout alone
  test             setup, check, then all tests
  dev [ARGS…]      run the server on a data folder for development; ARGS go to `bellwether serve`";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["setup"] => setup::run(),
        ["check"] => setup::tools().and_then(|()| check::run()),
        ["check", "--layout"] => layout::check(&folders::workspace()),
        ["test"] => test(),
        ["dev", rest @ ..] => dev(rest),
        [] => Err(USAGE.to_owned()),
        given => Err(format!("`{}` is no chore\n\n{USAGE}", given.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// What fails soonest comes first: the checks need no build of the whole.
fn test() -> Result<(), String> {
    Step::begin("setup").end(setup::run())?;
    check::run()?;
    let oracles = folders::oracles()?;
    let mut nextest = cargo(["nextest", "run", "--workspace", "--no-tests=fail"]);
    Step::begin("tests").command(nextest.env("BELLWETHER_ORACLES", &oracles))?;
    let mut documentation = cargo(["test", "--quiet", "--workspace", "--doc"]);
    Step::begin("examples in the documentation").command(documentation.env("BELLWETHER_ORACLES", &oracles))
}

fn dev(arguments: &[&str]) -> Result<(), String> {
    let data = Path::new("target").join("dev");
    let mut server = cargo(["run", "--package", "bellwether", "--", "serve", "--data"]);
    step::succeed(server.arg(data).args(arguments))
}
