//! PostgreSQL is lost in the very commit of a change: nobody knows whether it was made, and the answer says so; reading
//! tells. Nothing is written twice, and what follows works.

use bellwether::config::Config;
use bellwether_testkit::cluster;
use bellwether_testkit::databases::Database;
use bellwether_testkit::scissors::{Cut, Scissors};
use http::Method;
use serde_json::{Value, json};

use super::items;
use super::refusals::problem;
use crate::server::{ADMIN_KEY, Server, config, draft};

async fn behind_scissors() -> (Server, Scissors, Database) {
    let database = tokio::task::block_in_place(Database::postgres);
    let scissors = Scissors::before(cluster::socket_folder().to_owned()).await;
    let name = database.url().unwrap().rsplit('/').next().unwrap();
    let url = format!("postgres://postgres@{}/{name}?sslmode=disable", scissors.address());
    let server = Server::with(Config { database_url: Some(url), ..config(&database) }).await;
    (server, scissors, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_commit_is_lost_is_made_once_or_not_at_all() {
    let (server, scissors, _database) = behind_scissors().await;
    let id = server.experiment(draft("k")).await;
    let path = format!("/experiments/{id}");
    let mut revision = 1;
    for (cut, is_made) in [(Cut::BeforeEnd, false), (Cut::AfterEnd, true)] {
        let owner = format!("marker-{cut:?}");
        scissors.cut(&owner, cut);
        let answer = server.patch(&path, json!({"owner": owner})).await;
        problem(answer, 503, "outcome-unknown");
        assert!(scissors.has_cut());
        let shown = server.get(&path).await;
        revision += i64::from(is_made);
        assert_eq!((shown["owner"] == json!(owner), &shown["revision"]), (is_made, &json!(revision)), "{cut:?}");

        // What follows works, and builds on what is there.
        let edited = server.patch(&path, json!({"owner": format!("after {cut:?}")})).await.expect(200);
        revision += 1;
        assert_eq!(edited["revision"], revision);
    }
    let log = server.eventually("/events", |page| items(page).len() == usize::try_from(revision).unwrap()).await;
    let revisions: Vec<_> = items(&log).iter().map(|event| event["revision"].as_i64().unwrap()).collect();
    assert_eq!(revisions, (1..=revision).collect::<Vec<_>>(), "each has its event, once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_whose_end_is_lost_is_answered() {
    let (server, scissors, _database) = behind_scissors().await;
    server.experiment(draft("marker-of-a-read")).await;
    for cut in [Cut::BeforeEnd, Cut::AfterEnd] {
        scissors.cut("marker-of-a-read", cut);
        let answer = server.call_as(ADMIN_KEY, Method::GET, "/experiments/key:marker-of-a-read", Value::Null).await;
        assert!(scissors.has_cut(), "the read was not cut");
        // What was read is what it is, however its transaction ended.
        assert_eq!(answer.expect(200)["key"], "marker-of-a-read");
    }
    server.stop().await;
}
