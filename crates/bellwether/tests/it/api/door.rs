//! The API's door: who says nothing keeps nobody out, and what is asked wrongly is told so in one way everywhere.

use std::time::Duration;

use bellwether::domain::clock::Clock;
use bellwether::platform::clock::SystemClock;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::items;
use super::refusals::{invalid, problem};
use crate::server::{ADMIN_KEY, Server, config, draft};

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.running().address()).await.unwrap()
}

/// The head of the answer to a request of raw bytes.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap_or(0);
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/// Three times as many half-open connections as there may be: each new one is heard, also one that was there before and has
/// asked meanwhile is.
async fn half_open_connections_keep_nobody_out(database: Database) {
    let bounded = bellwether::config::Config { max_connections: Some(20), ..config(&database) };
    let server = Server::with(bounded).await;
    let mut held = Vec::new();
    for _ in 0..60 {
        let mut stream = connect(&server).await;
        stream.write_all(b"GET /api/v1/experiments HTTP/1.1\r\nx: ").await.unwrap();
        held.push(stream);
        assert!(ask(&mut connect(&server).await, HEALTH).await.starts_with("HTTP/1.1 200"));
    }
    // Most were closed to make room for others.
    let mut closed = 0;
    for stream in &mut held {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut byte)).await;
        closed += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    assert!(closed >= 40, "{closed} were closed");
    let clock = SystemClock::start();
    server.stop().await;
    assert!(clock.monotonic() < Duration::from_secs(10), "nobody waits for them at the end");
}

/// Nobody is sent away to make room for others before their request is read.
async fn all_of_a_crowd_are_answered(database: Database) {
    let bounded = bellwether::config::Config { max_connections: Some(16), ..config(&database) };
    let server = Server::with(bounded).await;
    let one = async || ask(&mut connect(&server).await, HEALTH).await;
    let answers = futures_util::future::join_all((0..300).map(|_| one())).await;
    let answered = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200")).count();
    assert_eq!(answered, answers.len());
    server.stop().await;
}

/// Requests that are never finished, and streams, take their part of few connections, and no more.
async fn what_is_under_way_leaves_room_for_others(database: Database) {
    let bounded = bellwether::config::Config { max_connections: Some(16), ..config(&database) };
    let server = Server::with(bounded).await;
    let keys = [ADMIN_KEY.to_owned(), text_of_new_key(&server, "write").await, text_of_new_key(&server, "read").await];
    let mut held = Vec::new();
    for i in 0..40 {
        let key = &keys[i % keys.len()];
        for request in [
            format!(
                "POST /api/v1/entities HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{"
            ),
            format!("GET /api/v1/events/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"),
        ] {
            let mut stream = connect(&server).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            held.push(stream);
        }
        assert!(ask(&mut connect(&server).await, HEALTH).await.starts_with("HTTP/1.1 200"), "after {i}");
    }
    drop(held);
    server.stop().await;
}

async fn text_of_new_key(server: &Server, role: &str) -> String {
    let made = server.post("/keys", json!({"name": role, "role": role})).await.expect(201);
    made["key"].as_str().unwrap().to_owned()
}

/// Who names no version edits what is there, whoever else does so.
async fn edits_at_the_same_time_all_count(database: Database) {
    let server = Server::start(&database).await;
    let made = server.make("/schedules", json!({"name": "daily", "cron": "0 6 * * *"})).await;
    let path = format!("/schedules/{made}");
    let edit = |hour: u32| {
        let fields = if hour.is_multiple_of(2) {
            json!({"cron": format!("0 {hour} * * *")})
        } else {
            json!({"name": format!("daily {hour}")})
        };
        server.patch(&path, fields)
    };
    let answers = futures_util::future::join_all((0..24).map(edit)).await;
    for answer in answers {
        answer.expect(200);
    }
    let now = server.get(&path).await;
    assert!(now["name"].as_str().unwrap().len() > 5 && now["version"].as_i64().unwrap() > 20, "{now}");
    server.stop().await;
}

async fn a_wrong_query_is_told_what_was_given(database: Database) {
    let server = Server::start(&database).await;
    for (query, field, told) in [
        ("/experiments?limit=many", "limit", "'many' was given; a whole number that is not negative is expected"),
        ("/experiments?limit=99999999999", "limit", "'99999999999' was given; a smaller number is expected"),
        ("/experiments?limit=-1", "limit", "'-1' was given; a whole number"),
        ("/events?after=99999999999999999999", "after", "'99999999999999999999' was given"),
        ("/events/stream?after=garbage", "after", "'garbage' was given; what a page of the same list gave"),
        ("/deliveries?state=lost", "state", "'lost' was given"),
        ("/experiments?colour=red", "colour", "unknown field `colour` was given"),
    ] {
        let answer = server.call_as(ADMIN_KEY, Method::GET, query, Value::Null).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        invalid(answer, field);
        assert!(text.contains(told), "{query}: {text}");
    }
    // This log is not as long as that: its reader has a cursor of another, such as one from before a backup was restored.
    for path in ["/events?after=5000000000", "/events/stream?after=5000000000"] {
        let gone = server.call_as(ADMIN_KEY, Method::GET, path, Value::Null).await.expect(410);
        assert_eq!(gone["type"], "urn:bellwether:problem:cursor-gone");
        assert!(gone["detail"].as_str().unwrap().contains("its end is 0"), "{gone}");
    }
    server.stop().await;
}

/// No head, however long it grows, is kept in memory without end.
async fn a_head_without_end_is_refused(database: Database) {
    let server = Server::start(&database).await;
    let mut stream = connect(&server).await;
    let mut sent = 0;
    let line = format!("x-filler: {}\r\n", "y".repeat(1000));
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n").await;
    while sent < 4 * 1024 * 1024 && stream.write_all(line.as_bytes()).await.is_ok() {
        sent += line.len();
    }
    assert!(sent < 4 * 1024 * 1024, "{sent} bytes were taken");
    server.stop().await;
}

async fn scheme_and_media_type_count_in_any_case(database: Database) {
    let server = Server::start(&database).await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let key = format!("{scheme} {ADMIN_KEY}");
        let answer = server.raw(Method::GET, "/experiments", &[("authorization", &key)], "").await;
        assert_eq!(answer.status, 200, "{scheme}");
        let headers = [("authorization", key.as_str()), ("content-type", "Application/JSON; Charset=UTF-8")];
        let answer = server.raw(Method::POST, "/entities", &headers, json!({"name": scheme}).to_string()).await;
        assert_eq!(answer.status, 201, "{scheme}");
    }
    server.stop().await;
}

async fn a_wrong_cursor_is_refused_alike_on_every_list(database: Database) {
    let server = Server::start(&database).await;
    let id = server.experiment(draft("k")).await;
    let endpoint = server.make("/endpoints", json!({"url": "https://example.com/"})).await;
    let event =
        items(&server.eventually("/events", |page| items(page).len() == 1).await)[0]["id"].as_str().unwrap().to_owned();
    let lists = [
        "/experiments".to_owned(),
        format!("/experiments/{id}/history"),
        format!("/experiments/{id}/runs"),
        "/entities".to_owned(),
        "/warehouses".to_owned(),
        "/metrics".to_owned(),
        "/endpoints".to_owned(),
        format!("/endpoints/{endpoint}/history"),
        format!("/endpoints/{endpoint}/recoveries"),
        "/events".to_owned(),
        format!("/events/{event}/deliveries"),
        "/deliveries".to_owned(),
        "/deliveries?state=pending".to_owned(),
        "/keys".to_owned(),
    ];
    for list in lists {
        let join = if list.contains('?') { '&' } else { '?' };
        let get = |query: String| {
            let path = format!("{list}{join}{query}");
            let server = &server;
            async move { server.call_as(ADMIN_KEY, Method::GET, &path, Value::Null).await }
        };
        invalid(get("after=garbage".to_owned()).await, "after");
        assert_eq!(get("after=".to_owned()).await.status, 200, "{list}");
        invalid(get("limit=0".to_owned()).await, "limit");
        invalid(get("limit=many".to_owned()).await, "limit");
        invalid(get("colour=red".to_owned()).await, "colour");
    }
    server.stop().await;
}

async fn what_lies_below_nothing_is_not_there(database: Database) {
    let server = Server::start(&database).await;
    let unknown = "00000000000000000000000001";
    for path in [
        format!("/endpoints/ep_{unknown}/history"),
        format!("/endpoints/ep_{unknown}/recoveries"),
        format!("/events/evt_{unknown}/deliveries"),
        "/experiments/999/history".to_owned(),
        "/experiments/999/runs".to_owned(),
        "/experiments/999/metrics".to_owned(),
        "/experiments/999/results".to_owned(),
    ] {
        problem(server.call_as(ADMIN_KEY, Method::GET, &path, Value::Null).await, 404, "not-found");
    }
    server.stop().await;
}

/// However much was sent, little comes back of it, and no word of how the server is made.
async fn answers_are_short_and_in_plain_words(database: Database) {
    let server = Server::start(&database).await;
    for body in
        [json!({"name".repeat(200_000): 1}), json!({"name": "x".repeat(900_000)}), json!({"name": vec!["x"; 10_000]})]
    {
        let answer = server.call_as(ADMIN_KEY, Method::POST, "/entities", body).await;
        assert!(answer.status == 422 && answer.body.len() < 8 * 1024, "{} bytes", answer.body.len());
    }
    let cron = json!({"name": "s", "cron": "* ".repeat(400_000), "time_zone": "UTC"});
    invalid(server.post("/schedules", cron).await, "cron");
    for (resource, body, field) in [
        ("endpoints", json!({"url": "https://example.com/", "filter": "all"}), "filter"),
        ("endpoints", json!({"url": "https://example.com/", "events": "all"}), "events"),
        ("endpoints", json!({"url": 5}), "url"),
        ("endpoints", json!({"url": "https://example.com/", "max_in_flight": -1}), "max_in_flight"),
        ("experiments", json!({"key": "k", "variations": {}}), "variations"),
    ] {
        let answer = server.post(&format!("/{resource}"), body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        invalid(answer, field);
        for word in ["struct", "enum", "sequence", "map,", "u32", "usize", "Filter", "Vec"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
    let late =
        server.post("/experiments", json!({"key": "k", "name": "n", "assignments_start_date": "9999-12-31T23:59:59Z"}));
    let text = String::from_utf8_lossy(&late.await.body).into_owned();
    assert!(!text.contains("is not an RFC 3339"), "{text}");
    server.stop().await;
}

/// A reader with one key leaves streams for others.
async fn one_key_cannot_hold_all_streams(database: Database) {
    let server = Server::start(&database).await;
    let made = server.post("/keys", json!({"name": "reader", "role": "read"})).await.expect(201);
    let key = format!("Bearer {}", made["key"].as_str().unwrap());
    let mut open = Vec::new();
    loop {
        let answer = server.open("/events/stream", &[("authorization", &key)]).await;
        if answer.status() != 200 {
            assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "1"));
            break;
        }
        open.push(answer);
    }
    assert_eq!(open.len(), 64);
    let admin = format!("Bearer {ADMIN_KEY}");
    assert_eq!(server.open("/events/stream", &[("authorization", &admin)]).await.status(), 200);
    drop(open);
    server.stop().await;
}

on_both!(
    half_open_connections_keep_nobody_out,
    a_head_without_end_is_refused,
    scheme_and_media_type_count_in_any_case,
    a_wrong_cursor_is_refused_alike_on_every_list,
    what_lies_below_nothing_is_not_there,
    answers_are_short_and_in_plain_words,
    one_key_cannot_hold_all_streams,
    what_is_under_way_leaves_room_for_others,
    all_of_a_crowd_are_answered,
    edits_at_the_same_time_all_count,
    a_wrong_query_is_told_what_was_given,
);
