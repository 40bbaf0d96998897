//! The command line: parses, then calls. One file a subcommand.

mod api_client;
mod backup;
mod demo;
mod doctor;
mod forwarding;
mod listen;
mod login;
mod progress_bar;
mod receiver;
mod serve;
#[cfg(feature = "otel")]
mod traces;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let inside = runtime.enter();
    let sending = match log() {
        Ok(sending) => sending,
        Err(error) => return fail(&error),
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
    drop(sending);
    drop(inside);
    // A look at a folder on a mount that hangs would hold the end up for ever.
    runtime.shutdown_background();
    result.map_or_else(|error| fail(&error), |is_well| if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where one of these variables names a collector, spans are sent to it.
const COLLECTORS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

fn names_collector() -> bool {
    COLLECTORS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Logs to standard error, and sends spans to where they are wanted until what is given back is dropped.
fn log() -> Result<impl Sized, String> {
    let log =
        tracing_subscriber::EnvFilter::try_from_env("BELLWETHER_LOG").unwrap_or_else(|_| "warn,bellwether=info".into());
    // Colours are for people at a terminal; files and collectors would get their codes.
    let has_colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_ansi(has_colours).with_writer(std::io::stderr);
    #[cfg(feature = "otel")]
    let (spans, sending) = traces::sending()?.unzip();
    #[cfg(not(feature = "otel"))]
    let (spans, sending) = (Option::<tracing_subscriber::layer::Identity>::None, ());
    tracing_subscriber::registry().with(spans).with(lines.with_filter(log)).init();
    if cfg!(not(feature = "otel")) && names_collector() {
        tracing::warn!("a collector of traces is named, and this program was built without the feature `otel`");
    }
    Ok(sending)
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
