//! The event log on PostgreSQL, where commits cross and several processes write: its cursor never skips.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_testkit::databases::Database;
use bellwether_testkit::receiver::PATIENCE;
use serde_json::Value;
use tokio::task::JoinSet;

use super::stream::Reader;
use super::{items, rename};
use crate::server::{ADMIN_KEY, Server, config, draft};

/// Another process on the same database, with the same secret key and a data folder of its own.
async fn second(database: &Database) -> Server {
    let folder = database.folder().join("second");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(database.folder().join("secret.key"), folder.join("secret.key")).unwrap();
    Server::with(bellwether::config::Config { data: folder, ..config(database) }).await
}

/// Pages on from the cursor that each page gives, without a pause, until it has `count` events.
async fn read_on(server: Arc<Server>, count: usize) -> Vec<Value> {
    let mut read = Vec::new();
    let mut after = "0".to_owned();
    let reading = tokio::time::timeout(PATIENCE, async {
        while read.len() < count {
            let page = server.get(&format!("/events?limit=20&after={after}")).await;
            after = page["next"].as_str().unwrap().to_owned();
            read.extend(items(&page).iter().cloned());
        }
    });
    if reading.await.is_err() {
        panic!("of {count} events {} came: the rest was skipped", read.len());
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cursor_never_skips_while_two_processes_write() {
    const WRITERS: usize = 12;
    const EDITS: i64 = 20;
    let database = Database::postgres();
    let first = Server::start(&database).await;
    let servers = [Arc::new(first), Arc::new(second(&database).await)];
    let count = WRITERS * (EDITS as usize + 1);
    let mut readers = JoinSet::new();
    for server in &servers {
        readers.spawn(read_on(server.clone(), count));
    }
    let mut streams = Vec::new();
    for server in &servers {
        streams.push(Reader::open(server, ADMIN_KEY, "?after=0", None).await.0);
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let servers = servers.clone();
        writers.spawn(async move {
            let id = servers[writer % 2].experiment(draft(&format!("k{writer}"))).await;
            for edit in 0..EDITS {
                rename(&servers[(writer + edit as usize) % 2], id, &format!("edit {edit}")).await;
            }
        });
    }
    writers.join_all().await;
    let mut read = readers.join_all().await;
    for stream in &mut streams {
        let mut streamed = Vec::new();
        for _ in 0..count {
            streamed.push(stream.event().await.data.unwrap());
        }
        read.push(streamed);
    }
    for events in &read {
        assert_eq!(events, &read[0], "all have read the same");
        let mut revisions: HashMap<i64, Vec<i64>> = HashMap::new();
        for event in events {
            let id = event["experiment_id"].as_i64().unwrap();
            revisions.entry(id).or_default().push(event["revision"].as_i64().unwrap());
        }
        assert_eq!(revisions.len(), WRITERS);
        let expected: Vec<_> = (1..=EDITS + 1).collect();
        assert!(revisions.values().all(|found| *found == expected), "{revisions:?}");
    }
    drop(streams);
    for server in servers {
        Arc::into_inner(server).expect("nobody else holds it").stop().await;
    }
}
