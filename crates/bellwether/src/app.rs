//! The application: opens what is there, starts what runs, and stops it in order. The only place that knows all modules.

pub mod folder;

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api;
use crate::api::tls::ServerTls;
use crate::config::Config;
use crate::console;
use crate::delivery::transport::outbound::{Outbound, OutboundError};
use crate::delivery::{Delivery, Pings};
use crate::doctor;
use crate::domain::actor::Actor;
use crate::domain::clock::Clock;
use crate::domain::id::Ids;
use crate::domain::session::LINK_MINUTES;
use crate::maintenance::nodes::Node;
use crate::maintenance::{due, lived, log, metric_syncs, recovery, retention, sequencer};
use crate::pipeline::{self, AdHocQueries, Pipeline};
use crate::platform::clock::SystemClock;
use crate::platform::descriptors::Descriptors;
use crate::platform::ids::RandomIds;
use crate::platform::secret::{Vault, VaultError, write_private};
use crate::registry::{self, HintReceivers, Hints, Registry};
use crate::store::{Db, Location, PostgresServer, StoreError, condition, look_at, newest_schema};

/// For requests that are under way when the process is asked to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the data folder {0} cannot be used: {1}")]
    Data(String, std::io::Error),
    #[error("another process uses the data folder {0}; stop it first, or give another folder with --data")]
    InUse(String),
    #[error("cannot listen on {0}: {1}; give another address with --listen")]
    Listen(SocketAddr, std::io::Error),
    /// The text names the setting.
    #[error("{0}")]
    Tls(String),
    #[error(
        "there is no database of this program's schema ({0}); start the server of this version first, or name its folder with --data"
    )]
    OtherSchema(i64),
    #[error(transparent)]
    Secret(#[from] crate::platform::secret::VaultError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

/// A server that runs, until [`Self::stop`].
pub struct Running {
    address: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    public_url: String,
    registry: Registry,
    admin_key: Option<String>,
    login_link: Option<String>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
    _lock: File,
}

/// Starts everything. When this returns, the API answers.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_by(config, Arc::new(SystemClock::start())).await
}

/// The same by another clock than the machine's.
pub async fn start_by(config: Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let outbound = Outbound::from_settings(&config.outbound, config.addresses.clone(), clock.clone())?;
    let tls = config.tls.clone().map(ServerTls::of_files).transpose().map_err(StartError::Tls)?.map(Arc::new);
    let descriptors = Descriptors::raised();
    let links = config.public_url.as_ref().map(ToString::to_string);
    let outbound = outbound.with_connections(descriptors.outbound).with_links(links.as_deref());
    let lock = folder::claim(&config.data)?;
    let key_file = config.secret_key.is_none().then(|| config.data.join("secret.key"));
    let (registry, receivers) = open_registry(&config, key_file, clock, &outbound).await?;
    registry.finish_rotating().await?;
    registry.index_lists().await?;
    let admin_key = first_key(&registry, &config).await?;
    let first_link = if admin_key.is_some() { first_link(&registry).await? } else { None };
    let listener = TcpListener::bind(config.listen).await.map_err(|error| StartError::Listen(config.listen, error))?;
    let address = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
    let public_url = public_url(&config, address);

    let (stop, stopping) = watch::channel(false);
    let node = Node::new(registry.clone());
    let delivery = Delivery::prepare(
        registry.clone(),
        receivers.deliveries,
        receivers.lost,
        outbound.clone(),
        node.permit(),
        node.view(),
    )?;
    let (monitor, permit) = (delivery.monitor(), node.permit());
    let limits = limits(&config);
    let pipeline = Pipeline::prepare(registry.clone(), receivers.runs, limits.clone(), node.view());
    let keep = Duration::from_hours(24 * config.retention_days);
    let mut workers = vec![
        watched(node.run(stopping.clone())),
        watched(recovery::run(registry.clone(), receivers.recovery, stopping.clone())),
        watched(metric_syncs::run(registry.clone(), receivers.metric_sync, stopping.clone())),
        watched(retention::run(registry.clone(), keep, stopping.clone())),
        watched_task(delivery.start(stopping.clone())),
        watched(pipeline.run(stopping.clone())),
        watched(sequencer::run(registry.clone(), receivers.committed, stopping.clone())),
        watched(log::run(registry.clone(), stopping.clone())),
        watched(lived::run(registry.clone(), stopping.clone())),
        watched(due::run(registry.clone(), stopping.clone())),
    ];
    workers.extend(tls.clone().map(|tls| watched(tls.watch(stopping.clone()))));
    let entrance = api::Entrance {
        tls: tls.clone(),
        proxies: config.trusted_proxies.clone().into(),
        public_url: public_url.clone(),
    };
    let parts = api::Parts {
        registry: registry.clone(),
        queries: AdHocQueries::within(limits),
        pings: Pings::over(registry.clone(), outbound),
        monitor,
        permit,
        max_upload_bytes: config.max_upload_bytes,
        default_warehouse_id: config.default_warehouse_id,
        installation: installation(&config, &registry),
        pages: console::routes,
        entrance,
        links,
        bounds: api::Bounds::of(config.max_connections.unwrap_or(usize::MAX).min(descriptors.inbound)),
    };
    let server = tokio::spawn(serve(listener, parts, stopping));
    let login_link = first_link.map(|text| format!("{public_url}/login?token={text}"));
    Ok(Running { address, tls, public_url, registry, admin_key, login_link, stop, server, workers, _lock: lock })
}

/// What the API tells of the installation itself.
fn installation(config: &Config, registry: &Registry) -> api::Installation {
    api::Installation {
        retention_days: config.retention_days,
        started_at: registry.clock().now(),
        subject: subject(config.clone()),
    }
}

/// The registry over the database, whose schema is brought up to date, with the key that its secrets are encrypted with.
async fn open_registry(
    config: &Config,
    key_file: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    outbound: &Outbound,
) -> Result<(Registry, HintReceivers), StartError> {
    let ids: Arc<dyn Ids> = Arc::new(RandomIds::with_clock(clock.clone()));
    if config.database_url.is_none() {
        folder::guard_database(&config.data)?;
    }
    let location = location(config);
    let db = tokio::task::spawn_blocking(move || Db::open(&location))
        .await
        .map_err(|error| StoreError::Failed(error.to_string()))??;
    let vault = Arc::new(vault(config, &db, ids.as_ref()).await?);
    let (hints, receivers) = Hints::channel();
    let setup = registry::Setup {
        db,
        vault,
        key_file,
        clock,
        ids,
        addresses: config.addresses.clone(),
        sendable: Arc::new(outbound.clone()),
        files_roots: config.files_roots.clone(),
        default_schedule: config.default_schedule.clone(),
    };
    let registry = Registry::open(setup, hints).await?;
    // Before anything is made, so that it is known what the wall clock said from the beginning.
    registry.live(Duration::ZERO).await?;
    Ok((registry, receivers))
}

/// The registry beside a server that may be running: what it changes, the server sees. Nothing is brought up to date for it.
pub async fn open_beside(config: &Config, clock: Arc<dyn Clock>) -> Result<Registry, StartError> {
    let at = location(config);
    if matches!(&at, Location::Sqlite(path) if !path.is_file()) {
        return Err(StartError::OtherSchema(newest_schema()));
    }
    let version = tokio::task::spawn_blocking(move || look_at(&at, condition::schema_version)).await;
    let version = version.map_err(|error| StoreError::Failed(error.to_string()))??;
    if version != Some(newest_schema()) {
        return Err(StartError::OtherSchema(newest_schema()));
    }
    let outbound = Outbound::from_settings(&config.outbound, config.addresses.clone(), clock.clone())?;
    // The file of keys is the server's to write.
    let (registry, _) = open_registry(config, None, clock, &outbound).await?;
    Ok(registry)
}

fn origin(is_tls: bool, address: SocketAddr) -> String {
    format!("{}://{address}", if is_tls { "https" } else { "http" })
}

/// What links begin with. An address that stands for all of the machine's is none to be asked: from this machine, loopback is.
pub fn public_url(config: &Config, mut address: SocketAddr) -> String {
    if let Some(url) = &config.public_url {
        return url.to_string();
    }
    match address.ip() {
        IpAddr::V4(all) if all.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(all) if all.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    origin(config.tls.is_some(), address)
}

/// What `doctor` looks at.
pub fn subject(config: Config) -> doctor::Subject {
    doctor::Subject {
        location: location(&config),
        data: config.data,
        secret_key: config.secret_key,
        files_roots: config.files_roots,
        outbound: config.outbound,
        addresses: config.addresses,
        clock: Arc::new(SystemClock::start()),
    }
}

/// Where the state lies.
pub fn location(config: &Config) -> Location {
    match &config.database_url {
        Some(url) => Location::Postgres(PostgresServer { url: url.clone(), ca_file: config.database_ca_file.clone() }),
        None => Location::Sqlite(config.data.join("bellwether.db")),
    }
}

/// The API, which ends when it is asked to, and not before: a process that answers nobody is of no use.
async fn serve(listener: TcpListener, parts: api::Parts, stopping: watch::Receiver<bool>) {
    let is_stopping = stopping.clone();
    let served = AssertUnwindSafe(api::serve(listener, parts, stopping)).catch_unwind().await;
    // Whoever let go of the server without stopping it asks for nothing more either.
    let is_asked = *is_stopping.borrow() || is_stopping.has_changed().is_err();
    if served.is_ok() && is_asked {
        return;
    }
    tracing::error!("the API failed; ending the process, for the next start to go on");
    std::process::abort();
}

/// A part of the server that fails takes the process with it: the rest would go on accepting what nobody carries out.
fn watched(part: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    watched_task(tokio::spawn(part))
}

fn watched_task(part: JoinHandle<()>) -> JoinHandle<()> {
    tokio::spawn(async {
        // One that is cancelled ends with its runtime, which leaves nobody to go on for.
        if let Err(error) = part.await
            && error.is_panic()
        {
            tracing::error!(%error, "a part of the server failed; ending the process, for the next start to go on");
            std::process::abort();
        }
    })
}

/// What secrets are encrypted with. A key is made for a database that has none, and for no other: what it holds could be
/// read by nobody.
async fn vault(config: &Config, db: &Db, ids: &dyn Ids) -> Result<Vault, StartError> {
    if let Some(text) = &config.secret_key {
        return Ok(Vault::with_key_text(text)?);
    }
    let path = config.data.join("secret.key");
    if let Some(vault) = Vault::read(&path)? {
        return Ok(vault);
    }
    match registry::key_name_of(db).await? {
        Some(name) => Err(VaultError::KeyMissing { path: path.display().to_string(), name }.into()),
        None => Ok(Vault::make(&path, ids.secret_bytes())?),
    }
}

/// Makes the first admin key if there is none. Its text lies in a file before the key counts, so that no crash in
/// between leaves an installation that nobody can enter.
async fn first_key(registry: &Registry, config: &Config) -> Result<Option<String>, StartError> {
    if registry.has_admin_key().await? {
        return Ok(None);
    }
    let issued = registry.prepare_admin_key(config.admin_key.clone())?;
    if config.admin_key.is_none() {
        let path = config.data.join("admin-key");
        write_private(&path, &issued.text).map_err(|error| StartError::Data(path.display().to_string(), error))?;
    }
    Ok(registry.store_admin_key(issued.key).await?.then_some(issued.text))
}

/// A link for the first person of a new installation.
async fn first_link(registry: &Registry) -> Result<Option<String>, StartError> {
    let Some(person) = registry.first_person().await? else { return Ok(None) };
    let (_, text) = registry.make_login_link(Actor::System, person, LINK_MINUTES).await?;
    Ok(Some(text))
}

impl Running {
    /// Where the API listens; the port is a real one even if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        origin(self.tls.is_some(), self.address)
    }

    /// What links to this server begin with, without a slash at its end.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Reads anew what the certificate's files hold; `false` if there are none.
    pub fn reload(&self) -> bool {
        self.tls.as_deref().map(ServerTls::reload).is_some()
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What lets the first person in, if this is the installation's first start.
    pub fn login_link(&self) -> Option<&str> {
        self.login_link.as_deref()
    }

    /// The first admin key, if this start made it.
    pub fn admin_key(&self) -> Option<&str> {
        self.admin_key.as_deref()
    }

    /// Accepts no more work, finishes what is in flight, records it, and closes the database.
    pub async fn stop(self) {
        let Self { registry, stop, mut server, workers, .. } = self;
        stop.send_replace(true);
        if tokio::time::timeout(STOP_TIMEOUT, &mut server).await.is_err() {
            tracing::warn!("some requests were still under way when the time to stop was up");
            server.abort();
        }
        for worker in workers {
            if let Err(error) = worker.await {
                tracing::error!(%error, "a part of the server ended badly");
            }
        }
        // What was committed here once the lanes had been told to stop, such as the ends of runs, nobody has told of.
        registry.hint_nodes(None).await;
        let db = registry.db().clone();
        if tokio::task::spawn_blocking(move || db.close()).await.is_err() {
            tracing::error!("the database could not be closed");
        }
    }
}

fn limits(config: &Config) -> pipeline::Limits {
    pipeline::Limits {
        timeout: Duration::from_secs(config.run_timeout_seconds),
        memory_bytes: config.run_memory_mib * 1024 * 1024,
        max_runs: config.max_runs,
        scratch: config.data.join("scratch"),
        files_roots: config.files_roots.clone(),
        program: config.program.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_is_cancelled_with_its_runtime_leaves_the_process_alone() {
        let part = tokio::spawn(std::future::pending());
        let cancel = part.abort_handle();
        let watching = watched_task(part);
        cancel.abort();
        watching.await.unwrap();
    }
}
