//! `bellwether serve`: the server, until it is asked to stop.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app;
use crate::config::{Config, Given, is_unknown};
use crate::platform::fault;

#[derive(clap::Args)]
pub struct Serve {
    /// The address to listen on [default: 127.0.0.1:7070]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The folder that holds the database, the keys and the files [default: bellwether-data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// A postgres:// URL, instead of the embedded database
    #[arg(long)]
    database_url: Option<String>,
    /// A file with settings (TOML); every setting is also read from the environment as BELLWETHER_…
    #[arg(long)]
    config: Option<PathBuf>,
}

impl Serve {
    pub async fn run(self) -> Result<(), String> {
        fault::set_up();
        let flags = Given { listen: self.listen, data: self.data, database_url: self.database_url, ..Given::default() };
        let config = Config::load(flags, self.config.as_deref(), &|name| std::env::var(name).ok())
            .map_err(|error| error.to_string())?;
        for (name, _) in std::env::vars_os() {
            if let Some(name) = name.to_str().filter(|name| is_unknown(name)) {
                tracing::warn!(name, "this variable is no setting, and is passed over; see docs/operating.md");
            }
        }
        // A key that the operator brought is not written anywhere.
        let key_file = config.admin_key.is_none().then(|| config.data.join("admin-key"));
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        let running = app::start(config).await.map_err(|error| error.to_string())?;
        // Without a certificate the signal ends the process as ever, such as when a terminal is closed.
        let hangups = running.reload().then(|| signal(SignalKind::hangup())).transpose();
        let hangups = hangups.map_err(|error| error.to_string())?;
        greet(&running, key_file.as_deref());
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = reload_when_asked(&running, hangups) => {}
        }
        tracing::info!("stopping; a second signal ends the process at once");
        tokio::select! {
            () = running.stop() => {}
            _ = terminate.recv() => hasten(),
            _ = tokio::signal::ctrl_c() => hasten(),
        }
        Ok(())
    }
}

/// Reads the certificate anew whenever it is asked to.
async fn reload_when_asked(running: &app::Running, hangups: Option<Signal>) {
    let Some(mut hangups) = hangups else { return std::future::pending().await };
    while hangups.recv().await.is_some() {
        running.reload();
    }
}

/// Nothing that was accepted is lost by this: what is under way is sent again after the next start.
fn hasten() {
    tracing::warn!("ending at once; what is under way is sent again after the next start");
    std::process::exit(1);
}

/// Whoever reads the output may have gone; the server stays.
fn greet(running: &app::Running, key_file: Option<&Path>) {
    let mut output = std::io::stdout();
    let _ = writeln!(output, "Bellwether listens on {}", running.url());
    if running.public_url() != running.url() {
        let _ = writeln!(output, "It is reached by {}", running.public_url());
    }
    if let Some(link) = running.login_link() {
        let _ = writeln!(output, "Log in, once and within ten minutes: {link}");
    }
    if let (Some(key), Some(file)) = (running.admin_key(), key_file) {
        let _ = writeln!(output, "The first admin key is in {}", file.display());
        if output.is_terminal() {
            let _ = writeln!(output, "  {key}");
        }
    }
}
