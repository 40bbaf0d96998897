//! `bellwether listen --forward-to`: what a program is sent that the server cannot reach, and what becomes of it while one of
//! the two is away.

use std::process::{ExitStatus, Stdio};

use bellwether::config::Config;
use bellwether::domain::clock::{Clock, Timestamp};
use bellwether::platform::clock::SystemClock;
use bellwether_testkit::certificates::Authority;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{PATIENCE, Received, Receiver, Reply};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::api::{items, rename};
use crate::server::{ADMIN_KEY, Server, config, draft};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The program, while it runs.
struct Listener {
    child: Child,
    outcomes: Lines<BufReader<ChildStdout>>,
    told: Lines<BufReader<ChildStderr>>,
    /// What it has said when it began.
    greeting: String,
}

fn command(key: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command.arg("listen").args(arguments).env("BELLWETHER_KEY", key);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Listener {
    /// Follows the server by this key, and has begun.
    async fn start(server: &str, key: &str, to: &str, more: &[&str]) -> Self {
        let arguments = ["--forward-to", to, "--server", server, "--json"];
        let mut child = command(key, &[&arguments, more].concat()).spawn().unwrap();
        let outcomes = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut listener = Self { child, outcomes, told, greeting: String::new() };
        while !listener.greeting.contains("forwarding the events") {
            let line = tokio::time::timeout(PATIENCE, listener.told.next_line()).await.expect("it begins in time");
            listener.greeting += &line.unwrap().unwrap_or_else(|| panic!("it has ended: {}", listener.greeting));
        }
        listener
    }

    async fn of(server: &Server, to: &str, more: &[&str]) -> Self {
        let url = server.running().public_url().to_owned();
        Self::start(&url, ADMIN_KEY, to, &[&["--secret", SECRET], more].concat()).await
    }

    /// What came of the next attempt.
    async fn outcome(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.outcomes.next_line()).await.expect("an attempt is made in time");
        serde_json::from_str(&line.unwrap().expect("it goes on")).unwrap()
    }

    /// How it ended, and what it said at last.
    async fn ended(mut self) -> (ExitStatus, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").unwrap();
        let mut told = String::new();
        while let Some(line) = self.told.next_line().await.unwrap() {
            told += &line;
        }
        (status, told)
    }
}

/// One that ends by itself.
async fn refused(key: &str, arguments: &[&str]) -> String {
    let ended = tokio::time::timeout(PATIENCE, command(key, arguments).output()).await;
    let ended = ended.expect("it ends in time").unwrap();
    assert!(!ended.status.success());
    String::from_utf8(ended.stderr).unwrap()
}

fn at<'r>(received: &'r [Received], path: &str) -> Vec<&'r Received> {
    received.iter().filter(|request| request.path == path).collect()
}

fn revisions(received: &[Received]) -> Vec<i64> {
    received.iter().map(Received::revision).collect()
}

/// Beside a real endpoint with the same secret: the same events, ids, headers and bytes, in both formats.
async fn what_is_forwarded_is_what_an_endpoint_is_sent(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let mut listeners = Vec::new();
    for format in ["eppo", "detailed"] {
        let url = receiver.url(&format!("/endpoint/{format}"));
        server.make("/endpoints", json!({"url": url, "secret": SECRET, "format": format})).await;
        let to = receiver.url(&format!("/here/{format}"));
        listeners.push(Listener::of(&server, &to, &["--format", format]).await);
    }
    let id = server.experiment(draft("checkout \u{1f600} \"\u{2028}\\")).await;
    rename(&server, id, "second").await;
    let all = receiver.wait_for(8).await;
    for (format, listener) in ["eppo", "detailed"].into_iter().zip(&mut listeners) {
        let owed = at(&all, &format!("/endpoint/{format}"));
        let here = at(&all, &format!("/here/{format}"));
        assert_eq!((owed.len(), here.len()), (2, 2));
        for (owed, here) in owed.into_iter().zip(here) {
            assert_eq!((&here.method, &here.body), (&owed.method, &owed.body));
            assert_eq!(here.verify(SECRET).id, owed.header("webhook-id"));
            let [owed_headers, headers] = [owed, here].map(|request| {
                let mut headers = request.headers.clone();
                // Of the moment; they verify.
                for name in ["webhook-timestamp", "webhook-signature"] {
                    assert!(headers.remove(name).is_some());
                }
                headers
            });
            assert_eq!(headers, owed_headers);
            let outcome = listener.outcome().await;
            assert_eq!((&outcome["answer"], &outcome["attempt"]), (&json!(204), &json!(1)));
            assert_eq!(
                (&outcome["webhook_id"], &outcome["event"]),
                (&json!(here.header("webhook-id")), &json!(here.event_type()))
            );
            assert_eq!((&outcome["data"], &outcome["error"]), (&here.json()["data"], &Value::Null));
        }
    }
    drop(listeners);
    server.stop().await;
}

/// Nothing is lost while the server is away, and nothing comes twice.
async fn it_goes_on_where_it_was_when_the_server_is_back(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let listen = server.running().address();
    let mut listener = Listener::of(&server, &receiver.url("/"), &[]).await;
    let id = server.experiment(draft("k")).await;
    receiver.wait_for(1).await;
    server.stop().await;
    assert!(listener.told.next_line().await.unwrap().unwrap().contains("cannot be reached"));
    let server = Server::with(Config { listen, ..config(&database) }).await;
    rename(&server, id, "second").await;
    rename(&server, id, "third").await;
    assert_eq!(revisions(&receiver.wait_for(3).await), [1, 2, 3]);
    assert!(listener.told.next_line().await.unwrap().unwrap().contains("is there again"));
    drop(listener);
    server.stop().await;
    assert_eq!(receiver.received().len(), 3, "each once");
}

/// An event that the program did not see is tried again before the next has its turn; one that it answered has had its own.
async fn a_program_that_was_away_gets_everything_in_order(database: Database) {
    let (server, mut receiver) = (Server::start(&database).await, Receiver::start().await);
    let mut listener = Listener::of(&server, &receiver.url("/"), &[]).await;
    receiver.refuse().await;
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "second").await;
    let outcome = listener.outcome().await;
    assert_eq!((&outcome["answer"], &outcome["error"]["class"]), (&Value::Null, &json!("connect")), "{outcome}");
    assert_eq!((&outcome["revision"], &outcome["retry_in_seconds"]), (&json!(1), &json!(0.5)));
    receiver.answer(|request| Reply::Status(if request.revision() == 2 { 500 } else { 204 }));
    receiver.accept_again().await;
    rename(&server, id, "third").await;
    let received = receiver.wait_for(3).await;
    assert_eq!(revisions(&received), [1, 2, 3]);
    assert!(received[0].attempt() > 1 && received[1].attempt() == 1);
    received.iter().for_each(|request| drop(request.verify(SECRET)));
    let mut last = listener.outcome().await;
    while last["answer"].is_null() {
        last = listener.outcome().await;
    }
    let answers = [last, listener.outcome().await, listener.outcome().await];
    let told = answers.map(|outcome| (outcome["answer"].as_u64(), outcome["retry_in_seconds"].is_null()));
    assert_eq!(told, [(Some(204), true), (Some(500), true), (Some(204), true)]);
    drop(listener);
    server.stop().await;
}

/// Waits until the clock has come to another millisecond, and gives it.
async fn next_millisecond() -> Timestamp {
    let clock = SystemClock::start();
    let millis = |at: Timestamp| at.as_micros() / 1000;
    let (before, mut now) = (clock.now(), clock.now());
    while millis(now) == millis(before) {
        tokio::task::yield_now().await;
        now = clock.now();
    }
    Timestamp::from_micros(millis(now) * 1000)
}

async fn it_begins_at_a_time_and_takes_what_is_asked_for(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let picked = server.experiment(draft("picked")).await;
    let since = next_millisecond().await.to_string();
    let other = server.experiment(draft("other")).await;
    rename(&server, picked, "second").await;
    server.delete(&format!("/experiments/{picked}")).await.expect(204);
    let only = ["--events", "experiment.configuration.updated", "--experiment"];
    let number = picked.to_string();
    let picking = [&only[..], &[&number, "--replay-since", &since]].concat();
    let mut late = Listener::of(&server, &receiver.url("/late"), &picking).await;
    let mut whole = Listener::of(&server, &receiver.url("/whole"), &["--replay-since", "1h"]).await;
    let outcome = late.outcome().await;
    assert_eq!((&outcome["data"]["experiment_id"], &outcome["revision"]), (&json!(picked), &json!(2)), "{outcome}");
    let mut came = Vec::new();
    for _ in 0..4 {
        let outcome = whole.outcome().await;
        came.push((outcome["data"]["experiment_id"].as_i64().unwrap(), outcome["revision"].as_i64().unwrap()));
    }
    assert_eq!(
        came.iter().filter(|(id, _)| *id == picked).map(|(_, revision)| *revision).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(came.contains(&(other, 1)));
    let log = server.eventually("/events", |page| items(page).len() == 4).await;
    let expected: Vec<_> = items(&log)
        .iter()
        .map(|item| (item["experiment_id"].as_i64().unwrap(), item["revision"].as_i64().unwrap()))
        .collect();
    assert_eq!(came, expected, "in the log's order");
    drop((late, whole));
    server.stop().await;
    assert_eq!(at(&receiver.received(), "/late").len(), 1);
}

async fn it_ends_with_its_key(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let made = server.post("/keys", json!({"name": "laptop", "role": "read"})).await.expect(201);
    let url = server.running().public_url().to_owned();
    let listener = Listener::start(&url, made["key"].as_str().unwrap(), &receiver.url("/"), &[]).await;
    let secret = listener.greeting.split_once("signing with ").unwrap().1.split(';').next().unwrap().to_owned();
    server.experiment(draft("k")).await;
    receiver.wait_for(1).await[0].verify(&secret);
    server.delete(&format!("/keys/{}", made["id"].as_str().unwrap())).await.expect(204);
    let (status, told) = listener.ended().await;
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(told.contains("401") && told.contains("was revoked") && told.contains("--key"), "{told}");
    server.stop().await;
}

on_both!(
    what_is_forwarded_is_what_an_endpoint_is_sent,
    it_goes_on_where_it_was_when_the_server_is_back,
    a_program_that_was_away_gets_everything_in_order,
    it_begins_at_a_time_and_takes_what_is_asked_for,
    it_ends_with_its_key,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_forwarded_is_said_at_once() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database).await;
    let (url, to) = (server.running().public_url().to_owned(), receiver.url("/"));
    let asked = ["--server", &url, "--forward-to", &to];
    let with = |more: &'static [&'static str]| [&asked[..], more].concat();
    for (key, arguments, said) in [
        ("bw_wrong", with(&[]), "401"),
        ("bw_\u{e4}\n", with(&[]), "--key has characters"),
        ("", with(&[]), "--key is missing"),
        (ADMIN_KEY, with(&["--experiment", "key:nobody"]), "404"),
        (ADMIN_KEY, with(&["--events", "experiment.flag.updated"]), "experiment.status.updated"),
        (ADMIN_KEY, with(&["--replay-since", "2999-01-01T00:00:00Z"]), "give a time in the past"),
        (ADMIN_KEY, with(&["--replay-since", "yesterday"]), "like 2h"),
        (ADMIN_KEY, with(&["--format", "slack"]), "eppo and detailed are allowed"),
        (ADMIN_KEY, with(&["--port", "8080"]), "cannot be used with"),
        (ADMIN_KEY, with(&["--ca-file", "/nowhere.pem"]), "/nowhere.pem"),
        (ADMIN_KEY, vec!["--server", &to, "--forward-to", &to], "204"),
        (ADMIN_KEY, vec!["--server", "http://127.0.0.1:1", "--forward-to", &to], "is it running"),
        (ADMIN_KEY, vec!["--server", &url, "--forward-to", "ftp://127.0.0.1"], "--forward-to: the scheme 'ftp'"),
        (ADMIN_KEY, vec!["--experiment", "1", "--secret", SECRET], "--forward-to"),
        (ADMIN_KEY, vec!["--json"], "--secret"),
    ] {
        let told = refused(key, &arguments).await;
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
    server.stop().await;
    assert_eq!(receiver.received().iter().filter(|request| request.method == "POST").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls_is_followed_by_its_authority() {
    let (database, receiver, authority) = (Database::sqlite(), Receiver::start().await, Authority::make());
    let plain = Server::start(&database).await;
    plain.experiment(draft("k")).await;
    plain.stop().await;
    let tls = Some(authority.client_files("localhost"));
    let server = Server::with(Config { tls, ..config(&database) }).await;
    let url = format!("https://localhost:{}", server.running().address().port());
    let (to, file) = (receiver.url("/"), authority.file());
    let told = refused(ADMIN_KEY, &["--server", &url, "--forward-to", &to]).await;
    assert!(told.contains("certificate"), "{told}");
    let more = ["--ca-file", file.to_str().unwrap(), "--replay-since", "1h"];
    let listener = Listener::start(&url, ADMIN_KEY, &to, &more).await;
    assert_eq!(receiver.wait_for(1).await[0].revision(), 1);
    drop(listener);
    server.stop().await;
}
