//! A request sent again under its key happens once, whatever came between.

use bellwether::store::Tx;
use bellwether_bench::receiver::{Options, Receiver};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::{Value, json};

use super::items;
use crate::server::{ADMIN_KEY, Answer, Server, draft};

async fn send(server: &Server, key: &str, method: Method, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
    server.raw(method, path, &headers, body.to_string()).await
}

async fn what_is_sent_again_is_answered_again_and_happens_once(database: Database) {
    let server = Server::start(&database).await;
    let first = send(&server, "a", Method::POST, "/experiments", &draft("k")).await;
    let made = first.expect(201);
    server.patch(&format!("/experiments/{}", made["id"]), json!({"name": "Another"})).await.expect(200);
    let again = send(&server, "a", Method::POST, "/experiments", &draft("k")).await;
    assert_eq!((again.expect(201), again.header("idempotency-replayed")), (made.clone(), "true"));
    for header in ["etag", "location", "content-type"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
    }
    assert_eq!(items(&server.get("/experiments").await).len(), 1);
    // Secrets that are shown once are shown to whoever has not seen them.
    let endpoint = json!({"url": "http://127.0.0.1:1/"});
    let shown = send(&server, "b", Method::POST, "/endpoints", &endpoint).await.expect(201);
    assert_eq!(send(&server, "b", Method::POST, "/endpoints", &endpoint).await.expect(201), shown);
    assert_eq!(items(&server.get("/endpoints").await).len(), 1);
    let path = format!("/experiments/{}", made["id"]);
    for _ in 0..2 {
        send(&server, "c", Method::DELETE, &path, &Value::Null).await.expect(204);
    }
    server.stop().await;
    // Another process knows it too.
    let server = Server::start(&database).await;
    assert_eq!(send(&server, "a", Method::POST, "/experiments", &draft("k")).await.expect(201), made);
    server.stop().await;
}

async fn another_request_under_a_key_is_refused(database: Database) {
    let server = Server::start(&database).await;
    send(&server, "a", Method::POST, "/entities", &json!({"name": "user"})).await.expect(201);
    for (path, body) in [("/entities", json!({"name": "device"})), ("/teams", json!({"name": "user"}))] {
        let refused = send(&server, "a", Method::POST, path, &body).await.expect(422);
        assert_eq!(refused["type"], "urn:bellwether:problem:idempotency-key-reused");
    }
    let other = server.post("/keys", json!({"name": "ci", "role": "write"})).await.expect(201);
    let bearer = format!("Bearer {}", other["key"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "a")];
    let made = server.raw(Method::POST, "/entities", &headers, json!({"name": "device"}).to_string()).await;
    made.expect(201);
    for wrong in ["", &"x".repeat(256)] {
        let refused = send(&server, wrong, Method::POST, "/entities", &json!({"name": "x"})).await.expect(422);
        assert_eq!(refused["errors"][0]["field"], "Idempotency-Key");
    }
    server.stop().await;
}

async fn what_was_refused_leaves_its_key_free(database: Database) {
    let server = Server::start(&database).await;
    send(&server, "a", Method::POST, "/entities", &json!({"name": ""})).await.expect(422);
    send(&server, "a", Method::POST, "/entities", &json!({"name": "user"})).await.expect(201);
    send(&server, "b", Method::POST, "/entities", &json!({"name": "user"})).await.expect(409);
    send(&server, "b", Method::POST, "/entities", &json!({"name": "device"})).await.expect(201);
    server.stop().await;
}

async fn of_many_at_once_one_is_carried_out(database: Database) {
    let server = Server::start(&database).await;
    let body = draft("k");
    let all =
        futures_util::future::join_all((0..8).map(|_| send(&server, "a", Method::POST, "/experiments", &body))).await;
    let made = all[0].expect(201);
    for answer in &all {
        assert_eq!(answer.expect(201), made);
    }
    assert_eq!(items(&server.get("/experiments").await).len(), 1);
    let replayed = all.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count();
    assert_eq!(replayed, all.len() - 1);
    server.stop().await;
}

/// What is done before anything is written happens once, too.
async fn of_many_tests_at_once_one_is_sent(database: Database) {
    let server = Server::start(&database).await;
    let receiver = Receiver::start(&Options::default()).unwrap();
    let endpoint = server.post("/endpoints", json!({"url": receiver.url()})).await.expect(201);
    let path = format!("/endpoints/{}/test", endpoint["id"].as_str().unwrap());
    let nothing = json!({});
    let all = (0..8).map(|_| send(&server, "a", Method::POST, &path, &nothing));
    let all = futures_util::future::join_all(all).await;
    for answer in &all {
        assert_eq!(answer.expect(200), all[0].expect(200));
    }
    assert_eq!(*receiver.count().borrow(), 1);
    server.stop().await;
}

/// A crash between the change and its answer is told, and nothing happens twice.
async fn a_lost_answer_is_told(database: Database) {
    let server = Server::start(&database).await;
    send(&server, "a", Method::POST, "/entities", &json!({"name": "user"})).await.expect(201);
    let db = database.open().await;
    let forget = |tx: &mut dyn Tx| tx.execute("UPDATE idempotency_keys SET answer = NULL", &[]);
    assert_eq!(crate::store::write(&db, forget).await.unwrap(), 1);
    let refused = send(&server, "a", Method::POST, "/entities", &json!({"name": "user"})).await.expect(409);
    assert_eq!(refused["type"], "urn:bellwether:problem:answer-unknown");
    assert_eq!(items(&server.get("/entities").await).len(), 1);
    server.stop().await;
}

on_both!(
    a_lost_answer_is_told,
    what_is_sent_again_is_answered_again_and_happens_once,
    another_request_under_a_key_is_refused,
    what_was_refused_leaves_its_key_free,
    of_many_at_once_one_is_carried_out,
    of_many_tests_at_once_one_is_sent,
);
