//! The data folder: what is made in it, for whom, and what is said when something in it is missing or damaged.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bellwether::app::{self, StartError};
use bellwether::store::{StoreError, Tx};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use serde_json::json;

use super::subscribe_with;
use crate::server::{Server, config, draft};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn refused(database: &Database) -> StartError {
    app::start(config(database)).await.err().expect("it does not start")
}

/// Nothing is made in place of what the database's secrets need.
async fn a_missing_key_is_missed_and_not_replaced(database: Database) {
    let server = Server::start(&database).await;
    subscribe_with(&server, json!({"url": "https://127.0.0.1:9/", "enabled": false})).await;
    server.stop().await;
    let (key, backup) = (database.folder().join("secret.key"), database.folder().join("backup"));
    std::fs::rename(&key, &backup).unwrap();
    let text = refused(&database).await.to_string();
    assert!(text.contains("secret.key is missing") && text.contains("backup"), "{text}");
    assert!(!key.exists(), "nothing was made");
    std::fs::rename(&backup, &key).unwrap();
    Server::start(&database).await.stop().await;
}

/// A folder that was there, open to all, as a mounted one may be.
async fn what_is_in_the_folder_is_for_its_owner_alone(database: Database) {
    let folder = database.folder();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    if database.url().is_none() {
        std::fs::write(folder.join("bellwether.db"), "").unwrap();
        std::fs::set_permissions(folder.join("bellwether.db"), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let server = Server::start(&database).await;
    server.experiment(draft("k")).await;
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in &names {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(path), expected, "{}", path.display());
    }
    assert!(folder.join("scratch").is_dir());
    server.stop().await;
    assert!(!folder.join("bellwether.db-wal").exists(), "a clean stop closes the database");
}

/// A database that reads and does not write is not ready.
async fn what_cannot_be_written_is_not_ready(database: Database) {
    let server = Server::start(&database).await;
    server.eventually_root("/readyz", |answer| answer.status == 200).await;
    let refusal = if database.url().is_some() {
        vec![
            "CREATE FUNCTION refuse() RETURNS trigger AS $x$ BEGIN RAISE EXCEPTION 'refused'; END $x$ LANGUAGE plpgsql",
            "CREATE TRIGGER refusal BEFORE INSERT ON settings FOR EACH ROW EXECUTE FUNCTION refuse()",
        ]
    } else {
        vec!["CREATE TRIGGER refusal BEFORE INSERT ON settings BEGIN SELECT RAISE(ABORT, 'refused'); END"]
    };
    let refuse = move |tx: &mut dyn Tx| refusal.iter().try_for_each(|sql| tx.execute(sql, &[]).map(drop));
    server.running().registry().db().write::<_, StoreError, _>(refuse).await.unwrap();
    let answer = server.eventually_root("/readyz", |answer| answer.status == 503).await;
    assert!(answer.json()["detail"].as_str().unwrap().contains("database: "), "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_damaged_database_is_named_with_what_to_do() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    server.experiment(draft("k")).await;
    server.stop().await;
    let path = database.folder().join("bellwether.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let whole = bytes.clone();
    bytes[..32].fill(b'x');
    std::fs::write(&path, &bytes).unwrap();
    let text = refused(&database).await.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("restore the last backup"), "{text}");
    let mut bytes = whole;
    let behind = 4096.min(bytes.len());
    bytes[behind..].fill(0xee);
    std::fs::write(&path, &bytes).unwrap();
    let text = refused(&database).await.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("restore the last backup"), "{text}");
}

on_both!(
    a_missing_key_is_missed_and_not_replaced,
    what_is_in_the_folder_is_for_its_owner_alone,
    what_cannot_be_written_is_not_ready,
);
