//! What webhooks are signed with while that changes, and headers of the user's own. No secret is shown twice.

use bellwether::domain::clock::Clock;
use bellwether::platform::clock::SystemClock;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Received, Receiver};
use bellwether_webhook::{Secret, Verifier, verify_body_signature};
use serde_json::{Value, json};

use super::refusals::{invalid, problem};
use super::{rename, subscribe_with};
use crate::server::{ADMIN_KEY, Server, draft};

fn fits(request: &Received, verifier: &Verifier) -> bool {
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    verifier.verify(header, &request.body, SystemClock::start().now().as_seconds()).is_ok()
}

/// Whether headers and body are by this secret.
fn signed_by(request: &Received, secret: &str) -> (bool, bool) {
    let secret = Secret::parse(secret).unwrap();
    (fits(request, &Verifier::new(&secret)), verify_body_signature(&request.body, &secret).is_ok())
}

fn signed_by_key(request: &Received, public_key: &Value) -> bool {
    fits(request, &Verifier::with_public_key(&public_key.as_str().expect("a key").parse().unwrap()))
}

/// One more event, as it is received.
async fn next(server: &Server, receiver: &Receiver, id: i64) -> Received {
    let count = receiver.received().len();
    rename(server, id, &format!("name {count}")).await;
    receiver.wait_for(count + 1).await.pop().unwrap()
}

async fn rotating_takes_two_steps_and_nothing_breaks(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let fields = json!({"url": receiver.url("/"), "asymmetric_signature": true});
    let (endpoint, old) = subscribe_with(&server, fields).await;
    let path = format!("/endpoints/{endpoint}");
    let id = server.experiment(draft("k")).await;
    let old_key = server.get(&path).await["public_key"].clone();
    let first = receiver.wait_for(1).await.remove(0);
    assert_eq!((signed_by(&first, &old), signed_by_key(&first, &old_key)), ((true, true), true));
    problem(server.post(&format!("{path}/promote"), Value::Null).await, 409, "state");

    let rotated = server.post(&format!("{path}/rotate"), Value::Null).await.expect(200);
    let new = rotated["secret"].as_str().unwrap().to_owned();
    let new_key = rotated["rotation"]["next_public_key"].clone();
    assert_eq!((&rotated["rotation"]["is"], &rotated["public_key"]), (&json!("open"), &old_key));
    assert!(rotated["rotation"]["warning"].is_string() && new != old && new_key != old_key, "{rotated}");
    let request = next(&server, &receiver, id).await;
    assert_eq!((signed_by(&request, &old), signed_by(&request, &new)), ((true, true), (true, false)));
    assert!(signed_by_key(&request, &old_key) && signed_by_key(&request, &new_key));
    problem(server.post(&format!("{path}/rotate"), Value::Null).await, 409, "state");

    let promoted = server.post(&format!("{path}/promote"), Value::Null).await.expect(200);
    assert_eq!((&promoted["rotation"]["is"], &promoted["public_key"]), (&json!("promoted"), &new_key));
    assert!(promoted["rotation"]["old_secret_signs_headers_until"].is_string(), "{promoted}");
    let request = next(&server, &receiver, id).await;
    assert_eq!((signed_by(&request, &old), signed_by(&request, &new)), ((true, false), (true, true)));

    let replaced = json!({"immediate": true, "secret": "a leaked one's successor"});
    let replaced = server.post(&format!("{path}/rotate"), replaced).await.expect(200);
    assert_eq!((&replaced["secret"], &replaced["rotation"]), (&json!("a leaked one's successor"), &Value::Null));
    let request = next(&server, &receiver, id).await;
    assert_eq!((signed_by(&request, &old), signed_by(&request, &new)), ((false, false), (false, false)));
    assert_eq!(signed_by(&request, "a leaked one's successor"), (true, true));
    assert!(!signed_by_key(&request, &new_key) && signed_by_key(&request, &replaced["public_key"]));

    for path in ["/endpoints", &path, &format!("{path}/history")] {
        let shown = server.get(path).await.to_string();
        assert!(![&old, &new, "successor"].iter().any(|secret| shown.contains(*secret)), "{path} tells a secret");
    }
    server.stop().await;
}

async fn headers_of_the_users_own_are_sent_and_hidden(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let headers = json!({"X-Token": "t0psecr3t", "authorization": "Bearer t0psecr3t"});
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "headers": headers})).await;
    let path = format!("/endpoints/{endpoint}");
    let id = server.experiment(draft("k")).await;
    let request = receiver.wait_for(1).await.remove(0);
    assert_eq!((request.header("x-token"), request.header("authorization")), ("t0psecr3t", "Bearer t0psecr3t"));
    let shown = server.get(&path).await;
    assert_eq!(shown["headers"], json!({"X-Token": "[hidden]", "authorization": "[hidden]"}));
    let edit = json!({"headers": {"X-Token": "[hidden]", "X-More": "1"}});
    server.patch(&path, edit).await.expect(200);
    let request = next(&server, &receiver, id).await;
    assert_eq!((request.header("x-token"), request.header("x-more")), ("t0psecr3t", "1"));
    assert!(!request.headers.contains_key("authorization"));
    for path in ["/endpoints".to_owned(), path.clone(), format!("{path}/history")] {
        let answer = server.call_as(ADMIN_KEY, http::Method::GET, &path, Value::Null).await.expect(200);
        assert!(!answer.to_string().contains("t0psecr3t"), "{path} tells a token");
    }
    server.stop().await;
}

/// A header is the same in any case, so what was hidden is kept under any spelling; what is not stored cannot be.
async fn a_hidden_header_is_kept_under_any_spelling_or_refused(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let hidden = |name: &str| json!({"headers": {name: "[hidden]"}});
    let new = json!({"url": receiver.url("/"), "headers": {"x-none": "[hidden]"}});
    invalid(server.post("/endpoints", new).await, "headers.x-none");
    let headers = json!({"X-Token": "t0psecr3t"});
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "headers": headers})).await;
    let path = format!("/endpoints/{endpoint}");
    let id = server.experiment(draft("k")).await;
    receiver.wait_for(1).await;
    let before = server.get(&path).await;
    invalid(server.patch(&path, hidden("X-Other")).await, "headers.X-Other");
    let both = json!({"headers": {"X-Token": "[hidden]", "x-token": "[hidden]"}});
    invalid(server.patch(&path, both).await, "headers.x-token");
    assert_eq!(server.get(&path).await["version"], before["version"], "what is refused changes nothing");
    let after = server.patch(&path, hidden("x-tOKEN")).await.expect(200);
    assert_eq!(after["headers"], json!({"x-tOKEN": "[hidden]"}));
    assert_eq!(next(&server, &receiver, id).await.header("x-token"), "t0psecr3t");
    server.stop().await;
}

on_both!(
    rotating_takes_two_steps_and_nothing_breaks,
    headers_of_the_users_own_are_sent_and_hidden,
    a_hidden_header_is_kept_under_any_spelling_or_refused,
);
