//! Running commands, one timed step after another, so that a slow or failing one is seen at once.

use std::{
    env,
    process::{Command, Stdio},
    time::Instant,
};

use crate::folders;

/// One named part of a chore.
pub struct Step {
    name: &'static str,
    begun: Instant,
}

impl Step {
    #[expect(clippy::disallowed_methods, reason = "a chore on the developer's own time")]
    pub fn begin(name: &'static str) -> Step {
        eprintln!("==> {name}");
        Step { name, begun: Instant::now() }
    }

    pub fn end(self, outcome: Result<(), String>) -> Result<(), String> {
        let word = if outcome.is_ok() { "done" } else { "FAILED" };
        eprintln!("    {}: {word} after {:.1} s", self.name, self.begun.elapsed().as_secs_f64());
        outcome
    }

    pub fn command(self, command: &mut Command) -> Result<(), String> {
        let outcome = succeed(command);
        self.end(outcome)
    }
}

/// Runs a command to its end, in view.
pub fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{} does not start: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", shown(command))) }
}

/// Runs a command that is shown only if it fails.
pub fn succeed_quietly(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{} does not start: {error}", shown(command)))?;
    if output.status.success() {
        return Ok(());
    }
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(format!("{stdout}{stderr}{} failed: {}", shown(command), output.status))
}

/// Whether a command is there and does well.
pub fn is_successful(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A cargo command at the root of the workspace, which finds the tools that setup installed.
pub fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folders::workspace()).args(arguments).envs(folders::search_path().map(|path| ("PATH", path)));
    cargo
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    format!("`{}`", words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
}
