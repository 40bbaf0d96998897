//! Bodies that are not what they should be: malformed, of another type, too large, naming a field twice.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::json;

use super::refusals::{State, problem};
use crate::server::{ADMIN_KEY, Answer, Server, draft};

async fn send(server: &Server, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let mut headers = vec![("authorization", bearer.as_str())];
    if !content_type.is_empty() {
        headers.push(("content-type", content_type));
    }
    server.raw(method, path, &headers, body).await
}

async fn bodies_that_are_no_json_object_are_refused(database: Database) {
    let server = Server::start(&database).await;
    let id = server.experiment(draft("k")).await;
    let path = format!("/experiments/{id}");
    let before = State::of(&server).await;
    let malformed: [&[u8]; 13] = [
        b"{",
        b"[]",
        b"null",
        b"\"name\"",
        b"7",
        b"{\"name\":}",
        b"{'name':'x'}",
        b"{\"name\":\"x\"} {}",
        b"{\"name\":\"x\",\"name\":\"y\"}",
        b"{\"tags\":[{\"a\":1,\"a\":1}]}",
        b"{\"name\":NaN}",
        b"{\"name\":\"\xff\"}",
        b"{\"name\":\"\\ud800\"}",
    ];
    for body in malformed {
        let refused = problem(
            send(&server, Method::PATCH, &path, "application/json", body.to_vec()).await,
            400,
            "malformed-json",
        );
        let twice = String::from_utf8_lossy(body).matches("name").count() == 2;
        assert!(!twice || refused["detail"].as_str().unwrap().contains("'name' stands twice"), "{refused}");
        problem(
            send(&server, Method::POST, "/experiments", "application/json", body.to_vec()).await,
            400,
            "malformed-json",
        );
        problem(
            send(&server, Method::POST, "/endpoints", "application/json", body.to_vec()).await,
            400,
            "malformed-json",
        );
    }
    let deep = format!("{{\"tags\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    problem(send(&server, Method::PATCH, &path, "application/json", deep.into()).await, 400, "malformed-json");
    before.assert_kept(&server).await;
    server.stop().await;
}

async fn other_content_types_are_refused(database: Database) {
    let server = Server::start(&database).await;
    let before = State::of(&server).await;
    let body = || draft("k").to_string().into_bytes();
    for content_type in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/xml"]
    {
        let refused = send(&server, Method::POST, "/experiments", content_type, body()).await;
        problem(refused, 415, "content-type");
    }
    before.assert_kept(&server).await;
    for (i, content_type) in ["application/json; charset=utf-8", "application/merge-patch+json"].iter().enumerate() {
        let body = draft(&format!("k{i}")).to_string().into_bytes();
        send(&server, Method::POST, "/experiments", content_type, body).await.expect(201);
    }
    server.stop().await;
}

async fn a_body_that_is_too_large_is_refused(database: Database) {
    let server = Server::start(&database).await;
    let before = State::of(&server).await;
    let sized = |size: usize| {
        let rest = json!({"key": "k", "name": ""}).to_string().len();
        json!({"key": "k", "name": "x".repeat(size - rest)}).to_string().into_bytes()
    };
    let largest = 1024 * 1024;
    let refused = send(&server, Method::POST, "/experiments", "application/json", sized(largest + 1)).await;
    problem(refused, 413, "body-too-large");
    // One that just fits is read, and refused for what stands in it.
    let read = send(&server, Method::POST, "/experiments", "application/json", sized(largest)).await;
    problem(read, 422, "invalid");
    before.assert_kept(&server).await;
    server.stop().await;
}

on_both!(
    bodies_that_are_no_json_object_are_refused,
    other_content_types_are_refused,
    a_body_that_is_too_large_is_refused,
);
