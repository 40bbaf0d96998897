//! The description of the API held against a server by schemathesis: everything that it says may be sent is sent, and much that
//! may not, and every answer must be one that it describes. Real ids come from an instance that has some of everything.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_testkit::databases::Database;
use bellwether_testkit::receiver::Receiver;
use http::Method;
use serde_json::Value;

use crate::server::{ADMIN_KEY, Server};

/// The program, as `cargo xtask setup` has installed it.
fn schemathesis() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let oracles = std::env::var_os("BELLWETHER_ORACLES").map(PathBuf::from);
    let program = oracles.unwrap_or_else(|| cache.join("bellwether/oracles")).join("schemathesis/bin/st");
    assert!(program.exists(), "{} is missing; run `cargo xtask setup`", program.display());
    program
}

/// Rows of the experiment that the description's examples speak of.
fn write_tables(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut assignments = "user_id,at,experiment,variation,country\n".to_owned();
    let mut orders = "user_id,at,amount\n".to_owned();
    for user in 0..200 {
        let (variation, country) = (["control", "red"][user % 2], ["de", "fr", "it"][user % 3]);
        writeln!(assignments, "u{user},2026-03-0{}T10:00:00Z,checkout-cta,{variation},{country}", 1 + user % 5)
            .unwrap();
        writeln!(orders, "u{user},2026-03-06T12:00:00Z,{}", user % 17).unwrap();
    }
    std::fs::write(folder.join("assignments.csv"), assignments).unwrap();
    std::fs::write(folder.join("orders.csv"), orders).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_does_what_its_description_says() {
    let database = Database::sqlite();
    let files = database.folder().join("files");
    write_tables(&files);
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let own = package.join("tests/it/described");
    let (description, counts) = (package.join("../../docs/openapi.json"), database.folder().join("counts.json"));
    let url = format!("http://{}", server.running().address());
    let mut command = Command::new(schemathesis());
    command.arg("--config-file").arg(own.join("schemathesis.toml")).arg("run").arg(&description);
    command.args(["--url", &url, "--no-color", "-H", &format!("Authorization: Bearer {ADMIN_KEY}")]);
    // Streams do not end by themselves; they have tests of their own.
    command.args(["--exclude-operation-id", "followEvents", "--exclude-operation-id", "followRun"]);
    command.current_dir(database.folder()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("SCHEMATHESIS_HOOKS", own.join("hooks.py"));
    command.env("BELLWETHER_DESCRIPTION", &description).env("BELLWETHER_COUNTS", &counts);
    command.env("BELLWETHER_URL", &url).env("BELLWETHER_KEY", ADMIN_KEY);
    command.env("BELLWETHER_FILES", &files).env("BELLWETHER_RECEIVER", receiver.url("/"));
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{told}\n{}", String::from_utf8_lossy(&ended.stderr));
    println!("{told}");
    let counts: BTreeMap<String, BTreeMap<String, u64>> =
        serde_json::from_slice(&std::fs::read(&counts).unwrap()).unwrap();
    check_counts(&counts);
    server.stop().await;
}

#[tokio::test]
async fn the_description_is_open_to_all_and_nothing_of_it_comes_from_elsewhere() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let get = async |path: &str, headers: &[(&str, &str)]| server.raw(Method::GET, path, headers, "").await;
    let document = get("/openapi.json", &[]).await;
    assert_eq!(document.expect(200)["openapi"], "3.1.0");
    assert_eq!(document.header("content-type"), "application/json");
    let known = [("if-none-match", document.header("etag"))];
    let again = get("/openapi.json", &known).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let page = get("//api/docs", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{policy}");
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    for attribute in ["href=\"", "src=\""] {
        for link in html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
            let is_here = link.starts_with('#') || get(&format!("//api/{link}"), &[]).await.status == 200;
            assert!(is_here, "{link} leads elsewhere");
        }
    }
    let refused = server.raw(Method::POST, "//api/docs", &[], "").await;
    assert_eq!((refused.status, refused.header("allow")), (405, "GET,HEAD"));
    server.stop().await;
}

/// Every operation was asked, and what was asked for was often given.
fn check_counts(counts: &BTreeMap<String, BTreeMap<String, u64>>) {
    let count = |answers: &BTreeMap<String, u64>| {
        (answers.values().sum::<u64>(), answers.get("2xx").copied().unwrap_or_default())
    };
    let (mut all, mut good) = (0, 0);
    for (operation, answers) in counts {
        let (cases, successes) = count(answers);
        println!("{operation:28} {cases:5} cases, {:3} % 2xx", 100 * successes / cases);
        (all, good) = (all + cases, good + successes);
    }
    println!("{} operations, {all} cases, {} % 2xx", counts.len(), 100 * good / all);
    let document: Value = serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|methods| methods.as_object().unwrap().values());
    let names: Vec<&str> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
    let unasked: Vec<_> =
        names.iter().filter(|name| !name.starts_with("follow") && !counts.contains_key(**name)).collect();
    assert_eq!(unasked, [&""; 0], "operations that were not asked");
    assert!(10 * good >= 3 * all, "only {good} of {all} answers were 2xx");
}
