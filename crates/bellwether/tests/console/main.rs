//! The console in a real browser: what people do there from start to end, and what must hold of every page. Each test starts a
//! server with what its people would find there, and walks one of the paths beside this file in Debian's Chromium.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod browser;
mod installation;
mod scene;

use std::path::PathBuf;

use bellwether::config::Config;
use bellwether_testkit::certificates::Authority;
use bellwether_testkit::receiver::Received;
use serde_json::json;

use installation::Installation;
use scene::Scene;

/// Who reads the results every morning: from the link to the decision, which a receiver is told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analyst_finds_understands_and_decides() {
    let here = Installation::start().await;
    let scene = Scene::with_results(&here).await;
    let link = here.person("Ada", "write").await;
    browser::walk("analyst.js", &here, json!({"link": link, "experiment": scene.running})).await;
    let concluded = |request: &Received| {
        request.experiment() == scene.running && request.event_type() == "experiment.status.updated"
    };
    let told =
        here.receiver.wait_until(|received| received.iter().filter(|request| concluded(request)).count() >= 2).await;
    let last = told.iter().rfind(|request| concluded(request)).unwrap();
    last.verify(&scene.secret);
    let shown = here.get(&format!("/experiments/{}", scene.running)).await;
    assert_eq!((&shown["status"], &shown["owner"]), (&json!("concluded"), &json!("Grace")));
    here.stop().await;
}

/// Who has a program told of changes: from the new endpoint to the delivery that came at the second try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_integrator_sees_why_a_webhook_did_not_come() {
    let here = Installation::start().await;
    let scene = Scene::without_results(&here).await;
    let link = here.person("Ivo", "write").await;
    browser::walk("integrator.js", &here, json!({"link": link, "experiment": scene.running})).await;
    here.stop().await;
}

/// Who has just installed it, and has data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_visit_leads_from_files_to_a_delivered_event() {
    let here = Installation::start().await;
    let link = here.first_link();
    let files = here.folder().join("given");
    scene::write_tables(&files);
    browser::walk("first_visit.js", &here, json!({"link": link, "given": files})).await;
    let told = here
        .receiver
        .wait_until(|received| received.iter().any(|request| request.event_type() == "experiment.status.updated"))
        .await;
    assert!(told.iter().all(|request| request.path == "/first"), "{told:?}");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_can_be_done_by_keyboard() {
    let here = Installation::start().await;
    let scene = Scene::without_results(&here).await;
    let link = here.person("Kay", "write").await;
    browser::walk("keyboard.js", &here, json!({"link": link, "experiment": scene.running})).await;
    assert_eq!(here.get(&format!("/experiments/{}", scene.running)).await["status"], "concluded");
    here.stop().await;
}

/// Every kind of definition: made by its form, saved as it is without a change, refused where it is wrong, deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_are_made_kept_and_deleted() {
    let here = Installation::start().await;
    let scene = Scene::without_results(&here).await;
    let link = here.person("Dora", "admin").await;
    browser::walk("definitions.js", &here, json!({"link": link, "experiment": scene.running})).await;
    here.stop().await;
}

/// People, keys, secrets, what was given up; and what the trail tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_lets_in_puts_out_and_looks_after() {
    let here = Installation::start().await;
    Scene::without_results(&here).await;
    let link = here.person("Root", "admin").await;
    browser::walk("administrator.js", &here, json!({"link": link})).await;
    here.stop().await;
}

/// Accessibility, headers, widths, pictures; and names that would harm a careless page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_can_be_read_by_all_and_harms_nobody() {
    let here = Installation::start().await;
    let scene = Scene::with_everything(&here).await;
    let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("console");
    std::fs::create_dir_all(&pictures).unwrap();
    let told = json!({
        "link": here.person("Ada", "admin").await, "pictures": pictures, "ids": scene.ids(&here).await,
        "hostile": {"name": scene::HOSTILE_NAME, "text": scene::hostile_text()},
    });
    browser::walk("pages.js", &here, told).await;
    here.stop().await;
}

/// Sessions that end, roles that are too low, other sites' forms, and browsers without script.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_is_told_kindly_and_forms_need_no_script() {
    let here = Installation::start().await;
    let scene = Scene::without_results(&here).await;
    let (writer, writer_id) = here.person_and_id("Wim", "write").await;
    let told = json!({
        "reader": here.person("Rea", "read").await, "writer": writer, "writer_id": writer_id,
        "scriptless": here.person("Nora", "write").await, "experiment": scene.running, "draft": scene.draft,
    });
    browser::walk("access.js", &here, told).await;
    here.stop().await;
}

/// Nobody waits for a page, however much stands on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_thirty_metrics_is_small() {
    let here = Installation::start().await;
    let scene = Scene::with_metrics(&here, 30).await;
    let link = here.person("Ada", "read").await;
    browser::walk("size.js", &here, json!({"link": link, "experiment": scene.running})).await;
    here.stop().await;
}

/// What others do meanwhile shows without reloading, by one stream for all pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_pages_follow_what_happens() {
    let here = Installation::start().await;
    let scene = Scene::without_results(&here).await;
    let link = here.person("Lia", "write").await;
    browser::walk("live.js", &here, json!({"link": link, "experiment": scene.running, "other": scene.draft})).await;
    here.stop().await;
}

/// By the server's own TLS: browsers of a certificate that nobody has signed are told to take it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_the_same_over_https() {
    let authority = Authority::make();
    let files = authority.client_files("localhost");
    let here = Installation::start_with(|config| Config { tls: Some(files), ..config }).await;
    let told = json!({"link": here.first_link(), "args": ["--ignore-certificate-errors"]});
    browser::walk("elsewhere.js", &here, told).await;
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_the_same_behind_a_proxy_that_puts_it_deeper() {
    let authority = Authority::make();
    let files = authority.client_files("localhost");
    let here =
        Installation::start_with(|config| Config { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..config })
            .await;
    let told = json!({
        "link": here.first_link(), "args": ["--ignore-certificate-errors"], "proxied": true,
        "certificate": files.certificate, "key": files.key,
    });
    browser::walk("elsewhere.js", &here, told).await;
    here.stop().await;
}
