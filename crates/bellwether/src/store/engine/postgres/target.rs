//! Where to connect, how, and what holds for a connection by what it is for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postgres::Client;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::store::{PostgresServer, StoreError};

/// The server ends a transaction that hears nothing for so long: a node that is paused or cut off must not keep its locks
/// from those who take over.
const LONGEST_IDLE: &str = "SET jit = off; SET idle_in_transaction_session_timeout = '4s'";
/// What the engine asks for finds its rows by an index. For minutes after a table was empty the statistics say that it
/// still is, and plans that were made by them would read all of it, for every batch of outcomes. A plan that cannot but read
/// a whole table then seems so dear that it would be compiled, which took 110 to 220 ms before the first webhook to an
/// endpoint, and so that is off everywhere.
const BY_INDEX: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";
/// Who waits for a row for so long gives way: others wait for this connection.
const PATIENCE: &str = "SET lock_timeout = '5s'; SET statement_timeout = '30s'";
/// A heartbeat that takes longer is given up and begun anew, before this node may not send any more.
const NO_PATIENCE: &str = "SET lock_timeout = '1s'; SET statement_timeout = '2s'";
/// Lists are asked for by many filters: each is planned for what it asks, by what is there.
const AS_ASKED: &str = "SET plan_cache_mode = force_custom_plan; SET statement_timeout = '30s'";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// Changes and outcomes.
    Writing,
    Heartbeat,
    /// What the API reads.
    Reading,
    /// What runs by itself reads.
    Looking,
    /// Migrations, which take as long as they take, and hints between nodes.
    Plain,
}

impl Session {
    /// What a transaction begins with.
    pub const fn begin(self) -> &'static str {
        if self.is_read_only() { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "BEGIN" }
    }

    pub const fn is_read_only(self) -> bool {
        matches!(self, Self::Reading | Self::Looking)
    }

    fn settings(self) -> String {
        let more: &[&str] = match self {
            Self::Writing => &[BY_INDEX, PATIENCE],
            Self::Heartbeat => &[BY_INDEX, NO_PATIENCE],
            Self::Looking => &[BY_INDEX],
            Self::Reading => &[AS_ASKED],
            Self::Plain => &[],
        };
        [&[LONGEST_IDLE], more].concat().join("; ")
    }
}

pub struct Target {
    config: postgres::Config,
    tls: rustls::ClientConfig,
}

impl Target {
    pub fn of(server: &PostgresServer) -> Result<Self, StoreError> {
        let mut config: postgres::Config =
            server.url.parse().map_err(|error| StoreError::Failed(format!("database_url cannot be read: {error}")))?;
        config.application_name("bellwether").connect_timeout(Duration::from_secs(5));
        config.tcp_user_timeout(Duration::from_secs(30)).keepalives_idle(Duration::from_secs(10));
        let roots = match &server.ca_file {
            Some(file) => authorities(file)
                .map_err(|reason| StoreError::Failed(format!("database_ca_file: {}: {reason}", file.display())))?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Failed(format!("cannot set up TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config, tls })
    }

    pub fn connect(&self, session: Session) -> Result<Client, postgres::Error> {
        let mut client = self.config.connect(tokio_postgres_rustls::MakeRustlsConnect::new(self.tls.clone()))?;
        client.batch_execute(&session.settings())?;
        Ok(client)
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let contents = std::fs::read(file).map_err(|error| format!("it cannot be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&contents) {
        let certificate = certificate.map_err(|error| format!("it is not PEM ({error})"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in PEM in it".to_owned()) } else { Ok(roots) }
}
