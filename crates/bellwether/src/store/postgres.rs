//! PostgreSQL: a few connections, each with a thread of its own, that take closures from the same queues.
//!
//! A transaction that the server asks to repeat is repeated. One whose connection broke before its commit is repeated on
//! a new connection; one that broke in the commit is answered as unknown, for only the caller can tell by looking.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Receiver;
use postgres::error::SqlState;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Statement};

use super::batch::{Job, Ran};
use super::{Dialect, Row, StoreError, Tx, Value, migrate};

const WRITERS: usize = 8;
const READERS: usize = 4;
/// How often a transaction is repeated that lost against another.
const MOST_REPEATS: usize = 20;
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
    for i in 0..WRITERS {
        threads.push(connection(format!("store-write-{i}"), &target, "BEGIN", changes.clone())?);
    }
    // Outcomes have a connection to themselves: behind changes, which never end, they would not be written at all.
    threads.push(connection("store-outcome".to_owned(), &target, "BEGIN", outcomes)?);
    for i in 0..READERS {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        threads.push(connection(format!("store-read-{i}"), &target, begin, reads.clone())?);
    }
    Ok(threads)
}

/// A thread with a connection, which carries out what comes until `jobs` is closed.
fn connection(
    name: String,
    target: &Arc<Target>,
    begin: &'static str,
    jobs: Receiver<Box<dyn Job>>,
) -> Result<JoinHandle<()>, StoreError> {
    let mut connection = Connection::to(target.clone(), begin);
    let thread =
        std::thread::Builder::new().name(name).spawn(move || jobs.iter().for_each(|job| connection.carry_out(job)));
    thread.map_err(|error| StoreError::Failed(format!("cannot start a thread: {error}")))
}

fn migrate_alone(client: Client) -> Result<(), StoreError> {
    let mut tx = PostgresTx::on(client);
    tx.execute("SELECT pg_advisory_lock($1)", &[Value::Int(MIGRATION_LOCK)])?;
    let client = std::cell::RefCell::new(tx);
    let script = |sql: &str| client.borrow_mut().client.batch_execute(sql).map_err(|error| sort_error(&error));
    migrate::bring_up_to_date(&mut Shared(&client), script)
}

/// Lets the migration run scripts and statements on one connection by turns.
struct Shared<'a>(&'a std::cell::RefCell<PostgresTx>);

impl Tx for Shared<'_> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        self.0.borrow_mut().execute(sql, params)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.0.borrow_mut().query(sql, params)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
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
        self.config.connect(tokio_postgres_rustls::MakeRustlsConnect::new(self.tls.clone()))
    }
}

struct Connection {
    target: Arc<Target>,
    begin: &'static str,
    tx: Option<PostgresTx>,
}

impl Connection {
    fn to(target: Arc<Target>, begin: &'static str) -> Self {
        Self { target, begin, tx: None }
    }

    fn carry_out(&mut self, mut job: Box<dyn Job>) {
        let mut outcome = Err(StoreError::Unavailable("the database kept refusing the transaction".to_owned()));
        for _ in 0..MOST_REPEATS {
            match self.try_once(job.as_mut()) {
                Attempt::Committed(wakes) => {
                    // Wakes first: whoever is answered may look at once for what was woken.
                    wakes.into_iter().for_each(|wake| wake());
                    return job.answer(Ok(()));
                }
                Attempt::Repeat(error) => outcome = Err(error),
                Attempt::Failed(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        job.answer(outcome);
    }

    fn try_once(&mut self, job: &mut dyn Job) -> Attempt {
        let is_fresh = self.tx.is_none();
        let mut tx = match self.tx.take().map_or_else(|| self.target.connect().map(PostgresTx::on), Ok) {
            Ok(tx) => tx,
            Err(error) => return Attempt::Failed(StoreError::Unavailable(describe(&error))),
        };
        tx.wakes.clear();
        (tx.failure, tx.aborted_by) = (None, None);
        if let Err(error) = tx.client.batch_execute(self.begin) {
            let error = StoreError::Unavailable(describe(&error));
            return if is_fresh { Attempt::Failed(error) } else { Attempt::Repeat(error) };
        }
        let ran = job.run(&mut tx);
        if let Some(failure) = tx.failure.take() {
            return self.after_failure(tx, failure, is_fresh);
        }
        // After a failed statement COMMIT rolls back without a word, so a closure that went on all the same is told here.
        let aborted_by = tx.aborted_by.take().filter(|_| ran == Ran::Kept);
        let end = if ran == Ran::Kept && aborted_by.is_none() { "COMMIT" } else { "ROLLBACK" };
        match (tx.client.batch_execute(end), aborted_by) {
            (Ok(()), Some(error)) => {
                self.tx = Some(tx);
                Attempt::Failed(error)
            }
            (Err(_), Some(error)) => Attempt::Failed(error),
            (Ok(()), None) => {
                let wakes = if ran == Ran::Kept { std::mem::take(&mut tx.wakes) } else { Vec::new() };
                self.tx = Some(tx);
                Attempt::Committed(wakes)
            }
            (Err(error), None) if error.as_db_error().is_some() => {
                self.tx = Some(tx);
                let sorted = sort_error(&error);
                if is_repeatable(&error) { Attempt::Repeat(sorted) } else { Attempt::Failed(sorted) }
            }
            (Err(error), None) if ran == Ran::Kept => Attempt::Failed(StoreError::OutcomeUnknown(describe(&error))),
            (Err(_), None) => Attempt::Committed(Vec::new()),
        }
    }

    /// A statement failed in a way that the closure cannot answer for.
    fn after_failure(&mut self, mut tx: PostgresTx, failure: Failure, is_fresh: bool) -> Attempt {
        match failure {
            Failure::Repeatable(error) => {
                if tx.client.batch_execute("ROLLBACK").is_ok() {
                    self.tx = Some(tx);
                }
                Attempt::Repeat(error)
            }
            Failure::Disconnected(error) if is_fresh => Attempt::Failed(error),
            Failure::Disconnected(error) => Attempt::Repeat(error),
        }
    }
}

enum Attempt {
    Committed(Vec<Box<dyn FnOnce() + Send>>),
    Repeat(StoreError),
    Failed(StoreError),
}

enum Failure {
    Repeatable(StoreError),
    Disconnected(StoreError),
}

struct PostgresTx {
    client: Client,
    prepared: HashMap<String, Statement>,
    wakes: Vec<Box<dyn FnOnce() + Send>>,
    failure: Option<Failure>,
    /// The first error of a statement: the server rolls back all of the transaction.
    aborted_by: Option<StoreError>,
}

impl PostgresTx {
    fn on(client: Client) -> Self {
        Self { client, prepared: HashMap::new(), wakes: Vec::new(), failure: None, aborted_by: None }
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let result = self.client.prepare(sql);
        let statement = self.noting(result)?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn noting<T>(&mut self, result: Result<T, postgres::Error>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let sorted = sort_error(&error);
            self.aborted_by.get_or_insert_with(|| sorted.clone());
            if is_repeatable(&error) {
                self.failure = Some(Failure::Repeatable(sorted.clone()));
            } else if self.client.is_closed() {
                self.failure = Some(Failure::Disconnected(sorted.clone()));
            }
            sorted
        })
    }
}

impl Tx for PostgresTx {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        let statement = self.prepare(sql)?;
        let result = self.client.execute(&statement, &as_params(params));
        self.noting(result)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql)?;
        let columns: Arc<[String]> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let result = self.client.query(&statement, &as_params(params));
        let rows = self.noting(result)?;
        rows.iter()
            .map(|row| {
                let values = (0..columns.len()).map(|i| row.try_get::<_, Value>(i)).collect::<Result<_, _>>();
                Ok(Row {
                    columns: columns.clone(),
                    values: values.map_err(|error| StoreError::Failed(error.to_string()))?,
                })
            })
            .collect()
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn after_commit(&mut self, wake: Box<dyn FnOnce() + Send>) {
        self.wakes.push(wake);
    }
}

fn as_params(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

type Conversion<T> = Result<T, Box<dyn std::error::Error + Sync + Send>>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut postgres::types::private::BytesMut) -> Conversion<IsNull> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(int) if *ty == Type::INT4 => i32::try_from(*int)?.to_sql(ty, out),
            Self::Int(int) => int.to_sql(ty, out),
            Self::Real(real) => real.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Conversion<Self> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::BYTEA => Self::Blob(Vec::from_sql(ty, raw)?),
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::VOID => Self::Null,
            _ => Self::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Conversion<Self> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn is_repeatable(error: &postgres::Error) -> bool {
    matches!(error.code(), Some(code) if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED)
}

fn describe(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
        |db| db.message().to_owned(),
    )
}

/// Sorted by SQLSTATE, never by words.
fn sort_error(error: &postgres::Error) -> StoreError {
    let text = describe(error);
    match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => StoreError::Unique(text),
        Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION => StoreError::Reference(text),
        Some(code) if *code == SqlState::DISK_FULL => StoreError::Full(text),
        // Classes 08 (connection), 40 (rollback), 53 (resources), 57 (shutdown) pass; the rest is a fault of ours.
        Some(code) if ["08", "40", "53", "57"].iter().any(|class| code.code().starts_with(class)) => {
            StoreError::Unavailable(text)
        }
        Some(code) => StoreError::Failed(format!("{text} (SQLSTATE {})", code.code())),
        None => StoreError::Unavailable(text),
    }
}
