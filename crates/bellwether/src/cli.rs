//! The command line: parses, then calls. One file a subcommand.

mod api_client;
mod backup;
mod demo;
mod doctor;
mod listen;
mod login;
mod progress_bar;
mod receiver;
mod serve;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps experiments, computes their results, and tells other systems of every change.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Doctor(doctor::Doctor),
    Demo(demo::Demo),
    Listen(listen::Listen),
    LoginLink(login::LoginLink),
    Invite(login::Invite),
    /// Run queries for a server that started this process; not for people
    #[command(hide = true)]
    Worker,
}

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Worker = cli.command {
        return worker();
    }
    let log =
        tracing_subscriber::EnvFilter::try_from_env("BELLWETHER_LOG").unwrap_or_else(|_| "warn,bellwether=info".into());
    // Colours are for people at a terminal; files and collectors would get their codes.
    let has_colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(log).with_ansi(has_colours).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    // Whether all is well.
    let result = runtime.block_on(async {
        let done = match cli.command {
            Command::Serve(serve) => serve.run().await,
            Command::Backup(backup) => backup.run(),
            Command::Restore(restore) => restore.run(),
            Command::Doctor(doctor) => return doctor.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Listen(listen) => listen.run().await,
            Command::LoginLink(login_link) => login_link.run().await,
            Command::Invite(invite) => invite.run().await,
            Command::Worker => Ok(()),
        };
        done.map(|()| true)
    });
    // A look at a folder on a mount that hangs would hold the end up for ever.
    runtime.shutdown_background();
    result.map_or_else(|error| fail(&error), |is_well| if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn fail(error: &str) -> ExitCode {
    eprintln!("bellwether: {error}");
    ExitCode::FAILURE
}

/// The embedded engine's process. It talks over its standard input and output, and logs nothing.
#[cfg(feature = "embedded")]
fn worker() -> ExitCode {
    bellwether_warehouse::worker::serve(std::io::stdin(), std::io::stdout())
}

#[cfg(not(feature = "embedded"))]
fn worker() -> ExitCode {
    fail("this program was built without the embedded engine (feature `embedded`)")
}
