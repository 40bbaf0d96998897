//! `bellwether doctor` as somebody calls it: beside a server, without one, and where something is wrong. It changes nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use serde_json::{Value, json};

use crate::server::{Server, config};

/// What it found, by name.
struct Found {
    is_well: bool,
    checks: BTreeMap<String, Value>,
}

impl Found {
    fn of(database: &Database, variables: &[(&str, &str)]) -> Self {
        Self::with(database.folder(), database.url(), variables)
    }

    fn with(data: &Path, url: Option<&str>, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
        // The tests' own, which is no setting.
        command.env_remove("BELLWETHER_ORACLES");
        command.args(["doctor", "--json", "--data"]).arg(data).envs(variables.iter().copied());
        if let Some(url) = url {
            command.args(["--database-url", url]);
        }
        let output = command.output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let checks = told["checks"].as_array().unwrap().iter();
        let checks = checks.map(|check| (check["name"].as_str().unwrap().to_owned(), check.clone())).collect();
        assert_eq!(output.status.success(), told["is_well"], "{told}");
        Self { is_well: told["is_well"] == true, checks }
    }

    fn verdict(&self, name: &str) -> &str {
        self.checks[name]["verdict"].as_str().unwrap()
    }

    /// The verdict is this one, and there is advice, and the finding says so.
    fn assert(&self, name: &str, verdict: &str, finding: &str) {
        let check = &self.checks[name];
        assert_eq!(check["verdict"], verdict, "{check}");
        assert!(check["finding"].as_str().unwrap().contains(finding), "{check}");
        assert_eq!(check["advice"].is_string(), matches!(verdict, "warning" | "failure"), "{check}");
    }

    fn failing(&self) -> Vec<&Value> {
        self.checks.values().filter(|check| check["verdict"] == "failure").collect()
    }
}

/// Every file below a folder, with what it holds and when it was written.
fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let written = path.metadata().unwrap().modified().unwrap();
            found.insert(path.clone(), (std::fs::read(&path).unwrap(), written));
        }
    }
    found
}

async fn beside_a_server_and_without_one_all_is_well_and_stays_as_it_is(database: Database) {
    let server = Server::start(&database).await;
    server.make("/endpoints", json!({"url": "http://127.0.0.1:9/hook?token=hunter2"})).await;
    let folder = database.folder().join("files");
    server.make("/warehouses", json!({"name": "files", "kind": "files", "path": folder.to_str().unwrap()})).await;
    let loopback = [("BELLWETHER_ALLOW_NETWORKS", "127.0.0.0/8")];
    let beside = Found::of(&database, &loopback);
    assert!(beside.is_well, "{:?}", beside.failing());
    for name in ["configuration", "data_folder", "database", "schema", "secrets", "warehouses", "clock"] {
        assert_eq!(beside.verdict(name), "ok", "{}", beside.checks[name]);
    }
    // What the machine has to say may be a warning.
    for name in ["disk", "sync"] {
        assert!(matches!(beside.verdict(name), "ok" | "warning"), "{}", beside.checks[name]);
    }
    beside.assert("endpoints", "ok", "all 1 that are enabled");
    server.stop().await;

    let before = files(database.folder());
    let without = Found::of(&database, &loopback);
    assert!(without.is_well, "{:?}", without.failing());
    assert!(files(database.folder()) == before, "files were changed, made or removed");
    match database.url() {
        Some(_) => {
            without.assert("nodes", "ok", "no server runs");
            // The tests' own role is one.
            without.assert("role", "warning", "superuser");
            assert_eq!(without.verdict("postgresql"), "ok");
        }
        None => without.assert("integrity", "ok", "is whole"),
    }
}

async fn what_is_wrong_is_told_with_what_to_do(database: Database) {
    let server = Server::start(&database).await;
    server.make("/endpoints", json!({"url": "http://127.0.0.1:9/hook?token=hunter2"})).await;
    let folder = database.folder().join("files");
    server.make("/warehouses", json!({"name": "sales", "kind": "files", "path": folder.to_str().unwrap()})).await;
    server.stop().await;
    std::fs::remove_dir(&folder).unwrap();
    let key = database.folder().join("secret.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://me:hunter2@{}", proxy.local_addr().unwrap());
    drop(proxy);
    let found = Found::of(&database, &[("BELLWETHER_OUTBOUND_PROXY", &address), ("BELLWETHER_LISEN", "x")]);
    assert!(!found.is_well);
    found.assert("configuration", "warning", "BELLWETHER_LISEN");
    found.assert("secret_key_file", "warning", "mode 644");
    found.assert("warehouses", "failure", "'sales'");
    found.assert("endpoints", "failure", "127.0.0.1 is a loopback address");
    found.assert("proxy", "failure", "cannot be reached");
    assert!(!format!("{:?}", found.checks).contains("hunter2"), "{:?}", found.checks);

    std::fs::write(&key, "7".repeat(64)).unwrap();
    let found = Found::of(&database, &[]);
    found.assert("secrets", "failure", "they are encrypted with the key");
    std::fs::remove_file(&key).unwrap();
    Found::of(&database, &[]).assert("secrets", "failure", "which is not here");
    Found::of(&database, &[("BELLWETHER_SECRET_KEY", "short")]).assert("secrets", "failure", "64 hexadecimal digits");
}

async fn a_schema_of_another_version_is_left_alone(database: Database) {
    Server::start(&database).await.stop().await;
    let db = database.open().await;
    let newer =
        |tx: &mut dyn bellwether::store::Tx| tx.execute("INSERT INTO schema_migrations (version) VALUES (9999)", &[]);
    db.write(newer).await.unwrap();
    bellwether_testkit::databases::close(db).await;
    let found = Found::of(&database, &[]);
    found.assert("schema", "failure", "version 9999");
    assert_eq!(found.verdict("secrets"), "skipped");
}

on_both!(
    beside_a_server_and_without_one_all_is_well_and_stays_as_it_is,
    what_is_wrong_is_told_with_what_to_do,
    a_schema_of_another_version_is_left_alone,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_altered_is_counted_and_named() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    server.make("/endpoints", json!({"url": "https://example.com/a"})).await;
    let altered = server.make("/endpoints", json!({"url": "https://example.com/b"})).await;
    server.stop().await;
    let file = database.folder().join("bellwether.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.execute("UPDATE endpoints SET url = zeroblob(80) WHERE id = ?1", [&altered]).unwrap();
    drop(connection);
    let found = Found::of(&database, &[]);
    found.assert("secrets", "failure", "1 of 2 endpoints cannot be read");
    found.assert("secrets", "failure", &altered);

    // Pages of rows in the middle of the file.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let found = Found::of(&database, &[]);
    assert!(!found.is_well);
    assert!(found.failing().iter().any(|check| check["name"] == "integrity" || check["name"] == "database"));
}

#[test]
fn where_nothing_is_yet_it_says_how_to_begin_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let found = Found::with(&nowhere, None, &[]);
    found.assert("data_folder", "failure", "No such file");
    found.assert("database", "warning", "is not there");
    assert!(!nowhere.exists());

    let found = Found::with(folder.path(), None, &[("BELLWETHER_MAX_RUNS", "none")]);
    assert_eq!(found.checks.len(), 1);
    found.assert("configuration", "failure", "BELLWETHER_MAX_RUNS");
    let found = Found::with(folder.path(), Some("postgres://127.0.0.1:1/x"), &[]);
    found.assert("database", "failure", "");
    let tls = [("BELLWETHER_TLS_CERT", "/nowhere.pem"), ("BELLWETHER_TLS_KEY", "/nowhere.pem")];
    Found::with(folder.path(), None, &tls).assert("tls", "failure", "tls_cert: /nowhere.pem");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A start that was killed leaves its log behind: what stands there counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_not_closed_is_read_with_its_log() {
    let database = Database::sqlite();
    let server = Server::with(config(&database)).await;
    server.make("/endpoints", json!({"url": "https://example.com/a"})).await;
    let copied = tempfile::tempdir().unwrap();
    for name in ["bellwether.db", "bellwether.db-wal", "bellwether.db-shm", "secret.key"] {
        std::fs::copy(database.folder().join(name), copied.path().join(name)).unwrap();
    }
    server.stop().await;
    let found = Found::with(copied.path(), None, &[]);
    found.assert("secrets", "ok", "all 1 endpoints");
    found.assert("integrity", "ok", "whole");
}
