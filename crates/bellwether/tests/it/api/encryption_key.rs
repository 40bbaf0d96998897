//! The key that secrets are encrypted with is rotated while webhooks go out, and nothing is lost by it.

use bellwether::config::Config;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::Receiver;
use serde_json::{Value, json};

use super::{delivery, items, rename, subscribe};
use crate::server::{Server, config, draft};

async fn secrets_outlive_the_key_that_they_were_sealed_with(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let (endpoint, _) = subscribe(&server, &receiver.url("/hook?token=abc")).await;
    let id = server.experiment(draft("k")).await;
    let file = database.folder().join("secret.key");
    let before = std::fs::read_to_string(&file).unwrap();
    let old = server.get("/encryption_key").await;
    let rotated = server.post("/encryption_key/rotate", Value::Null).await.expect(200);
    assert_ne!(rotated["name"], old["name"]);
    assert_eq!(rotated["others"], json!([]));
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.trim().len() == 64 && after != before);
    rename(&server, id, "after the rotation").await;
    delivery(&server, &endpoint, 2, "delivered").await;
    let told = server.get("/audit?limit=2").await;
    assert_eq!(items(&told)[1]["subject"], "setting_encryption_key");
    assert_eq!(items(&told)[1]["changes"][0]["to"], rotated["name"]);
    let again = server.post("/encryption_key/rotate", Value::Null).await.expect(200);
    assert_ne!(again["name"], rotated["name"]);
    server.stop().await;
    let server = Server::start(&database).await;
    rename(&server, id, "after a start").await;
    delivery(&server, &endpoint, 3, "delivered").await;
    server.stop().await;
    std::fs::write(&file, before).unwrap();
    let refused = bellwether::app::start(config(&database)).await.err().unwrap().to_string();
    assert!(refused.contains("encrypted with the key"), "{refused}");
}

/// Killed when the new key was in the file and bound, but nothing sealed with it yet.
async fn a_rotation_that_was_broken_off_is_gone_on_with(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let (endpoint, _) = subscribe(&server, &receiver.url("/hook")).await;
    let id = server.experiment(draft("k")).await;
    server.stop().await;
    let file = database.folder().join("secret.key");
    let (old, new) = (std::fs::read_to_string(&file).unwrap(), "ab".repeat(32));
    std::fs::write(&file, format!("{}\n{new}\n", old.trim())).unwrap();
    let name = bellwether::platform::secret::Vault::with_key_text(&new).unwrap().key_name();
    let bind = move |tx: &mut dyn bellwether::store::Tx| {
        bellwether::store::settings::set(tx, bellwether::store::settings::SECRET_KEY_NAME, &name)
    };
    crate::store::write(&database.open().await, bind).await.unwrap();
    let server = Server::start(&database).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), new, "the old key is not needed any more");
    rename(&server, id, "after it").await;
    delivery(&server, &endpoint, 2, "delivered").await;
    server.stop().await;
}

async fn a_key_that_is_given_is_rotated_to_the_other_that_is_given(database: Database) {
    let (old, new) = ("0a".repeat(32), "0b".repeat(32));
    let given = |text: &str| Config { secret_key: Some(text.to_owned()), ..config(&database) };
    let (server, receiver) = (Server::with(given(&old)).await, Receiver::start().await);
    let (endpoint, _) = subscribe(&server, &receiver.url("/hook")).await;
    let id = server.experiment(draft("k")).await;
    let refused = server.post("/encryption_key/rotate", Value::Null).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("secret_key"), "{refused}");
    server.stop().await;
    let server = Server::with(given(&format!("{new},{old}"))).await;
    rename(&server, id, "with both").await;
    delivery(&server, &endpoint, 2, "delivered").await;
    server.post("/encryption_key/rotate", Value::Null).await.expect(200);
    server.stop().await;
    let server = Server::with(given(&new)).await;
    rename(&server, id, "with the new one").await;
    delivery(&server, &endpoint, 3, "delivered").await;
    server.stop().await;
}

on_both!(
    secrets_outlive_the_key_that_they_were_sealed_with,
    a_rotation_that_was_broken_off_is_gone_on_with,
    a_key_that_is_given_is_rotated_to_the_other_that_is_given,
);
