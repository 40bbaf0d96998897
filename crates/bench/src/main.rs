//! The load tool: measures a Bellwether server on this machine, durably, over its public API; or lends its receiver to
//! another sender. It starts the server and the receiver itself; docs/performance.md says how to read what it prints.

mod database;
mod limit;
mod report;
mod scenario;
mod stage;
mod visitor;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bellwether_bench::Problem;
use bellwether_bench::receiver::{Misbehaviour, Options, Receiver};
use bellwether_webhook::Secret;
use clap::{Args, Parser, Subcommand};

use report::Figure;
use scenario::{changes, drain, fanout, idle, isolation, latency, lists, memory, pages};
use stage::Place;

/// What a whole report runs, in this order: the limit first, for the ratios.
const REPORT: [&str; 10] =
    ["limit", "changes", "latency", "fanout", "drain", "isolation", "lists", "pages", "memory", "idle"];

#[derive(Parser)]
struct Cli {
    /// The server's program
    #[arg(long, default_value = "target/release/bellwether", global = true)]
    program: PathBuf,
    /// Where the server keeps its data; a folder below it is used and removed
    #[arg(long, default_value = "target", global = true)]
    data: PathBuf,
    /// A postgres:// URL whose user may create databases, instead of SQLite; the database bellwether_bench is made anew
    #[arg(long, global = true)]
    database_url: Option<String>,
    /// Let the receiver verify every request, which takes processor time from the server
    #[arg(long, global = true)]
    verify: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The fast receiver by itself, to point any sender at; prints how many came each second
    Receiver(Standalone),
    /// Bare signed POSTs to the receiver, nothing stored
    Limit(limit::Limit),
    /// Durable changes accepted per second, while they are delivered
    Changes(changes::Changes),
    /// From request, and from its answer, to receipt, at fixed rates
    Latency(latency::Latency),
    /// Deliveries per second when each change is owed to many endpoints
    Fanout(fanout::Fanout),
    /// How fast a backlog of one endpoint drains
    Drain(drain::Drain),
    /// What bad receivers cost the good ones
    Isolation(isolation::Isolation),
    /// What reading long lists costs deliveries
    Lists(lists::Lists),
    /// What pages of many experiments cost, against few: filtered, searched and sorted
    Pages(pages::Pages),
    /// Memory with many deliveries pending
    Memory(memory::Memory),
    /// Processor used while there is nothing to do
    Idle(idle::Idle),
    /// All of these in one run, as a table against the goals
    Report {
        /// Only these, separated by commas
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
}

#[derive(Args)]
struct Standalone {
    #[arg(long)]
    port: u16,
    /// slow=MS, refuse, black-hole, slow-drip, endless-body, gzip-bomb, reset, bad-tls, redirect, gone, too-many=SECONDS
    /// or status=CODE
    #[arg(long)]
    misbehave: Option<Misbehaviour>,
    /// Of the requests that it misbehaves to
    #[arg(long, default_value_t = 1.0)]
    share: f64,
    /// The secret to verify by
    #[arg(long)]
    secret: Option<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Problem> {
    let commands = match cli.command {
        Command::Receiver(standalone) => return standalone.run(),
        Command::Report { only } => {
            let chosen = if only.is_empty() { REPORT.map(str::to_owned).to_vec() } else { only };
            let named = |name: String| Ok(Cli::try_parse_from(["bench", &name])?.command);
            chosen.into_iter().map(named).collect::<Result<Vec<_>, Problem>>()?
        }
        command => vec![command],
    };
    let place =
        Place { program: cli.program, data: cli.data, database_url: cli.database_url, is_verifying: cli.verify };
    report::machine(&place)?;
    // One thread for all of the load: it costs the least, and what it leaves is the server's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(async {
        let mut figures: Vec<Figure> = Vec::new();
        for command in commands {
            let limit = figures.iter().find(|figure| figure.name == limit::NAME).map(|figure| figure.value);
            println!();
            figures.extend(measure(&command, &place, limit).await?);
        }
        Ok::<_, Problem>(figures)
    })?;
    println!("\n{}", report::table(&figures));
    Ok(())
}

async fn measure(command: &Command, place: &Place, limit: Option<f64>) -> Result<Vec<Figure>, Problem> {
    match command {
        Command::Limit(limit) => limit.run().await,
        Command::Changes(changes) => changes.run(place).await,
        Command::Latency(latency) => latency.run(place).await,
        Command::Fanout(fanout) => fanout.run(place).await,
        Command::Drain(drain) => drain.run(place, limit).await,
        Command::Isolation(isolation) => isolation.run(place).await,
        Command::Lists(lists) => lists.run(place).await,
        Command::Pages(pages) => pages.run(place).await,
        Command::Memory(memory) => memory.run(place).await,
        Command::Idle(idle) => idle.run(place).await,
        Command::Receiver(_) | Command::Report { .. } => Err("a report is made of measurements".into()),
    }
}

impl Standalone {
    fn run(self) -> Result<(), Problem> {
        let receiver = Receiver::start(&Options {
            port: self.port,
            secret: self.secret.as_deref().map(Secret::parse).transpose()?,
            misbehaviour: self.misbehave,
            share: self.share,
            keeps_ledger: false,
        })?;
        println!("receives at {}", receiver.url());
        let (mut last, counted) = (0, receiver.count());
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let count = *counted.borrow();
            if count > last {
                println!("{count} came, {} in the last second", count - last);
            }
            last = count;
        }
    }
}
