//! Keys: what each role may do on each route, and when a key no longer counts.

use std::time::Duration;

use bellwether::domain::clock::Clock;
use bellwether::platform::clock::SystemClock;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::{Value, json};

use super::documented::{ROLES, Route, routes};
use super::items;
use super::telemetry::Page;
use crate::server::{ADMIN_KEY, Server};

/// A key of this role: its id and its text.
async fn issue(server: &Server, role: &str) -> (String, String) {
    let made = server.post("/keys", json!({"name": format!("a {role} key"), "role": role})).await.expect(201);
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

async fn each_role_may_do_what_it_may_on_every_route(database: Database) {
    let server = Server::start(&database).await;
    for (rank, role) in ROLES.into_iter().enumerate() {
        let (_, key) = issue(&server, role).await;
        for Route { method, path, role: least } in routes() {
            let needed = ROLES.iter().position(|role| *role == least).unwrap();
            let answer = server.call_as(&key, method.clone(), &path, Value::Null).await;
            if rank < needed {
                let problem = answer.expect(403);
                assert_eq!(problem["type"], "urn:bellwether:problem:forbidden", "{method} {path} as {role}");
                assert!(problem["detail"].as_str().unwrap().contains(least), "{problem}");
            } else {
                assert!(![401, 403, 405, 500].contains(&answer.status), "{method} {path} as {role}: {answer:?}");
            }
        }
    }
    server.stop().await;
}

async fn without_a_key_in_force_nothing_is_answered(database: Database) {
    let server = Server::start(&database).await;
    let (_, key) = issue(&server, "admin").await;
    let mut altered = key.clone();
    altered.replace_range(key.len() - 1.., if key.ends_with('0') { "1" } else { "0" });
    let known = format!("Bearer {key}");
    let wrong = [
        String::new(),
        "Bearer".into(),
        "Bearer x".into(),
        format!("Basic {key}"),
        format!("Bearer {altered}"),
        format!("bearer{key}"),
        format!("Bearer {}", key.replace("bw_", "bw_0")),
    ];
    for given in wrong {
        for Route { method, path, .. } in routes() {
            let answer = server.raw(method, &path, &[("authorization", &given)], "").await;
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{given:?} on {path}");
            assert_eq!(answer.expect(401)["type"], "urn:bellwether:problem:unauthorized");
        }
    }
    assert_eq!(server.raw(Method::GET, "/experiments", &[("authorization", &known)], "").await.status, 200);
    assert_eq!(server.raw(Method::GET, "//healthz", &[], "").await.expect(200)["status"], "ok");
    server.stop().await;
}

async fn a_revoked_or_expired_key_is_refused_at_once(database: Database) {
    let server = Server::start(&database).await;
    let (id, key) = issue(&server, "read").await;
    server.call_as(&key, Method::GET, "/experiments", Value::Null).await.expect(200);
    let path = format!("/keys/{id}");
    server.delete(&path).await.expect(204);
    server.call_as(&key, Method::GET, "/experiments", Value::Null).await.expect(401);
    server.delete(&path).await.expect(404);

    let request = |expiry: &str| json!({"name": "short", "role": "read", "expires_at": expiry});
    let past = server.post("/keys", request("2020-01-01T00:00:00Z")).await.expect(422);
    assert_eq!(past["errors"][0]["field"], "expires_at");
    use bellwether::domain::clock::Clock;
    use bellwether::platform::clock::SystemClock;
    let soon = SystemClock::start().now().plus(std::time::Duration::from_millis(700));
    let made = server.post("/keys", request(&soon.to_string())).await.expect(201);
    let key = made["key"].as_str().unwrap();
    server.call_as(key, Method::GET, "/experiments", Value::Null).await.expect(200);
    // Asked until it is refused; after its time it must be, and before it must not.
    loop {
        let before = SystemClock::start().now();
        let answer = server.call_as(key, Method::GET, "/experiments", Value::Null).await;
        let after = SystemClock::start().now();
        match answer.status {
            200 => assert!(before < soon, "it is in force after its expiry"),
            401 => break assert!(after >= soon, "it is refused before its expiry"),
            other => panic!("{other}"),
        }
    }
    server.stop().await;
}

async fn the_last_admin_key_stays(database: Database) {
    let server = Server::start(&database).await;
    let listed = server.get("/keys").await;
    let first = items(&listed)[0].clone();
    assert_eq!((items(&listed).len(), &first["role"], &first["name"]), (1, &json!("admin"), &json!("first admin")));
    assert!(first.get("key").is_none() && first.get("hash").is_none(), "{first}");
    let path = format!("/keys/{}", first["id"].as_str().unwrap());
    let problem = server.delete(&path).await.expect(409);
    assert!(problem["detail"].as_str().unwrap().contains("last admin key"), "{problem}");
    assert_eq!(server.call_as(ADMIN_KEY, Method::GET, "/keys", Value::Null).await.status, 200, "nothing was changed");
    let (_, second) = issue(&server, "admin").await;
    server.call_as(&second, Method::DELETE, &path, Value::Null).await.expect(204);
    server.call_as(ADMIN_KEY, Method::GET, "/keys", Value::Null).await.expect(401);
    server.call_as(&second, Method::GET, "/keys", Value::Null).await.expect(200);
    server.stop().await;
}

/// An operator's key that was revoked, or an admin key that expires, locks nobody out for ever.
async fn an_admin_can_always_get_in_again(database: Database) {
    let server = Server::start(&database).await;
    let soon = "2099-01-01T00:00:00Z";
    let made =
        server.post("/keys", json!({"name": "for a while", "role": "admin", "expires_at": soon})).await.expect(201);
    let first = items(&server.get("/keys").await)[0]["id"].as_str().unwrap().to_owned();
    let refused = server.delete(&format!("/keys/{first}")).await;
    assert_eq!(refused.status, 409, "the other one expires");
    let lasting = server.post("/keys", json!({"name": "lasting", "role": "admin"})).await.expect(201);
    server.delete(&format!("/keys/{first}")).await.expect(204);
    let other = lasting["key"].as_str().unwrap().to_owned();
    let expiring = format!("/keys/{}", made["id"].as_str().unwrap());
    server.call_as(&other, Method::DELETE, &expiring, Value::Null).await.expect(204);
    // Nobody has an admin key any more: as if the last one had been lost, and the operator gave theirs once more.
    let lost = |tx: &mut dyn bellwether::store::Tx| tx.execute("UPDATE keys SET revoked_at = 1", &[]).map(drop);
    server.running().registry().db().write::<_, bellwether::store::StoreError, _>(lost).await.unwrap();
    server.stop().await;
    let server = Server::start(&database).await;
    assert_eq!(items(&server.get("/keys").await).len(), 1);
    server.stop().await;
}

/// Whoever guesses waits, and whoever knows does not.
async fn wrong_keys_are_counted_and_held_back(database: Database) {
    let server = Server::start(&database).await;
    let wrong = format!("{ADMIN_KEY}0");
    let clock = SystemClock::start();
    server.call_as(&wrong, Method::GET, "/experiments", Value::Null).await.expect(401);
    assert!(clock.monotonic() >= Duration::from_millis(50));
    let before = clock.monotonic();
    for _ in 0..5 {
        server.get("/experiments").await;
    }
    let page = Page::of(&server, ADMIN_KEY).await;
    assert!((page.value("bellwether_keys_refused_total") - 1.0).abs() < 0.1);
    assert!(clock.monotonic() - before < Duration::from_secs(5));
    server.stop().await;
}

on_both!(
    an_admin_can_always_get_in_again,
    wrong_keys_are_counted_and_held_back,
    each_role_may_do_what_it_may_on_every_route,
    without_a_key_in_force_nothing_is_answered,
    a_revoked_or_expired_key_is_refused_at_once,
    the_last_admin_key_stays,
);
