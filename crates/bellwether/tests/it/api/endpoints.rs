//! Endpoints: switched off and on, deleted, and close with their secrets.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Receiver, Reply};
use serde_json::{Value, json};

use super::telemetry::Page;
use super::{delivery, items, rename, subscribe, subscribe_with, why};
use crate::server::{ADMIN_KEY, Server, draft};

async fn states(server: &Server, endpoint: &str) -> Vec<(i64, String)> {
    let page = server.get(&format!("/deliveries?limit=250&endpoint={endpoint}")).await;
    let of = |item: &Value| (item["revision"].as_i64().unwrap(), item["state"].as_str().unwrap().to_owned());
    let mut states: Vec<_> = items(&page).iter().map(of).collect();
    states.sort();
    states
}

fn all(state: &str, revisions: impl IntoIterator<Item = i64>) -> Vec<(i64, String)> {
    revisions.into_iter().map(|revision| (revision, state.to_owned())).collect()
}

async fn all_delivered(server: &Server, endpoint: &str, count: usize) {
    let path = format!("/deliveries?limit=250&state=delivered&endpoint={endpoint}");
    server.eventually(&path, |page| items(page).len() >= count).await;
}

/// While disabled its deliveries are recorded; enabled from where it stopped, they come, in order.
async fn a_disabled_endpoint_goes_on_where_it_stopped(database: Database) {
    let (server, receiver, witness) =
        (Server::start(&database).await, Receiver::start().await, Receiver::start().await);
    let (endpoint, _) = subscribe(&server, &receiver.url("/")).await;
    let (other, _) = subscribe(&server, &witness.url("/")).await;
    let id = server.experiment(draft("k")).await;
    receiver.wait_for(1).await;
    all_delivered(&server, &endpoint, 1).await;
    let disabled = server.post(&format!("/endpoints/{endpoint}/disable"), Value::Null).await.expect(200);
    assert_eq!((&disabled["enabled"], disabled["disabled_reason"].is_string()), (&json!(false), true));
    for name in ["b", "c", "d"] {
        rename(&server, id, name).await;
    }
    witness.wait_for(4).await;
    all_delivered(&server, &other, 4).await;
    assert_eq!(receiver.received().len(), 1, "nothing is sent while it is disabled");
    let expected = [all("delivered", [1]), all("pending", [2, 3, 4])].concat();
    assert_eq!(states(&server, &endpoint).await, expected);
    assert_eq!(server.get(&format!("/endpoints/{endpoint}")).await["pending"], 3);

    server.post(&format!("/endpoints/{endpoint}/enable"), json!({"from": "stopped"})).await.expect(200);
    let received = receiver.wait_for(4).await;
    assert_eq!(received.iter().map(|request| request.revision()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    server.stop().await;
}

async fn or_begins_from_now(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "enabled": false})).await;
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "b").await;
    server.post(&format!("/endpoints/{endpoint}/enable"), json!({"from": "now"})).await.expect(200);
    assert_eq!(states(&server, &endpoint).await, all("cancelled", [1, 2]));
    rename(&server, id, "c").await;
    receiver.wait_for(1).await;
    server.stop().await;
    let received = receiver.received();
    assert_eq!(received.iter().map(|request| request.revision()).collect::<Vec<_>>(), [3]);
}

/// Nothing that was in memory goes out after it, neither what waits for its next attempt nor what waits for its turn.
async fn a_deleted_endpoint_is_sent_nothing_more(database: Database) {
    let (server, receiver, witness) =
        (Server::start(&database).await, Receiver::start().await, Receiver::start().await);
    receiver.answer(|_| Reply::Status(500));
    witness.answer(|request| Reply::Status(if request.attempt() < 4 { 500 } else { 204 }));
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "retry_schedule": [1, 1, 1]})).await;
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "b").await;
    receiver.wait_for(1).await;
    server.delete(&format!("/endpoints/{endpoint}")).await.expect(204);
    let sent = receiver.received().len();
    // Another is tried three times more meanwhile, a second apart.
    subscribe_with(&server, json!({"url": witness.url("/"), "retry_schedule": [1, 1, 1]})).await;
    rename(&server, id, "c").await;
    witness.wait_for(4).await;
    server.stop().await;
    assert!(
        receiver.received().len() <= sent + 1,
        "one may have been on its way: {sent}, {}",
        receiver.received().len()
    );
}

/// The answer to it decides nothing any more.
async fn what_is_cancelled_on_its_way_is_not_tried_again(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.answer(|request| if revision(request) == 1 { Reply::Held(500) } else { Reply::Status(204) });
    let fields = json!({"url": receiver.url("/"), "retry_schedule": [1, 1, 1]});
    let (endpoint, _) = subscribe_with(&server, fields).await;
    let id = server.experiment(draft("k")).await;
    receiver.wait_for(1).await;
    let delivery = server.get(&format!("/deliveries?endpoint={endpoint}")).await["items"][0]["id"].clone();
    let cancelled = server.post(&format!("/deliveries/{}/cancel", delivery.as_str().unwrap()), Value::Null).await;
    assert_eq!(cancelled.expect(200)["state"], "cancelled");
    rename(&server, id, "b").await;
    // What came of the cancel is known to the lane when it has been told of the other endpoint too.
    let (other, _) = subscribe_with(&server, json!({"url": receiver.url("/other")})).await;
    server.post(&format!("/endpoints/{other}/test"), Value::Null).await.expect(200);
    receiver.release();
    receiver.wait_until(|received| received.iter().any(|request| request.path == "/" && revision(request) == 2)).await;
    rename(&server, id, "c").await;
    receiver.wait_until(|received| received.iter().any(|request| request.path == "/" && revision(request) == 3)).await;
    server.stop().await;
    let first = receiver.received().iter().filter(|request| revision(request) == 1).count();
    assert_eq!(first, 1);
}

fn revision(request: &bellwether_testkit::receiver::Received) -> i64 {
    request.headers.get("bellwether-revision").map_or(0, |text| text.parse().unwrap())
}

async fn deleting_an_endpoint_cancels_what_it_was_owed(database: Database) {
    let (server, mut receiver) = (Server::start(&database).await, Receiver::start().await);
    receiver.refuse().await;
    let (endpoint, _) = subscribe_with(&server, json!({"url": receiver.url("/"), "retry_schedule": [3600]})).await;
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "b").await;
    let deliveries = format!("/deliveries?endpoint={endpoint}");
    server.eventually(&deliveries, |page| items(page).iter().any(|delivery| delivery["attempt_count"] == 1)).await;
    let path = format!("/endpoints/{endpoint}");
    server.delete(&path).await.expect(204);
    server.delete(&path).await.expect(404);
    server.call_as(crate::server::ADMIN_KEY, http::Method::GET, &path, Value::Null).await.expect(404);
    assert_eq!(items(&server.get("/endpoints").await).len(), 0);
    assert_eq!(states(&server, &endpoint).await, all("cancelled", [1, 2]));
    for delivery in items(&server.get(&deliveries).await) {
        assert!(delivery["reason"].as_str().unwrap().contains("deleted"), "{delivery}");
    }
    rename(&server, id, "c").await;
    assert_eq!(states(&server, &endpoint).await.len(), 2, "nothing more is owed to it");
    server.stop().await;
}

async fn an_edited_url_is_used_from_then_on(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let (endpoint, _) = subscribe(&server, &receiver.url("/old")).await;
    let id = server.experiment(draft("k")).await;
    receiver.wait_for(1).await;
    let path = format!("/endpoints/{endpoint}");
    let edited = server.patch(&path, json!({"url": receiver.url("/new"), "description": "moved"})).await;
    assert_eq!((edited.header("etag"), &edited.expect(200)["description"]), ("\"2\"", &json!("moved")));
    assert_eq!(server.patch(&path, json!({"description": "moved"})).await.header("etag"), "\"2\"", "nothing changed");
    rename(&server, id, "b").await;
    let received = receiver.wait_for(2).await;
    assert_eq!(received.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(), ["/old", "/new"]);
    server.stop().await;
}

/// The secret is told once, and stands nowhere in the clear; nor does a token in the URL.
async fn secrets_are_told_once_and_kept_encrypted(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let own = "a secret of the user's own";
    let url = receiver.url("/hooks?token=t0psecr3t");
    let (endpoint, made) = subscribe(&server, &url).await;
    let (other, given) = subscribe_with(&server, json!({"url": url, "secret": own})).await;
    assert!(made.starts_with("whsec_"), "{made}");
    assert_eq!(given, own);
    let id = server.experiment(draft("k")).await;
    let received = receiver.wait_for(2).await;
    for secret in [made.as_str(), own] {
        let header = |name: &str, request: &bellwether_testkit::receiver::Received| request.header(name).to_owned();
        let secret = bellwether_webhook::Secret::parse(secret).unwrap();
        let fits = |request: &bellwether_testkit::receiver::Received| {
            bellwether_webhook::verify_body_signature(&request.body, &secret).is_ok()
        };
        assert_eq!(
            received.iter().filter(|request| fits(request)).count(),
            1,
            "{}",
            header("webhook-id", &received[0])
        );
    }
    let paths = ["/endpoints", &format!("/endpoints/{endpoint}"), &format!("/endpoints/{other}"), "/deliveries"];
    for path in paths.into_iter().chain(["/events", &format!("/experiments/{id}/history")]) {
        let text = server.get(path).await.to_string();
        assert!(!text.contains(&made) && !text.contains(own) && !text.contains("t0psecr3t"), "{path} tells a secret");
    }
    let path = format!("/endpoints/{endpoint}");
    let shown = server.get(&path).await["url"].clone();
    assert_eq!(shown, receiver.url("/hooks?[hidden]"));
    let sent_back = server.patch(&path, json!({"url": shown})).await;
    assert_eq!(
        (sent_back.status, sent_back.header("etag")),
        (200, "\"1\""),
        "what was shown and sent back changes nothing"
    );
    assert!(server.patch(&format!("/endpoints/{endpoint}"), json!({"secret": own})).await.status == 422);
    let stored = all_that_is_stored(&server, &database).await;
    let key = made.trim_start_matches("whsec_");
    for secret in [key, own, "t0psecr3t", crate::server::ADMIN_KEY.rsplit('_').next().unwrap()] {
        assert!(!contains(&stored, secret), "'{secret}' stands in the clear in the database");
    }
    assert!(contains(&stored, "first admin"), "what is not secret is found, so the search finds things");
    server.stop().await;
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The bytes of SQLite's files, or all rows of PostgreSQL's tables as text.
async fn all_that_is_stored(server: &Server, database: &Database) -> Vec<u8> {
    if database.url().is_none() {
        let files = ["bellwether.db", "bellwether.db-wal"].map(|name| std::fs::read(database.folder().join(name)));
        return files.into_iter().flat_map(|bytes| bytes.expect("the file is there")).collect();
    }
    let read = |tx: &mut dyn bellwether::store::Tx| {
        let mut stored = Vec::new();
        for table in ["keys", "settings", "endpoints", "changes", "events", "deliveries", "undelivered", "attempts"] {
            // encode(…, 'escape') shows the bytes of a blob that are text as such.
            let sql = match table {
                "endpoints" => {
                    "SELECT encode(url, 'escape') || encode(secret, 'escape') || t::text AS line FROM endpoints t"
                }
                "keys" => "SELECT encode(hash, 'escape') || t::text AS line FROM keys t",
                _ => &format!("SELECT t::text AS line FROM {table} t"),
            };
            let lines = bellwether::store::query_as(tx, "t", sql, &[], |row| row.get::<String>("line"))?;
            stored.extend(lines.concat().into_bytes());
        }
        Ok::<_, bellwether::store::StoreError>(stored)
    };
    server.running().registry().db().read(read).await.unwrap()
}

/// What is accepted can be sent: each of these was accepted once and never sent.
async fn what_could_not_be_sent_is_refused_with_the_reason(database: Database) {
    let server = Server::start(&database).await;
    for (url, reason) in [
        ("https://${WEBHOOK_HOST}/hooks", "placeholder"),
        ("https://a..b/", "between two dots"),
        ("https://*.example.com/", "pattern"),
        ("https:///x", "names no host"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com/a\tb", "control character"),
        ("https://user:pw@example.com/", "Authorization"),
        ("https://example.com/?[hidden]", "give the URL whole"),
    ] {
        let refused = server.post("/endpoints", json!({"url": url})).await.expect(422);
        assert_eq!(refused["errors"][0]["field"], "url", "{refused}");
        assert!(refused["errors"][0]["message"].as_str().unwrap().contains(reason), "{url}: {refused}");
    }
    let url = "https://example.com/";
    for (fields, field) in [
        (json!({"url": url, "headers": {"X-A": " b"}}), "headers.X-A"),
        (json!({"url": url, "headers": {"X-A": "Bearer [hidden]"}}), "headers.X-A"),
        (json!({"url": url, "secret": "whsec_!!!!"}), "secret"),
        (json!({"url": url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"}), "secret"),
        (json!({"url": url, "tls": {"ca_pem": "no certificate"}}), "tls.ca_pem"),
        (json!({"url": url, "tls": {"client_cert_pem": "x"}}), "tls"),
    ] {
        let refused = server.post("/endpoints", fields).await.expect(422);
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
    assert!(items(&server.get("/endpoints").await).is_empty(), "nothing was made");
    let weak = server.post("/endpoints", json!({"url": url, "secret": "hunter22"})).await.expect(201);
    assert!(weak["warnings"][0].as_str().unwrap().contains("guessed"), "{weak}");
    server.stop().await;
}

/// An endpoint that an earlier version accepted, and one whose row is damaged, stop neither each other nor the rest.
async fn one_that_cannot_be_sent_to_or_read_stops_no_other(database: Database) {
    let (server, receiver) = (Server::start(&database).await, Receiver::start().await);
    let (unusable, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let (damaged, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let (healthy, _) = subscribe_with(&server, json!({"url": receiver.url("/")})).await;
    let registry = server.running().registry().clone();
    let (id, other) = (unusable.parse().unwrap(), damaged.clone());
    let spoil = {
        let registry = registry.clone();
        move |tx: &mut dyn bellwether::store::Tx| {
            let (vault, ids) = (registry.vault(), registry.ids());
            let mut endpoint = bellwether::store::endpoints::get(tx, vault, id)?.expect("it is there");
            endpoint.settings.url = "https://a..b/".to_owned();
            endpoint.version += 1;
            bellwether::store::endpoints::save(tx, vault, ids.as_ref(), &endpoint)?;
            let sql = "UPDATE endpoints SET url = headers WHERE id = $1";
            tx.execute(sql, &[other.as_str().into()]).map(drop)
        }
    };
    registry.db().write::<_, bellwether::store::StoreError, _>(spoil).await.unwrap();
    // The dispatcher looks when any endpoint changes.
    server.patch(&format!("/endpoints/{healthy}"), json!({"description": "x"})).await.expect(200);
    let experiment = server.experiment(draft("k")).await;
    delivery(&server, &healthy, 1, "delivered").await;
    let path = format!("/endpoints/{unusable}");
    let shown = server.get(&path).await;
    assert_eq!(shown["lane"]["is"], "unusable", "{shown}");
    assert!(shown["lane"]["reason"].as_str().unwrap().contains("edit it"), "{shown}");
    let waiting = why(&server, experiment, 1, &unusable).await["verdict"].clone();
    assert_eq!((&waiting["for"], &waiting["field"]), (&json!("endpoint_unusable"), &json!("url")), "{waiting}");
    server.eventually(&format!("{path}/history"), |page| items(page).last().unwrap()["action"] == "unusable").await;
    let list = server.get("/endpoints").await;
    assert_eq!(items(&list).len(), 3);
    assert!(items(&list).iter().any(|item| item["id"] == damaged && item["unreadable"].is_string()), "{list}");
    let page = Page::of(&server, ADMIN_KEY).await;
    assert!((page.value("bellwether_endpoints_unusable") - 2.0).abs() < 0.1);
    assert!(page.value("bellwether_descriptors_limit") >= page.value("bellwether_outbound_connections_limit"));
    // Mended, it gets what it was owed.
    server.patch(&path, json!({"url": receiver.url("/mended")})).await.expect(200);
    delivery(&server, &unusable, 1, "delivered").await;
    server.stop().await;
}

/// Certificates of an endpoint's own are checked, kept when sent back as shown, and neither shown nor stored in the clear.
async fn certificates_of_an_endpoint_are_secret(database: Database) {
    let server = Server::start(&database).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["x.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let tls = json!({"ca_pem": certificate.pem(), "client_cert_pem": certificate.pem(), "client_key_pem": key.serialize_pem()});
    let (endpoint, _) =
        subscribe_with(&server, json!({"url": "https://example.com/", "tls": tls, "enabled": false})).await;
    let path = format!("/endpoints/{endpoint}");
    let hidden = json!({"ca_pem": "[hidden]", "client_cert_pem": "[hidden]", "client_key_pem": "[hidden]"});
    let shown = server.get(&path).await;
    assert_eq!(shown["tls"], hidden);
    let kept = server.patch(&path, json!({"tls": hidden, "description": "kept"})).await.expect(200);
    assert_eq!(kept["tls"], hidden);
    let line = key.serialize_pem().lines().nth(1).unwrap().to_owned();
    let stored = server.running().registry().db().read(|tx: &mut dyn bellwether::store::Tx| {
        bellwether::store::query_as(tx, "endpoints", "SELECT settings, tls FROM endpoints", &[], |row| {
            Ok((row.get::<String>("settings")?, row.get::<Option<Vec<u8>>>("tls")?))
        })
    });
    let (settings, sealed) = stored.await.unwrap().remove(0);
    let sealed = String::from_utf8_lossy(&sealed.expect("they are kept")).into_owned();
    assert!(!settings.contains(&line) && !sealed.contains(&line));
    let history = server.get(&format!("{path}/history")).await;
    assert!(!history.to_string().contains(&line));
    let none = server.patch(&path, json!({"tls": null})).await.expect(200);
    assert_eq!(none["tls"], Value::Null);
    let history = server.get(&format!("{path}/history")).await;
    assert!(items(&history).last().unwrap()["changes"].to_string().contains("tls"), "{history}");
    server.stop().await;
}

on_both!(
    certificates_of_an_endpoint_are_secret,
    what_could_not_be_sent_is_refused_with_the_reason,
    one_that_cannot_be_sent_to_or_read_stops_no_other,
    a_deleted_endpoint_is_sent_nothing_more,
    what_is_cancelled_on_its_way_is_not_tried_again,
    a_disabled_endpoint_goes_on_where_it_stopped,
    or_begins_from_now,
    deleting_an_endpoint_cancels_what_it_was_owed,
    an_edited_url_is_used_from_then_on,
    secrets_are_told_once_and_kept_encrypted,
);
