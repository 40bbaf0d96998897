//! A folder of files with a worker over it.

use bellwether_warehouse::{Cell, ErrorKind, Session, Setup, Table, TableSettings, WarehouseConfig, WarehouseError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const MEBIBYTE: u64 = 1024 * 1024;
pub const WORKER: &str = env!("CARGO_BIN_EXE_warehouse-worker");

pub struct Folder {
    place: TempDir,
    pub memory_limit_bytes: u64,
    pub tables: BTreeMap<String, TableSettings>,
}

impl Folder {
    /// A warehouse holding the named files.
    pub fn with(files: &[(&str, &str)]) -> Folder {
        let folder =
            Folder { place: tempfile::tempdir().unwrap(), memory_limit_bytes: 256 * MEBIBYTE, tables: BTreeMap::new() };
        std::fs::create_dir(folder.root()).unwrap();
        for (name, content) in files {
            folder.write(name, content);
        }
        folder
    }

    /// The warehouse's root and only allowed root.
    pub fn root(&self) -> PathBuf {
        self.place.path().join("files")
    }

    /// A path beside the root, so outside of what is allowed.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn setup(&self) -> Setup {
        self.setup_at(&self.root())
    }

    pub fn setup_at(&self, path: &Path) -> Setup {
        Setup {
            warehouse: WarehouseConfig::Files {
                path: path.to_owned(),
                roots: vec![self.root()],
                tables: self.tables.clone(),
            },
            scratch: self.outside("scratch"),
            memory: Some(self.outside("memory")),
            memory_limit_bytes: self.memory_limit_bytes,
        }
    }

    pub async fn start(&self) -> Result<Session, WarehouseError> {
        start(&self.setup()).await
    }

    pub async fn session(&self) -> Session {
        self.start().await.unwrap()
    }

    /// Writes `sql` as a Parquet file of the warehouse, by way of a worker.
    pub async fn write_parquet(&self, name: &str, sql: &str) {
        // What is ordered comes in one part, and so in one file.
        let numbered = format!("SELECT *, ROW_NUMBER() OVER () AS place FROM ({sql}) AS made");
        let ordered = match sql.contains("ORDER BY") {
            true => sql.to_owned(),
            false => format!("SELECT * EXCEPT (place) FROM ({numbered}) AS numbered ORDER BY place"),
        };
        self.session().await.materialize("made", &ordered).await.unwrap();
        assert!(!self.outside("scratch/made.1.1.parquet").exists());
        let target = self.root().join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(self.outside("scratch/made.1.0.parquet"), target).unwrap();
    }
}

pub async fn start(setup: &Setup) -> Result<Session, WarehouseError> {
    Session::start(WORKER, [] as [&str; 0], setup).await
}

pub async fn rows(session: &mut Session, sql: &str) -> Vec<Vec<Cell>> {
    table(session, sql).await.rows
}

pub async fn table(session: &mut Session, sql: &str) -> Table {
    session.query(sql, 1000).await.unwrap_or_else(|error| panic!("{sql}: {error}")).table.unwrap()
}

/// The kind and message of the failure that `sql` must end in.
pub async fn refusal(session: &mut Session, sql: &str) -> (ErrorKind, String) {
    match session.query(sql, 1000).await {
        Err(WarehouseError::Failed(failure)) => (failure.kind, failure.message),
        other => panic!("{sql}: expected a refusal, got {other:?}"),
    }
}
