//! `bellwether doctor`: what is wrong with an installation, in words, with what to do.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::api::tls::ServerTls;
use crate::app;
use crate::config::{Config, Given, is_unknown};
use crate::doctor;
use crate::domain::check::{Check, Verdict};

/// Look for what is wrong with an installation, and say what to do; nothing is changed, whether a server runs or not
#[derive(clap::Args)]
pub struct Doctor {
    /// The folder that holds the database, the keys and the files [default: bellwether-data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// A postgres:// URL, instead of the embedded database
    #[arg(long)]
    database_url: Option<String>,
    /// A file with settings (TOML)
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Whether nothing fails.
    pub async fn run(self) -> Result<bool, String> {
        let given = Given { data: self.data, database_url: self.database_url, ..Given::default() };
        let loaded = Config::load(given, self.config.as_deref(), &|name| std::env::var(name).ok());
        let checks = match loaded {
            Ok(config) => examine(config).await,
            Err(error) => vec![Check::failure(
                "configuration",
                error.to_string(),
                "correct the setting (docs/operating.md has them all); nothing else was looked at",
            )],
        };
        let is_well = checks.iter().all(|check| check.verdict != Verdict::Failure);
        let mut output = std::io::stdout();
        // Whoever reads it may have seen enough.
        let _ = if self.json {
            writeln!(output, "{}", json!({ "is_well": is_well, "checks": checks }))
        } else {
            print(&mut output, &checks)
        };
        Ok(is_well)
    }
}

async fn examine(config: Config) -> Vec<Check> {
    let mut checks = vec![configuration(), tls(&config)];
    checks.extend(doctor::examine(app::subject(config)).await);
    checks
}

fn configuration() -> Check {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown: Vec<_> = names.filter(|name| is_unknown(name)).collect();
    if unknown.is_empty() {
        return Check::ok("configuration", "all settings can be read");
    }
    let finding = format!("variables that are no settings, and are passed over: {}", unknown.join(", "));
    Check::warning("configuration", finding, "correct their names (docs/operating.md has them all)")
}

fn tls(config: &Config) -> Check {
    match config.tls.clone().map(ServerTls::of_files) {
        None if config.listen.ip().is_loopback() => {
            Check::skipped("tls", "none is set, and the server listens on this machine alone")
        }
        None => Check::skipped("tls", format!("none is set; {} is spoken to by plain http", config.listen)),
        Some(Ok(_)) => Check::ok("tls", "the certificate and its key can be used"),
        Some(Err(error)) => Check::failure("tls", error, "correct the setting, or its file"),
    }
}

fn print(output: &mut impl Write, checks: &[Check]) -> std::io::Result<()> {
    let has_colours = std::io::stdout().is_terminal();
    for Check { name, verdict, finding, advice } in checks {
        let word = verdict.as_str();
        let colour = match verdict {
            Verdict::Ok => "32",
            Verdict::Warning => "33",
            Verdict::Failure => "31",
            Verdict::Skipped => "2",
        };
        match has_colours {
            true => write!(output, "\x1b[{colour}m{word:<8}\x1b[0m")?,
            false => write!(output, "{word:<8}")?,
        }
        writeln!(output, " {name:<16} {finding}")?;
        if let Some(advice) = advice {
            writeln!(output, "{:25} → {advice}", "")?;
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    writeln!(output, "failures: {}, warnings: {}", count(Verdict::Failure), count(Verdict::Warning))
}
