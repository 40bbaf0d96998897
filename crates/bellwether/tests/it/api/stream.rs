//! The event log as server-sent events: what comes, from where on, and when it ends.

use std::sync::Arc;
use std::time::Duration;

use bellwether::domain::id;
use bellwether::store::{StoreError, Tx, event_log, events, experiments, retention};
use bellwether_testkit::clocks::JumpingClock;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::PATIENCE;
use bellwether_webhook::EventType;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::refusals::{invalid, problem};
use super::retention::live_two_hours;
use super::{items, rename};
use crate::server::{ADMIN_KEY, Answer, Server, draft};
use crate::store::event_of;

/// What stands between two blank lines.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Message {
    pub id: Option<i64>,
    pub event: Option<String>,
    pub data: Option<Value>,
    pub comment: Option<String>,
}

impl Message {
    fn parse(text: &str) -> Self {
        let mut message = Self::default();
        for line in text.lines() {
            match line.split_once(": ").expect("a field and its value") {
                ("", comment) => message.comment = Some(comment.to_owned()),
                ("id", id) => message.id = Some(id.parse().expect("a cursor")),
                ("event", event) => message.event = Some(event.to_owned()),
                ("data", data) => message.data = Some(serde_json::from_str(data).expect("JSON")),
                other => panic!("an unknown field: {other:?}"),
            }
        }
        message
    }
}

/// A reader of the stream.
pub struct Reader {
    body: Incoming,
    text: String,
}

impl Reader {
    /// Opens it as the holder of `key`, with more headers; its first message says where it begins.
    pub async fn open(server: &Server, key: &str, query: &str, last_event_id: Option<i64>) -> (Self, i64) {
        let mut reader = Self::try_open(server, key, query, last_event_id).await.expect("a stream");
        let greeting = reader.next().await.expect("a greeting");
        assert_eq!((greeting.comment.as_deref(), &greeting.data), (Some("heartbeat"), &None));
        (reader, greeting.id.expect("where the stream begins"))
    }

    async fn try_open(server: &Server, key: &str, query: &str, last_event_id: Option<i64>) -> Result<Self, Answer> {
        let (bearer, last) = (format!("Bearer {key}"), last_event_id.map(|id| id.to_string()));
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(last.as_deref().map(|id| ("last-event-id", id)));
        let (parts, body) = server.open(&format!("/events/stream{query}"), &headers).await.into_parts();
        if parts.status != 200 {
            let body = body.collect().await.expect("a whole answer").to_bytes();
            return Err(Answer { status: parts.status.as_u16(), headers: parts.headers, body });
        }
        assert_eq!(parts.headers["content-type"], "text/event-stream");
        Ok(Self { body, text: String::new() })
    }

    /// The next message; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Message> {
        let reading = async {
            loop {
                if let Some((message, rest)) = self.text.split_once("\n\n") {
                    let message = Message::parse(message);
                    self.text = rest.to_owned();
                    return Some(message);
                }
                let frame = self.body.frame().await?.expect("the stream is not broken");
                self.text += std::str::from_utf8(frame.data_ref().expect("data")).expect("text");
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("something comes in time")
    }

    /// The next message that is an event.
    pub async fn event(&mut self) -> Message {
        loop {
            let message = self.next().await.expect("the stream goes on");
            if message.event.is_some() {
                return message;
            }
        }
    }
}

async fn events_come_as_they_happen(database: Database) {
    let server = Server::start(&database).await;
    let before = server.experiment(draft("before")).await;
    let page = server.eventually("/events", |page| items(page).len() == 1).await;
    let (mut all, begin) = Reader::open(&server, ADMIN_KEY, "", None).await;
    assert_eq!(begin.to_string(), items(&page)[0]["cursor"], "it begins at the end of the log");
    let query = "?types=experiment.configuration.updated&experiment=key:before&format=detailed";
    let (mut picked, _) = Reader::open(&server, ADMIN_KEY, query, None).await;
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "b").await;
    rename(&server, before, "c").await;
    let log = server.eventually("/events", |page| items(page).len() == 4).await;
    for item in &items(&log)[1..] {
        let message = all.event().await;
        assert_eq!(message.id.unwrap().to_string(), item["cursor"].as_str().unwrap());
        assert_eq!((message.event.as_deref(), message.data.as_ref()), (item["event"].as_str(), Some(item)));
    }
    let message = picked.event().await.data.unwrap();
    assert_eq!((&message["experiment_id"], &message["revision"]), (&json!(before), &json!(2)));
    assert_eq!(message["data"]["changes"][0]["field"], "name", "{message}");
    // The position goes on where nothing was for the reader, so that it stays in the log.
    let (mut after, begin) = Reader::open(&server, ADMIN_KEY, "?after=0&experiment=999999", None).await;
    assert_eq!(begin, 0);
    let last = items(&log)[3]["cursor"].as_str().unwrap().parse().unwrap();
    assert_eq!(after.next().await.unwrap().id, Some(last), "after a quarter of a minute");
    drop((all, picked, after));
    server.stop().await;
}

/// A time is a place in the log, also where numbers were given in another order than that of time.
async fn it_begins_at_a_time(database: Database) {
    let clock = Arc::new(JumpingClock::start());
    let server = Server::by(crate::server::config(&database), clock.clone()).await;
    let began = server.running().registry().clock().now();
    let after = move |minutes: u64| began.plus(Duration::from_secs(60 * minutes));
    let id = server.experiment(draft("k")).await;
    let log = server.eventually("/events", |page| items(page).len() == 1).await;
    let first: i64 = items(&log)[0]["cursor"].as_str().unwrap().parse().unwrap();
    clock.jump(600 * 60 * 1_000_000);
    let insert = move |tx: &mut dyn Tx| {
        let experiment = experiments::get(tx, id)?.expect("it is there");
        for (revision, minutes) in [(2, 180), (3, 120), (4, 240)] {
            let event_id = id::at(after(minutes), 7);
            let event = event_of(&experiment, event_id, EventType::ConfigurationUpdated, revision);
            events::inserting(&event).execute(tx)?;
        }
        if !tx.dialect().numbers_events_in_transaction() {
            event_log::number_committed(tx, 9)?;
        }
        Ok(())
    };
    server.running().registry().db().write::<_, StoreError, _>(insert).await.unwrap();
    for (minutes, place) in
        [(0, first - 1), (60, first), (150, first), (180, first), (200, first + 2), (300, first + 3)]
    {
        let (_, begin) = Reader::open(&server, ADMIN_KEY, &format!("?since={}", after(minutes)), None).await;
        assert_eq!(begin, place, "since {minutes} minutes after the first");
    }
    let (_, begin) = Reader::open(&server, ADMIN_KEY, &format!("?after=0&since={}", after(300)), None).await;
    assert_eq!(begin, 0, "a cursor wins");
    server.stop().await;
}

/// While writers write, a reader comes and goes; it ends up with every event once, in the log's order.
async fn a_reader_that_comes_back_misses_nothing(database: Database) {
    const WRITERS: usize = 4;
    const EDITS: usize = 15;
    let server = Arc::new(Server::start(&database).await);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let server = server.clone();
        writers.spawn(async move {
            let id = server.experiment(draft(&format!("k{writer}"))).await;
            for edit in 0..EDITS {
                rename(&server, id, &format!("edit {edit}")).await;
            }
        });
    }
    let total = WRITERS * (EDITS + 1);
    let (mut read, mut last) = (Vec::new(), None);
    while read.len() < total {
        let query = if last.is_none() { "?after=0" } else { "?after=1" };
        let (mut reader, begin) = Reader::open(&server, ADMIN_KEY, query, last).await;
        assert_eq!(begin, last.unwrap_or(0), "the header wins over the query");
        for _ in 0..7.min(total - read.len()) {
            let message = reader.event().await;
            last = message.id;
            read.push(message.data.unwrap());
        }
    }
    writers.join_all().await;
    let log = server.eventually("/events?limit=250", |page| items(page).len() == total).await;
    assert_eq!(&read, items(&log));
    Arc::into_inner(server).expect("nobody else holds it").stop().await;
}

async fn it_ends_with_its_key_and_with_the_process(database: Database) {
    use bellwether::domain::clock::Clock;
    use bellwether::platform::clock::SystemClock;
    let server = Server::start(&database).await;
    let made = server.post("/keys", json!({"name": "reader", "role": "read"})).await.expect(201);
    let expires_at = SystemClock::start().now().plus(Duration::from_secs(2)).to_string();
    let short = json!({"name": "short", "role": "read", "expires_at": expires_at});
    let short = server.post("/keys", short).await.expect(201);
    let (mut revoked, _) = Reader::open(&server, made["key"].as_str().unwrap(), "", None).await;
    let (mut expired, _) = Reader::open(&server, short["key"].as_str().unwrap(), "", None).await;
    let (mut stopped, _) = Reader::open(&server, ADMIN_KEY, "", None).await;
    server.delete(&format!("/keys/{}", made["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(revoked.next().await, None);
    assert_eq!(expired.next().await, None);
    server.stop().await;
    while let Some(message) = stopped.next().await {
        assert_eq!(message.event, None, "only heartbeats came");
    }
}

async fn what_cannot_be_followed_is_refused(database: Database) {
    let server = Server::start(&database).await;
    let open = async |query: &str| Reader::try_open(&server, ADMIN_KEY, query, None).await.err().expect("a refusal");
    invalid(open("?after=-1").await, "after");
    invalid(open("?types=experiment.flag.updated").await, "types");
    invalid(open("?since=2999-01-01T00:00:00Z").await, "since");
    invalid(open("?since=yesterday").await, "since");
    for query in ["?after=x", "?limit=5", "?format=xml", "?colour=red"] {
        problem(open(query).await, 422, "invalid");
    }
    problem(open("?experiment=key:nobody").await, 404, "not-found");
    let negative = Reader::try_open(&server, ADMIN_KEY, "", Some(-5)).await.err().expect("a refusal");
    invalid(negative, "Last-Event-ID");
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", bearer.as_str()), ("last-event-id", "evt_x")];
    invalid(server.raw(http::Method::GET, "/events/stream", &headers, "").await, "Last-Event-ID");
    problem(Reader::try_open(&server, "bw_x", "", None).await.err().expect("a refusal"), 401, "unauthorized");
    server.stop().await;
}

async fn a_cursor_past_retention_is_gone(database: Database) {
    let clock = std::sync::Arc::new(JumpingClock::start());
    let server = Server::by(crate::server::config(&database), clock.clone()).await;
    let id = server.experiment(draft("k")).await;
    for name in ["b", "c", "d"] {
        rename(&server, id, name).await;
    }
    let log = server.eventually("/events", |page| items(page).len() == 4).await;
    let cursor = |at: usize| items(&log)[at]["cursor"].as_str().unwrap().parse::<i64>().unwrap();
    let registry = server.running().registry();
    live_two_hours(registry, &clock).await;
    registry.prune(Duration::from_hours(1)).await.unwrap();
    let refused = Reader::try_open(&server, ADMIN_KEY, "", Some(cursor(1))).await.err().expect("a refusal");
    let refused = problem(refused, 410, "cursor-gone");
    assert!(refused["detail"].as_str().unwrap().contains(&cursor(3).to_string()), "{refused}");
    let (_, begin) = Reader::open(&server, ADMIN_KEY, "?since=2020-01-01T00:00:00Z", None).await;
    assert_eq!(begin, cursor(3), "what has happened since is gone");
    let (mut reader, begin) = Reader::open(&server, ADMIN_KEY, "", None).await;
    assert_eq!(begin, cursor(3), "the end of an empty log is where it ended");
    rename(&server, id, "e").await;
    assert_eq!(reader.event().await.id, Some(cursor(3) + 1));
    drop(reader);
    server.stop().await;
}

/// Retention passes a reader who was not told of what has come: the reader learns that something was lost, and where to
/// begin anew.
async fn a_reader_whom_retention_passes_is_told_and_ended(database: Database) {
    let server = Server::start(&database).await;
    let id = server.experiment(draft("k")).await;
    server.eventually("/events", |page| items(page).len() == 1).await;
    let (mut reader, begin) = Reader::open(&server, ADMIN_KEY, "", None).await;
    let registry = server.running().registry();
    let cutoff = registry.clock().now().plus(Duration::from_secs(60));
    // Two more events come and go in one transaction, of which no reader is told.
    let pass = move |tx: &mut dyn Tx| {
        let experiment = experiments::get(tx, id)?.expect("it is there");
        for number in [2_u32, 3] {
            let event = event_of(&experiment, number.into(), EventType::ConfigurationUpdated, number.into());
            events::inserting(&event).execute(tx)?;
        }
        if !tx.dialect().numbers_events_in_transaction() {
            event_log::number_committed(tx, 9)?;
        }
        assert_eq!(retention::prune_events(tx, 0, cutoff, 9)?.0, 3);
        event_log::pruned_to(tx)
    };
    let oldest = registry.db().write::<_, StoreError, _>(pass).await.unwrap();
    assert_eq!(oldest, begin + 2);
    server.experiment(draft("another")).await;

    let message = reader.event().await;
    assert_eq!((message.event.as_deref(), message.id), (Some("cursor-gone"), None), "{message:?}");
    let problem = message.data.expect("a problem");
    assert_eq!((&problem["type"], &problem["status"]), (&json!("urn:bellwether:problem:cursor-gone"), &json!(410)));
    assert!(problem["detail"].as_str().unwrap().contains(&oldest.to_string()), "{problem}");
    assert_eq!(reader.next().await, None, "nothing comes behind a gap");
    let (mut anew, _) = Reader::open(&server, ADMIN_KEY, &format!("?after={oldest}"), None).await;
    assert_eq!(anew.event().await.id, Some(oldest + 1));
    drop((reader, anew));
    server.stop().await;
}

async fn there_are_only_so_many_at_once(database: Database) {
    let server = Server::start(&database).await;
    let mut open = Vec::new();
    for reader in 0..4 {
        let made = server.post("/keys", json!({"name": format!("reader {reader}"), "role": "read"})).await.expect(201);
        for _ in 0..64 {
            open.push(Reader::open(&server, made["key"].as_str().unwrap(), "", None).await.0);
        }
    }
    let refused = Reader::try_open(&server, ADMIN_KEY, "", None).await.err().expect("a refusal");
    problem(refused, 503, "too-many-streams");
    drop(open);
    server.stop().await;
}

on_both!(
    events_come_as_they_happen,
    it_begins_at_a_time,
    a_reader_that_comes_back_misses_nothing,
    it_ends_with_its_key_and_with_the_process,
    what_cannot_be_followed_is_refused,
    a_cursor_past_retention_is_gone,
    a_reader_whom_retention_passes_is_told_and_ended,
    there_are_only_so_many_at_once,
);
