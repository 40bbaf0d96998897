//! The connection to PostgreSQL breaks in the very end of a transaction: before the server has heard of it, or before its
//! answer is heard. What the API says, what is there, what is told, and that what follows works.

use bellwether::config::Config;
use bellwether_testkit::cluster;
use bellwether_testkit::cutter::{Cut, Cutter};
use bellwether_testkit::databases::Database;
use bellwether_testkit::receiver::{PATIENCE, Receiver};
use serde_json::json;

use super::telemetry::Page;
use super::{delivery, items, log, rename, subscribe_with};
use crate::server::{ADMIN_KEY, Answer, Server, config, draft};

async fn start() -> (Database, Cutter, Server) {
    let database = Database::postgres();
    let cutter = Cutter::before(cluster::socket_folder().to_owned()).await;
    let database_url = Some(cutter.url(database.name()));
    let server = Server::with(Config { database_url, ..config(&database) }).await;
    (database, cutter, server)
}

fn assert_unknown(answer: &Answer) {
    let problem = answer.expect(503);
    assert_eq!(problem["type"], "urn:bellwether:problem:outcome-unknown", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("read the resource"), "{problem}");
}

/// An edit, and then another: each that is there is told once, in order.
async fn an_edit_breaks(cut: Cut) {
    let (_database, cutter, server) = start().await;
    let receiver = Receiver::start().await;
    subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let id = server.experiment(draft("k")).await;
    receiver.wait_for(1).await;
    let path = format!("/experiments/{id}");
    cutter.cut_once("broken in the commit", cut);
    assert_unknown(&server.patch(&path, json!({"name": "broken in the commit"})).await);
    assert!(cutter.has_cut());
    let (name, revision) = if cut == Cut::Unheard { ("Draft", 1) } else { ("broken in the commit", 2) };
    let shown = server.get(&path).await;
    assert_eq!((&shown["name"], &shown["revision"]), (&json!(name), &json!(revision)), "{cut:?}");
    rename(&server, id, "afterwards").await;
    let last = revision + 1;
    assert_eq!(server.get(&path).await["revision"], last);
    let logged: Vec<i64> = log(&server, usize::try_from(last).unwrap()).await.iter().map(|event| event.1).collect();
    let expected: Vec<i64> = (1..=last).collect();
    assert_eq!(logged, expected, "each change is one event");
    let told = receiver.wait_until(|received| received.iter().any(|request| request.revision() == last)).await;
    assert_eq!(told.iter().map(|request| request.revision()).collect::<Vec<_>>(), expected, "told once, in order");
    server.stop().await;
    assert_eq!(receiver.received().len(), expected.len(), "nothing came after that");
}

/// Whoever was left in doubt asks once more, and learns that it is taken, or makes it.
async fn a_creation_breaks(cut: Cut) {
    let (_database, cutter, server) = start().await;
    cutter.cut_once("broken-key", cut);
    assert_unknown(&server.post("/experiments", draft("broken-key")).await);
    let again = server.post("/experiments", draft("broken-key")).await;
    assert_eq!(again.status, if cut == Cut::Unheard { 201 } else { 409 }, "{cut:?}: {again:?}");
    let listed = server.get("/experiments").await;
    assert_eq!(items(&listed).len(), 1, "{listed}");
    log(&server, 1).await;
    server.stop().await;
}

/// What came of an attempt is written once, and its webhook is not sent again.
async fn an_outcome_breaks(cut: Cut) {
    let (_database, cutter, server) = start().await;
    let receiver = Receiver::start().await;
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    cutter.cut_once("INSERT INTO attempts", cut);
    server.experiment(draft("k")).await;
    let delivered = delivery(&server, &endpoint, 1, "delivered").await;
    assert!(cutter.has_cut());
    assert_eq!(delivered["attempt_count"], 1, "{delivered}");
    let shown = server.get(&format!("/deliveries/{}", delivered["id"].as_str().unwrap())).await;
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown}");
    // It is written over and over by whoever does not see that it is there.
    let writing = async { while Page::of(&server, ADMIN_KEY).await.value("bellwether_outcomes_unrecorded") > 0.0 {} };
    tokio::time::timeout(PATIENCE, writing).await.expect("nothing is left to be recorded");
    server.stop().await;
    assert_eq!(receiver.received().len(), 1);
}

/// What was read is what it is, however its transaction ends.
async fn a_read_breaks(cut: Cut) {
    let (_database, cutter, server) = start().await;
    let id = server.experiment(draft("looked-for")).await;
    cutter.cut_once("looked-for", cut);
    assert_eq!(server.get("/experiments/key:looked-for").await["id"], id);
    assert!(cutter.has_cut(), "the end of the read was cut");
    assert_eq!(server.get("/experiments/key:looked-for").await["id"], id);
    rename(&server, id, "afterwards").await;
    server.stop().await;
}

/// Makes two tests of each case: one for each way to break.
macro_rules! cut_both_ways {
    ($($case:ident),+ $(,)?) => {$(
        mod $case {
            use bellwether_testkit::cutter::Cut;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn unheard() {
                super::$case(Cut::Unheard).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn unanswered() {
                super::$case(Cut::Unanswered).await;
            }
        }
    )+};
}

cut_both_ways!(an_edit_breaks, a_creation_breaks, an_outcome_breaks, a_read_breaks);
