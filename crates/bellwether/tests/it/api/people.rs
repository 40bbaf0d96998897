//! People: let in by a link, once, in by a session until it ends, and allowed what their role allows.

use std::sync::Arc;
use std::time::Duration;

use bellwether_testkit::clocks::JumpingClock;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::items;
use crate::server::{ADMIN_KEY, Answer, Server, config, draft};

const HOUR: i64 = 3600 * 1_000_000;

/// A browser that somebody has logged in with.
pub struct Browser {
    pub cookie: String,
    pub origin: String,
}

impl Browser {
    async fn ask(&self, server: &Server, method: Method, path: &str, origin: Option<&str>, body: Value) -> Answer {
        let mut headers = vec![("cookie", self.cookie.as_str()), ("content-type", "application/json")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        server.raw(method, path, &headers, body).await
    }

    async fn get(&self, server: &Server, path: &str) -> Answer {
        self.ask(server, Method::GET, path, None, Value::Null).await
    }

    async fn send(&self, server: &Server, method: Method, path: &str, body: Value) -> Answer {
        self.ask(server, method, path, Some(&self.origin), body).await
    }
}

/// The id of a new person.
pub async fn person(server: &Server, name: &str, role: &str) -> String {
    server.make("/people", json!({"name": name, "role": role})).await
}

/// A link's token.
async fn link(server: &Server, person: &str) -> String {
    let made = server.post(&format!("/people/{person}/login_links"), json!({})).await.expect(201);
    let (_, token) = made["url"].as_str().unwrap().split_once("/login?token=").unwrap();
    token.to_owned()
}

async fn submit(server: &Server, token: &str, origin: &str) -> Answer {
    let headers =
        [("origin", origin), ("content-type", "application/x-www-form-urlencoded"), ("user-agent", "Browser/1")];
    server.raw(Method::POST, "//login", &headers, format!("token={token}")).await
}

pub async fn log_in(server: &Server, person: &str) -> Browser {
    let origin = server.running().url();
    let answer = submit(server, &link(server, person).await, &origin).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    Browser { cookie: cookie.split(';').next().unwrap().to_owned(), origin }
}

async fn a_link_lets_its_person_in_once(database: Database) {
    let server = Server::start(&database).await;
    let ada = person(&server, "Ada", "write").await;
    let token = link(&server, &ada).await;
    let origin = server.running().url();
    // Mail programs look at links, and may ask with any method that changes nothing.
    for _ in 0..2 {
        let page = server.raw(Method::GET, &format!("//login?token={token}"), &[], "").await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-security-policy").contains("default-src 'none'"), "{page:?}");
        assert!(!page.header("content-security-policy").contains("unsafe"), "{page:?}");
        assert_eq!((page.header("referrer-policy"), page.header("cache-control")), ("no-referrer", "no-store"));
    }
    assert_eq!(submit(&server, &token, "https://elsewhere.example").await.status, 403, "another site's form");
    assert_eq!(submit(&server, &token.replace('_', "_0"), &origin).await.status, 401);
    let let_in = submit(&server, &token, &origin).await;
    assert_eq!((let_in.status, let_in.header("location")), (303, "experiments"), "{let_in:?}");
    assert_eq!(submit(&server, &token, &origin).await.status, 401, "it was used");
    let browser = Browser { cookie: let_in.header("set-cookie").split(';').next().unwrap().to_owned(), origin };
    let me = browser.get(&server, "/me").await.expect(200);
    assert_eq!((&me["actor"]["name"], &me["role"]), (&json!("Ada"), &json!("write")));
    server.stop().await;
}

async fn a_session_may_do_what_its_person_may(database: Database) {
    let server = Server::start(&database).await;
    let ada = person(&server, "Ada", "write").await;
    let browser = log_in(&server, &ada).await;
    let made = browser.send(&server, Method::POST, "/experiments", draft("k")).await.expect(201);
    let history = server.get(&format!("/experiments/{}/history", made["id"])).await;
    assert_eq!(items(&history)[0]["actor"], json!({"type": "person", "id": ada, "name": "Ada"}));
    for origin in [None, Some("https://elsewhere.example"), Some("null")] {
        let refused = browser.ask(&server, Method::POST, "/experiments", origin, draft("other")).await.expect(403);
        assert_eq!(refused["type"], "urn:bellwether:problem:foreign-origin");
    }
    let of_site = [("cookie", browser.cookie.as_str()), ("sec-fetch-site", "cross-site"), ("origin", &browser.origin)];
    assert_eq!(server.raw(Method::DELETE, "/experiments/key:k", &of_site, "").await.status, 403);
    assert_eq!(browser.send(&server, Method::GET, "/keys", Value::Null).await.status, 403);
    server.patch(&format!("/people/{ada}"), json!({"role": "read"})).await.expect(200);
    assert_eq!(browser.send(&server, Method::DELETE, "/experiments/key:k", Value::Null).await.status, 403);
    server.patch(&format!("/people/{ada}"), json!({"role": "admin"})).await.expect(200);
    browser.send(&server, Method::GET, "/keys", Value::Null).await.expect(200);
    server.delete(&format!("/people/{ada}")).await.expect(204);
    assert_eq!(browser.get(&server, "/me").await.status, 401, "out at once");
    server.stop().await;
}

async fn sessions_are_seen_and_ended(database: Database) {
    let server = Server::start(&database).await;
    let (ada, bob) = (person(&server, "Ada", "read").await, person(&server, "Bob", "read").await);
    let (first, second, other) =
        (log_in(&server, &ada).await, log_in(&server, &ada).await, log_in(&server, &bob).await);
    let own = first.get(&server, "/sessions").await.expect(200);
    assert_eq!(items(&own).len(), 2);
    assert_eq!((&items(&own)[0]["client"], &items(&own)[0]["person_id"]), (&json!("Browser/1"), &json!(ada)));
    first.get(&server, &format!("/sessions?person_id={bob}")).await.expect(422);
    assert_eq!(items(&server.get(&format!("/sessions?person_id={bob}")).await).len(), 1);
    let session = items(&own)[1]["id"].as_str().unwrap();
    let path = format!("/sessions/{session}");
    assert_eq!(other.send(&server, Method::DELETE, &path, Value::Null).await.status, 404, "another's is not told of");
    let stream = server.open("/events/stream", &[("cookie", &second.cookie)]).await;
    assert_eq!(stream.status(), 200);
    first.send(&server, Method::DELETE, &path, Value::Null).await.expect(204);
    assert_eq!(second.get(&server, "/me").await.status, 401);
    let ended = tokio::time::timeout(Duration::from_secs(30), stream.into_body().collect()).await;
    ended.expect("a stream ends with its session").unwrap();
    let headers = [("cookie", first.cookie.as_str()), ("origin", &first.origin)];
    let out = server.raw(Method::POST, "//logout", &headers, "").await;
    assert_eq!((out.status, out.header("location")), (303, "login"));
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    assert_eq!(first.get(&server, "/me").await.status, 401);
    other.get(&server, "/me").await.expect(200);
    server.stop().await;
}

async fn links_and_sessions_expire(database: Database) {
    let clock = Arc::new(JumpingClock::start());
    let server = Server::by(config(&database), clock.clone()).await;
    let ada = person(&server, "Ada", "read").await;
    let origin = server.running().url();
    let token = link(&server, &ada).await;
    clock.jump(HOUR / 6);
    assert_eq!(submit(&server, &token, &origin).await.status, 401, "ten minutes have passed");
    let browser = log_in(&server, &ada).await;
    clock.jump(6 * 24 * HOUR);
    browser.get(&server, "/me").await.expect(200);
    clock.jump(7 * 24 * HOUR);
    assert_eq!(browser.get(&server, "/me").await.status, 401, "it was not used for seven days");
    let made = server.post(&format!("/people/{ada}/login_links"), json!({"minutes": 10_081})).await.expect(422);
    assert_eq!(made["errors"][0]["field"], "minutes");
    server.stop().await;
}

/// What is no session is told apart from none, counted as a guess, and shows nothing.
async fn what_is_no_session_is_refused(database: Database) {
    let server = Server::start(&database).await;
    let ada = person(&server, "Ada", "read").await;
    let browser = log_in(&server, &ada).await;
    for cookie in [
        "bellwether_session=",
        "bellwether_session=bws_x_y",
        &format!("{}0", browser.cookie),
        &browser.cookie.replace("bws_", "bw_"),
    ] {
        let refused = server.raw(Method::GET, "/me", &[("cookie", cookie)], "").await;
        assert_eq!(refused.expect(401)["type"], "urn:bellwether:problem:unauthorized", "{cookie}");
    }
    // A cookie's text is no key, and a key is no cookie.
    let text = browser.cookie.split_once('=').unwrap().1;
    assert_eq!(server.call_as(text, Method::GET, "/me", Value::Null).await.status, 401);
    let key = format!("bellwether_session={ADMIN_KEY}");
    assert_eq!(server.raw(Method::GET, "/me", &[("cookie", &key)], "").await.status, 401);
    server.stop().await;
}

async fn the_audit_trail_tells_who_changed_what(database: Database) {
    let server = Server::start(&database).await;
    let ada = person(&server, "Ada", "admin").await;
    let browser = log_in(&server, &ada).await;
    let key = browser.send(&server, Method::POST, "/keys", json!({"name": "ci", "role": "read"})).await.expect(201);
    let key_id = key["id"].as_str().unwrap();
    server.delete(&format!("/keys/{key_id}")).await.expect(204);
    let endpoint =
        json!({"url": "http://127.0.0.1:1/hook?token=hidden-in-a-url", "secret": "a secret of one's own, long enough"});
    let endpoint = browser.send(&server, Method::POST, "/endpoints", endpoint).await.expect(201);
    let experiment = browser.send(&server, Method::POST, "/experiments", draft("k")).await.expect(201);
    let mut told = Vec::new();
    let mut after = String::new();
    loop {
        let page = server.get(&format!("/audit?limit=2&after={after}")).await;
        told.extend(items(&page).clone());
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    let shown: Vec<_> =
        told.iter().map(|entry| (entry["subject"].as_str().unwrap(), entry["action"].as_str().unwrap())).collect();
    let link = shown[4].0;
    assert!(link.starts_with("ll_"), "{link}");
    let expected = [
        (&experiment["id"].to_string()[..], "created"),
        (endpoint["id"].as_str().unwrap(), "created"),
        (key_id, "revoked"),
        (key_id, "created"),
        (link, "used"),
        (link, "created"),
        (&ada, "created"),
    ];
    assert_eq!(shown[..7], expected, "{told:#?}");
    let actors: Vec<_> = told[..7].iter().map(|entry| entry["actor"]["type"].as_str().unwrap()).collect();
    assert_eq!(actors, ["person", "person", "key", "person", "person", "key", "key"]);
    assert_eq!(told[3]["changes"][0], json!({"field": "name", "from": null, "to": "ci"}));
    let whole = Value::from(told).to_string();
    for secret in ["hidden-in-a-url", "a secret of one", key["key"].as_str().unwrap()] {
        assert!(!whole.contains(secret), "{secret} stands in {whole}");
    }
    server.stop().await;
}

on_both!(
    a_link_lets_its_person_in_once,
    a_session_may_do_what_its_person_may,
    sessions_are_seen_and_ended,
    links_and_sessions_expire,
    what_is_no_session_is_refused,
    the_audit_trail_tells_who_changed_what,
);
