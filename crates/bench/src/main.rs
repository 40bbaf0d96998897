//! The load tool: measures a Bellwether server on this machine, durably, over its public API.
//! It starts the server and the receiver itself; docs/performance.md says how to read what it prints.

mod measure;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use bellwether_bench::Problem;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    /// The server's program
    #[arg(long, default_value = "target/release/bellwether", global = true)]
    program: PathBuf,
    /// Where the server keeps its data; a folder below it is used and removed
    #[arg(long, default_value = "target", global = true)]
    data: PathBuf,
    /// A postgres:// URL of an empty database, instead of SQLite
    #[arg(long, global = true)]
    database_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Durable changes accepted per second, while they are delivered
    Changes {
        #[arg(long, default_value_t = 64)]
        connections: usize,
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// From request, and from its answer, to receipt, at a fixed rate
    Latency {
        /// Changes per second
        #[arg(long, default_value_t = 100)]
        rate: u32,
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Problem> {
    let data = tempfile::tempdir_in(&cli.data)?;
    report::machine(data.path(), cli.database_url.is_some())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let bench = measure::Bench::start(&cli.program, data.path(), cli.database_url.as_deref()).await?;
        match cli.command {
            Command::Changes { connections, seconds } => bench.changes(connections, seconds).await,
            Command::Latency { rate, seconds } => bench.latency(rate, seconds).await,
        }
    })
}
