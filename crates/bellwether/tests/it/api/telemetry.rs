//! What a monitoring system asks: metrics, and whether the process is ready.

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{PATIENCE, Receiver, Reply};
use http::Method;
use serde_json::json;

use super::refusals::problem;
use super::{items, rename, subscribe_with};
use crate::server::{Server, draft};

pub struct Page(String);

impl Page {
    pub async fn of(server: &Server, key: &str) -> Self {
        let bearer = format!("Bearer {key}");
        let answer = server.raw(Method::GET, "//metrics", &[("authorization", &bearer)], "").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("bellwether_") && value.parse::<f64>().is_ok(), "{line}");
        }
        Self(page)
    }

    /// The value of a series, written as on the page.
    pub fn value(&self, series: &str) -> f64 {
        let found = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("{series} is missing in\n{}", self.0)).parse().unwrap()
    }
}

async fn metrics_tell_what_was_done_and_what_is_owed(database: Database) {
    let (server, good, bad) = (Server::start(&database).await, Receiver::start().await, Receiver::start().await);
    bad.answer(|_| Reply::Status(500));
    let (reached, _) = subscribe_with(&server, json!({"url": good.url("/")})).await;
    let (failing, _) = subscribe_with(&server, json!({"url": bad.url("/"), "retry_schedule": [3600]})).await;
    let (disabled, _) = subscribe_with(&server, json!({"url": good.url("/"), "enabled": false})).await;
    let key = server.post("/keys", json!({"name": "prometheus", "role": "read"})).await.expect(201);
    let key = key["key"].as_str().unwrap();
    let id = server.experiment(draft("k")).await;
    rename(&server, id, "b").await;
    let tried = format!("/deliveries?endpoint={failing}");
    server.eventually(&tried, |page| items(page).iter().any(|delivery| delivery["attempt_count"] == 1)).await;
    server.eventually("/deliveries?state=delivered", |page| items(page).len() == 2).await;

    // What is counted follows what is stored.
    let recorded = "bellwether_outcomes_recorded_total";
    let counting = async { while Page::of(&server, key).await.value(recorded) < 3.0 {} };
    tokio::time::timeout(PATIENCE, counting).await.expect("three outcomes are counted");

    let page = Page::of(&server, key).await;
    for (series, value) in [
        (format!("bellwether_attempts_total{{endpoint=\"{reached}\",class=\"ok\"}}"), 2.0),
        (format!("bellwether_attempts_total{{endpoint=\"{failing}\",class=\"status\"}}"), 1.0),
        (format!("bellwether_attempt_duration_seconds_count{{endpoint=\"{reached}\"}}"), 2.0),
        (format!("bellwether_attempt_duration_seconds_bucket{{endpoint=\"{reached}\",le=\"+Inf\"}}"), 2.0),
        (format!("bellwether_requests_in_flight{{endpoint=\"{reached}\"}}"), 0.0),
        (format!("bellwether_breaker_openings_total{{endpoint=\"{failing}\"}}"), 0.0),
        (recorded.to_owned(), 3.0),
        ("bellwether_outcomes_unrecorded".to_owned(), 0.0),
        ("bellwether_events_recorded_total{type=\"experiment.configuration.updated\"}".to_owned(), 2.0),
        ("bellwether_events_recorded_total{type=\"experiment.status.updated\"}".to_owned(), 0.0),
        ("bellwether_hints_lost_total".to_owned(), 0.0),
        ("bellwether_database_up".to_owned(), 1.0),
        (format!("bellwether_pending_deliveries{{endpoint=\"{failing}\",queue=\"live\"}}"), 2.0),
        (format!("bellwether_pending_deliveries{{endpoint=\"{disabled}\",queue=\"behind\"}}"), 0.0),
        ("bellwether_lanes{state=\"sending\"}".to_owned(), 2.0),
        ("bellwether_lanes{state=\"disabled\"}".to_owned(), 1.0),
        ("bellwether_runs{state=\"queued\"}".to_owned(), 0.0),
        ("bellwether_nodes".to_owned(), 1.0),
        ("bellwether_event_streams".to_owned(), 0.0),
    ] {
        assert_eq!(page.value(&series), value, "{series}");
    }
    let age = page.value(&format!("bellwether_oldest_pending_seconds{{endpoint=\"{failing}\"}}"));
    assert!((0.0..60.0).contains(&age), "{age}");
    assert!(!page.0.contains(&format!("bellwether_pending_deliveries{{endpoint=\"{reached}\"")), "nothing is owed");
    problem(server.raw(Method::GET, "//metrics", &[], "").await, 401, "unauthorized");
    problem(server.raw(Method::POST, "//metrics", &[], "").await, 405, "method-not-allowed");
    server.stop().await;
}

async fn a_server_that_has_started_is_ready(database: Database) {
    let server = Server::start(&database).await;
    server.eventually_root("/readyz", |answer| answer.status == 200).await;
    let ready = server.raw(Method::GET, "//readyz", &[], "").await.expect(200);
    assert_eq!(ready["status"], "ready");
    server.stop().await;
}

/// The database refuses everybody for a while: not ready, with the reason, until it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_it_is_not_ready() {
    let database = Database::postgres();
    let server = Server::start(&database).await;
    server.eventually_root("/readyz", |answer| answer.status == 200).await;
    database.close_to_all();
    let says = |answer: &crate::server::Answer, part: &str| {
        answer.status == 503 && answer.json()["detail"].as_str().unwrap().contains(part)
    };
    let lacking = server.eventually_root("/readyz", |answer| says(answer, "database:")).await;
    problem(lacking, 503, "not-ready");
    server.eventually_root("/readyz", |answer| says(answer, "heartbeat:")).await;
    assert_eq!(server.raw(Method::GET, "//healthz", &[], "").await.status, 200, "it lives all the same");
    database.open_to_all();
    server.eventually_root("/readyz", |answer| answer.status == 200).await;
    server.stop().await;
}

on_both!(metrics_tell_what_was_done_and_what_is_owed, a_server_that_has_started_is_ready);
