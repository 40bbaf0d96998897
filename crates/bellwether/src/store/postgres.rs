//! PostgreSQL: a few connections, each with a thread of its own, that take closures from the same queues.

mod connection;
mod tx;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Receiver;
use postgres::Client;
use tokio::runtime::Handle;

use super::batch::Job;
use super::{Dialect, Known, Row, StoreError, Tx, Value, migrate};
use connection::Connection;
use tx::{PostgresTx, sort_error};

/// Few, so that changes that come at the same time share commits.
const WRITERS: usize = 4;
/// The server ends a transaction that hears nothing for so long: a node that is paused or cut off must not keep its locks
/// from those who take over.
const LONGEST_IDLE: Duration = Duration::from_secs(4);
const READERS: usize = 4;
/// Every statement finds its rows by an index. For minutes after a table was empty the statistics say that it still is,
/// and plans that were made by them would read all of it, for every batch of outcomes. A plan that cannot but read a whole
/// table then seems so dear that it would be compiled, which took 110 to 220 ms before the first webhook to an endpoint.
const PLANNING: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";
/// The most closures under one commit.
const LARGEST_BATCH: usize = 32;
/// One node's advisory lock while it brings the schema up to date; the number is arbitrary but fixed.
const MIGRATION_LOCK: i64 = 0x6265_6c6c_7765;

pub fn open(
    url: &str,
    changes: Receiver<Box<dyn Job>>,
    outcomes: Receiver<Box<dyn Job>>,
    reads: Receiver<Box<dyn Job>>,
) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let target = Arc::new(Target::parse(url)?);
    let first = target.connect().map_err(|error| sort_error(&error))?;
    migrate_alone(first)?;
    let mut threads = Vec::new();
    let writers = Arc::new(AtomicUsize::new(0));
    for i in 0..WRITERS {
        threads.push(connection(
            format!("store-write-{i}"),
            &target,
            "BEGIN",
            Queue::of(&changes, &writers, LARGEST_BATCH),
        )?);
    }
    // Outcomes have a connection to themselves: behind changes, which never end, they would not be written at all.
    threads.push(connection(
        "store-outcome".to_owned(),
        &target,
        "BEGIN",
        Queue::of(&outcomes, &Arc::default(), LARGEST_BATCH),
    )?);
    // Each read sees a state of its own.
    let readers = Arc::new(AtomicUsize::new(0));
    for i in 0..READERS {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        threads.push(connection(format!("store-read-{i}"), &target, begin, Queue::of(&reads, &readers, 1))?);
    }
    Ok(threads)
}

/// A queue that several connections take from.
struct Queue {
    jobs: Receiver<Box<dyn Job>>,
    /// How many of them wait for something to do.
    idle: Arc<AtomicUsize>,
    /// Of those taken at once.
    most: usize,
}

impl Queue {
    fn of(jobs: &Receiver<Box<dyn Job>>, idle: &Arc<AtomicUsize>, most: usize) -> Self {
        Self { jobs: jobs.clone(), idle: idle.clone(), most }
    }

    /// What is to be carried out next: one job, and all that wait behind it if no other connection is free to take them.
    /// `None` when the queue is closed and empty.
    fn take(&self) -> Option<Vec<Box<dyn Job>>> {
        self.idle.fetch_add(1, Ordering::Relaxed);
        let first = self.jobs.recv();
        let others = self.idle.fetch_sub(1, Ordering::Relaxed) - 1;
        let mut batch = vec![first.ok()?];
        if others == 0 {
            batch.extend(self.jobs.try_iter().take(self.most - 1));
        }
        Some(batch)
    }
}

/// A thread with a connection, which carries out what comes until `queue` is closed.
fn connection(
    name: String,
    target: &Arc<Target>,
    begin: &'static str,
    queue: Queue,
) -> Result<JoinHandle<()>, StoreError> {
    let mut connection = Connection::to(target.clone(), begin, Handle::try_current().ok());
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        while let Some(batch) = queue.take() {
            connection.carry_out(batch);
        }
    });
    thread.map_err(|error| StoreError::Failed(format!("cannot start a thread: {error}")))
}

fn migrate_alone(client: Client) -> Result<(), StoreError> {
    let mut tx = PostgresTx::on(client);
    tx.execute("SELECT pg_advisory_lock($1)", &[Value::Int(MIGRATION_LOCK)])?;
    let client = std::cell::RefCell::new(tx);
    let script = |sql: &str| client.borrow_mut().client.batch_execute(sql).map_err(|error| sort_error(&error));
    migrate::bring_up_to_date(&mut Shared(&client, Known::default()), script)
}

/// Lets the migration run scripts and statements on one connection by turns.
struct Shared<'a>(&'a std::cell::RefCell<PostgresTx>, Known);

impl Tx for Shared<'_> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        self.0.borrow_mut().execute(sql, params)
    }

    fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.0.borrow_mut().query(sql, params, each)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn known(&mut self) -> &mut Known {
        &mut self.1
    }

    fn after_commit(&mut self, wake: Box<dyn FnOnce() + Send>) {
        self.0.borrow_mut().after_commit(wake);
    }
}

/// Where to connect, and how.
pub(super) struct Target {
    config: postgres::Config,
    tls: rustls::ClientConfig,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let mut config: postgres::Config =
            url.parse().map_err(|error| StoreError::Failed(format!("database_url cannot be read: {error}")))?;
        config.application_name("bellwether").connect_timeout(Duration::from_secs(5));
        config.tcp_user_timeout(Duration::from_secs(30)).keepalives_idle(Duration::from_secs(10));
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Failed(format!("cannot set up TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config, tls })
    }

    pub(super) fn connect(&self) -> Result<Client, postgres::Error> {
        let mut client = self.config.connect(tokio_postgres_rustls::MakeRustlsConnect::new(self.tls.clone()))?;
        let idle = LONGEST_IDLE.as_secs();
        client.batch_execute(&format!("{PLANNING}; SET idle_in_transaction_session_timeout = '{idle}s'"))?;
        Ok(client)
    }
}
