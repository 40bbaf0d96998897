//! The databases that every test runs on: SQLite in a folder of its own, and a PostgreSQL database of its own.

use std::path::Path;

use bellwether::store::{Db, Location, PostgresServer};
use tempfile::TempDir;

use crate::cluster;

/// An empty database, with a data folder beside it. Gone when it is dropped, or the test process ends.
pub struct Database {
    folder: TempDir,
    url: Option<String>,
}

impl Database {
    pub fn sqlite() -> Self {
        Self { folder: new_folder(), url: None }
    }

    pub fn postgres() -> Self {
        Self::of_server(cluster::socket_folder())
    }

    /// A database of the server whose sockets are in `sockets`.
    pub fn of_server(sockets: &Path) -> Self {
        let folder = new_folder();
        let name = folder.path().file_name().and_then(|name| name.to_str()).expect("a printable name").to_lowercase();
        maintain(sockets, format!("CREATE DATABASE \"{name}\""));
        Self { folder, url: Some(url_of(sockets, &name)) }
    }

    /// Ends every connection to this PostgreSQL database, and lets none in.
    pub fn close_to_all(&self) {
        let name = self.name();
        maintain(cluster::socket_folder(), format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false"));
        maintain(
            cluster::socket_folder(),
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
        );
    }

    pub fn open_to_all(&self) {
        maintain(cluster::socket_folder(), format!("ALTER DATABASE \"{}\" ALLOW_CONNECTIONS true", self.name()));
    }

    pub fn name(&self) -> &str {
        self.url.as_deref().and_then(|url| url.rsplit('/').next()).expect("a PostgreSQL database")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `None` for SQLite.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    pub fn location(&self) -> Location {
        match &self.url {
            Some(url) => Location::Postgres(PostgresServer { url: url.clone(), ca_file: None }),
            None => Location::Sqlite(self.folder.path().join("bellwether.db")),
        }
    }

    pub async fn open(&self) -> Db {
        self.try_open().await.expect("the database opens")
    }

    pub async fn try_open(&self) -> Result<Db, bellwether::store::StoreError> {
        let location = self.location();
        tokio::task::spawn_blocking(move || Db::open(&location)).await.expect("opening does not panic")
    }
}

fn url_of(sockets: &Path, database: &str) -> String {
    let sockets = sockets.to_str().expect("a printable name").replace('/', "%2F");
    format!("postgres://postgres@{sockets}/{database}")
}

/// Runs a statement that is about databases, not within one.
fn maintain(sockets: &Path, statement: String) {
    let url = url_of(sockets, "postgres");
    let done = std::thread::spawn(move || postgres::Client::connect(&url, postgres::NoTls)?.batch_execute(&statement));
    done.join().expect("the thread ends").expect("PostgreSQL does it");
}

fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("it_").tempdir().expect("a folder can be made")
}

/// Closes the store, which waits for all that was submitted.
pub async fn close(db: Db) {
    tokio::task::spawn_blocking(move || db.close()).await.expect("closing does not panic");
}

/// Makes two tests of each case: one on each database.
#[macro_export]
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {$(
        mod $case {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$case($crate::databases::Database::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$case($crate::databases::Database::postgres()).await;
            }
        }
    )+};
}

pub use on_both;
