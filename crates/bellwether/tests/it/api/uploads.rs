//! Files that are put into a warehouse: there whole or not at all, under names that are read, and nowhere else.

use std::path::{Path, PathBuf};

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::PATIENCE;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::refusals::problem;
use crate::server::{ADMIN_KEY, Answer, Server, config};

const MEBIBYTE: usize = 1024 * 1024;

/// A warehouse over an empty folder: its id, and the folder.
async fn warehouse(server: &Server, database: &Database) -> (String, PathBuf) {
    let folder = database.folder().join("files");
    std::fs::create_dir_all(&folder).unwrap();
    let id = server.make("/warehouses", json!({"name": "w", "kind": "files", "path": folder})).await;
    (id, folder)
}

async fn put(server: &Server, warehouse: &str, name: &str, body: impl Into<Vec<u8>>) -> Answer {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let path = format!("/warehouses/{warehouse}/files/{name}");
    server.raw(Method::PUT, &path, &[("authorization", &bearer)], body.into()).await
}

/// A request whose body is `rest` bytes short of what its head says.
async fn begin(server: &Server, warehouse: &str, name: &str, length: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.running().address()).await.unwrap();
    let head = format!(
        "PUT /api/v1/warehouses/{warehouse}/files/{name} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\n{length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

fn entries(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Looks at the folder again and again.
async fn until(folder: &Path, holds: impl Fn(&[String]) -> bool) {
    let looking = async {
        while !holds(&entries(folder)) {
            tokio::task::yield_now().await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, looking).await;
    came.unwrap_or_else(|_| panic!("the folder did not come to what was waited for: {:?}", entries(folder)));
}

async fn a_file_comes_whole_and_replaces_the_one_before(database: Database) {
    let server = Server::start(&database).await;
    let (id, folder) = warehouse(&server, &database).await;
    let made = put(&server, &id, "orders.csv", "user,amount\n1,2.50\n").await.expect(201);
    assert_eq!((&made["name"], &made["size"]), (&json!("orders.csv"), &json!(19)));
    if cfg!(feature = "embedded") {
        let table = &made["table"];
        assert_eq!((&table["name"], &table["error"]), (&json!("orders"), &Value::Null));
        let column = |i: usize| (table["columns"][i]["name"].clone(), table["columns"][i]["type"].clone());
        assert_eq!((column(0), column(1)), ((json!("user"), json!("int")), (json!("amount"), json!("decimal"))));
        let tables = server.get(&format!("/warehouses/{id}/tables")).await;
        assert_eq!(tables["items"][0], *table);
    }
    // More than another body may have, in more than one folder.
    let large = format!("user\n{}", "1234567\n".repeat(MEBIBYTE));
    put(&server, &id, "orders.csv", large.clone()).await.expect(200);
    assert!(std::fs::read_to_string(folder.join("orders.csv")).unwrap() == large);
    let part = put(&server, &id, "facts/part-1.csv", "a,b\n1\n").await.expect(201);
    assert_eq!(
        (&part["name"], part["table"]["error"].is_null()),
        (&json!("facts/part-1.csv"), !cfg!(feature = "embedded"))
    );
    put(&server, &id, "facts%2Fpart-1.csv", "a,b\n1,2\n").await.expect(200);
    assert_eq!(
        (entries(&folder), entries(&folder.join("facts"))),
        (vec!["facts".into(), "orders.csv".into()], vec!["part-1.csv".to_owned()])
    );

    let (one, other) = ("a\n".repeat(MEBIBYTE), "b\n".repeat(MEBIBYTE));
    let both = tokio::join!(put(&server, &id, "same.csv", one.clone()), put(&server, &id, "same.csv", other.clone()));
    assert!([both.0.status, both.1.status].iter().all(|status| [200, 201].contains(status)), "{both:?}");
    let there = std::fs::read_to_string(folder.join("same.csv")).unwrap();
    assert!(there == one || there == other, "neither is torn");
    server.stop().await;
}

async fn names_sizes_and_folders_are_refused_by_name(database: Database) {
    let bounded = bellwether::config::Config { max_upload_bytes: 3 * MEBIBYTE as u64, ..config(&database) };
    let server = Server::with(bounded).await;
    let (id, folder) = warehouse(&server, &database).await;
    for name in [
        "orders",
        "orders.txt",
        "..%2Fx.csv",
        "%2e%2e/x.csv",
        "a/b/c.csv",
        "_x.csv",
        ".x.csv",
        "x%00.csv",
        "a%5Cb.csv",
        "%2Fx.csv",
    ] {
        let refused = problem(put(&server, &id, name, "a\n1\n").await, 422, "invalid");
        assert_eq!(refused["errors"][0]["field"], "name", "{name}: {refused}");
    }
    std::os::unix::fs::symlink(database.folder(), folder.join("out")).unwrap();
    let out = problem(put(&server, &id, "out/x.csv", "a\n1\n").await, 422, "invalid");
    assert!(out["detail"].as_str().unwrap().contains("leads out"), "{out}");
    std::fs::remove_file(folder.join("out")).unwrap();
    problem(put(&server, "wh_00000000000000000000000000", "x.csv", "a\n").await, 404, "not-found");

    put(&server, &id, "x.csv", "1\n".repeat(MEBIBYTE * 3 / 2)).await.expect(201);
    let large = problem(put(&server, &id, "y.csv", "1\n".repeat(MEBIBYTE * 3 / 2 + 1)).await, 413, "body-too-large");
    assert!(large["detail"].as_str().unwrap().contains("max_upload_bytes"), "{large}");
    // One that does not say how long it is.
    let chunk = format!("{:x}\r\n{}\r\n", MEBIBYTE, "x".repeat(MEBIBYTE));
    let mut unsaid = begin(&server, &id, "y.csv", "transfer-encoding: chunked", &chunk.repeat(3)).await;
    unsaid.write_all(b"1\r\nx\r\n").await.unwrap();
    let mut answer = [0; 12];
    unsaid.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(entries(&folder), ["x.csv"]);

    std::fs::remove_dir_all(&folder).unwrap();
    let gone = problem(put(&server, &id, "x.csv", "a\n1\n").await, 409, "state");
    assert!(gone["detail"].as_str().unwrap().contains("folder cannot be used"), "{gone}");
    server.stop().await;
}

async fn a_broken_upload_leaves_nothing_and_few_come_at_a_time(database: Database) {
    let server = Server::start(&database).await;
    let (id, folder) = warehouse(&server, &database).await;
    put(&server, &id, "orders.csv", "a\n1\n").await.expect(201);
    let mut held = Vec::new();
    for name in ["orders.csv", "orders.csv", "new/x.csv", "y.csv"] {
        held.push(begin(&server, &id, name, "content-length: 100", "a\n2\n").await);
    }
    until(&folder, |there| there.iter().filter(|name| name.starts_with(".upload-")).count() == 4).await;
    let busy = problem(put(&server, &id, "z.csv", "a\n1\n").await, 503, "busy");
    assert!(busy["detail"].as_str().unwrap().contains("files are being uploaded"), "{busy}");
    drop(held);
    until(&folder, |there| there == ["orders.csv"]).await;
    assert_eq!(std::fs::read_to_string(folder.join("orders.csv")).unwrap(), "a\n1\n");
    server.stop().await;
}

on_both!(
    a_file_comes_whole_and_replaces_the_one_before,
    names_sizes_and_folders_are_refused_by_name,
    a_broken_upload_leaves_nothing_and_few_come_at_a_time,
);
