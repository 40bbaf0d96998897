//! The public package `eppo_metrics_sync` itself, in both versions that are in use, pointed at Bellwether: what it prints is
//! what its user sees.

use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_testkit::databases::Database;
use http::Method;
use serde_json::{Value, json};

use super::{ask, payload, syncable};
use crate::api::items;
use crate::server::{ADMIN_KEY, Server};

const SOURCES: &str = "\
fact_sources:
  - name: Purchases
    sql: |
      SELECT * FROM orders
    timestamp_column: at
    entities:
      - entity_name: user
        column: user_id
    facts:
      - name: Spent
        column: amount
        description: What was paid
        desired_change: increase
      - name: Bought
    properties:
      - name: Country
        column: country
        description: Where
";

const METRICS: &str = "\
metrics:
  - name: Revenue
    description: per user
    entity: user
    is_guardrail: true
    guardrail_cutoff: -0.05
    metric_display_style: decimal
    minimum_detectable_effect: 0.05
    numerator:
      fact_name: Spent
      operation: sum
      filters:
        - fact_property: Country
          operation: not_equals
          values:
            - fr
      winsorization_upper_percentile: 0.99
      aggregation_timeframe_start_value: 0
      aggregation_timeframe_end_value: 7
      aggregation_timeframe_unit: days
  - name: Basket
    type: ratio
    entity: user
    numerator:
      fact_name: Spent
      operation: sum
    denominator:
      fact_name: Bought
      operation: count
";

const PERCENTILE: &str = "\
metrics:
  - name: Large purchases
    type: percentile
    entity: user
    percentile:
      fact_name: Spent
      percentile_value: 0.9
";

/// The interpreter that has this version, as `cargo xtask setup` has installed it.
fn python(version: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let oracles = std::env::var_os("BELLWETHER_ORACLES").map(PathBuf::from);
    let folder = oracles.unwrap_or_else(|| cache.join("bellwether/oracles"));
    let program = folder.join(format!("eppo_metrics_sync-{version}/bin/python"));
    assert!(program.exists(), "{} is missing; run `cargo xtask setup`", program.display());
    program
}

/// Runs the package over a folder of files, as a pipeline would; whether it did well, and what it printed.
async fn run(server: &Server, version: &str, files: &Path, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(python(version));
    command.args(["-m", "eppo_metrics_sync"]).arg(files).args(more).env_clear();
    command.env("EPPO_API_HOST", format!("http://{}/eppo", server.running().address()));
    command.env("EPPO_API_KEY", ADMIN_KEY).env("EPPO_SYNC_TAG", "prod").env("EPPO_SYNC_POLL_INTERVAL", "0.05");
    command.env("EPPO_REFERENCE_URL", "https://git.example/metrics").env("PYTHONDONTWRITEBYTECODE", "1");
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let printed = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    println!("--- eppo_metrics_sync {version} {}\n{printed}", more.join(" "));
    (ended.status.success(), printed)
}

async fn names(server: &Server) -> Vec<String> {
    let page = server.get("/metrics?sort=name").await;
    let managed = items(&page).iter().filter(|metric| metric["managed_by"]["sync_tag"] == "prod");
    managed.map(|metric| metric["name"].as_str().unwrap().to_owned()).collect()
}

/// From the first sync to the last, with a file that is wrong in between.
async fn the_package_syncs(version: &str, unchanged: &str) {
    let database = Database::sqlite();
    let (server, definitions) = syncable(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("sources.yaml", SOURCES);
    write("metrics.yml", METRICS);
    let (is_done, printed) = run(&server, version, folder.path(), &[]).await;
    assert!(is_done && printed.contains("Metrics synced"), "{printed}");
    assert_eq!(names(&server).await, ["Basket", "Revenue"]);
    let (is_done, printed) = run(&server, version, folder.path(), &[]).await;
    assert!(is_done && printed.contains(unchanged), "{printed}");
    // What only the server can tell: it says it by the names of the files.
    write("metrics.yml", &METRICS.replace("entity: user", "entity: household"));
    let (is_done, printed) = run(&server, version, folder.path(), &[]).await;
    assert!(!is_done && printed.contains("there is no entity 'household'; there are: user"), "{printed}");
    assert!(printed.contains("metrics[Revenue].entity") && printed.contains("metrics[Basket].entity"), "{printed}");
    // A name that is somebody's already.
    write("metrics.yml", &METRICS.replace("name: Revenue", "name: revenue per user"));
    let (is_done, printed) = run(&server, version, folder.path(), &[]).await;
    assert!(!is_done && printed.contains("'revenue per user' that no sync manages"), "{printed}");
    assert_eq!(names(&server).await, ["Basket", "Revenue"], "nothing was changed");
    // What is declared no more goes, from experiments too.
    let page = server.get("/metrics?sort=name").await;
    let basket = items(&page).iter().find(|metric| metric["name"] == "Basket").unwrap()["id"].clone();
    let mut body = definitions.experiment("checkout-cta");
    body["metrics"] = json!([{"metric_id": basket}]);
    let id = server.experiment(body).await;
    let at = METRICS.find("  - name: Basket").unwrap();
    write("metrics.yml", &METRICS[..at]);
    let (is_done, printed) = run(&server, version, folder.path(), &[]).await;
    assert!(is_done, "{printed}");
    assert_eq!(names(&server).await, ["Revenue"]);
    let attached = server.get(&format!("/experiments/{id}/metrics")).await;
    assert_eq!(
        items(&attached).iter().map(|item| item["name"].clone()).collect::<Vec<_>>(),
        ["Revenue"],
        "the guardrail stays"
    );
    // Under a prefix, as a shared workspace is tried with.
    let (is_done, printed) = run(&server, version, folder.path(), &["--sync-prefix", "qa"]).await;
    assert!(is_done, "{printed}");
    let page = server.get("/metrics?search=qa").await;
    assert_eq!(items(&page)[0]["name"], "[qa] Revenue");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_0_1_6_syncs() {
    the_package_syncs("0.1.6", "Metrics synced").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_0_2_0_syncs() {
    the_package_syncs("0.2.0", "Metrics are unchanged since the last successful sync").await;
}

/// The objects that the published schemas describe, and where each stands in what is sent.
const OBJECTS: [(&str, &str); 11] = [
    ("fact_sources/items", "/fact_sources/0"),
    ("fact_sources/items/properties/entities/items", "/fact_sources/0/entities/0"),
    ("fact_sources/items/properties/facts/items", "/fact_sources/0/facts/0"),
    ("fact_sources/items/properties/properties/items", "/fact_sources/0/properties/0"),
    ("metrics/items", "/metrics/0"),
    ("metrics/items/properties/numerator", "/metrics/0/numerator"),
    ("metrics/items/properties/numerator/properties/filters/items", "/metrics/0/numerator/filters/0"),
    (
        "metrics/items/properties/numerator/properties/threshold_metric_settings",
        "/metrics/0/numerator/threshold_metric_settings",
    ),
    ("metrics/items/properties/denominator", "/metrics/0/denominator"),
    ("metrics/items/properties/denominator/properties/filters/items", "/metrics/0/denominator/filters/0"),
    ("metrics/items/properties/percentile", "/metrics/0/percentile"),
];

/// One of everything.
fn of_everything() -> Value {
    let filter = json!({"fact_property": "Country", "operation": "equals", "values": ["de"]});
    let settings = json!({"comparison_operator": "gt", "aggregation_type": "count", "breach_value": 1});
    let side = json!({"fact_name": "Spent", "operation": "threshold", "filters": [filter], "threshold_metric_settings": settings});
    let percentile = json!({"fact_name": "Spent", "percentile_value": 0.5});
    payload(
        "prod",
        json!([{"name": "M", "entity": "user", "numerator": side, "denominator": side, "percentile": percentile}]),
    )
}

/// Whatever the published schemas name is known here: it is computed, or refused for what it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_of_both_schemas_is_known() {
    let database = Database::sqlite();
    let (server, _) = syncable(&database).await;
    for (version, count) in [("0.1.6", 59), ("0.2.0", 73)] {
        let packages = python(version).parent().unwrap().parent().unwrap().join("lib");
        let lib = std::fs::read_dir(packages).unwrap().next().unwrap().unwrap().path();
        let schema = lib.join("site-packages/eppo_metrics_sync/schema/eppo_metric_schema.json");
        let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
        let mut known = 0;
        for (object, place) in OBJECTS {
            let described = schema.pointer(&format!("/properties/{object}/properties"));
            for field in described.iter().flat_map(|fields| fields.as_object().unwrap().keys()) {
                let mut declared = of_everything();
                // `null` is no value of most: what is wrong with it is said then, but not that nobody knows it.
                declared.pointer_mut(place).unwrap()[field.as_str()] = Value::Null;
                let answer = ask(&server, Method::POST, "/metrics/sync", declared).await;
                let told = String::from_utf8_lossy(&answer.body);
                assert!([200, 304, 422].contains(&answer.status), "{place}/{field}: {told}");
                assert!(!told.contains("unknown field"), "{place}/{field}: {told}");
                known += 1;
            }
        }
        assert_eq!(known, count, "fields of the schema of {version}");
    }
    let mut strange = of_everything();
    strange["metrics"][0]["numerator"]["unheard_of"] = Value::Null;
    let told = ask(&server, Method::POST, "/metrics/sync", strange).await.expect(422);
    assert!(told["message"].as_str().unwrap().contains("unknown field"), "{told}");
    server.stop().await;
}

/// What only the newer version has: percentiles, and taking over what is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_0_2_0_takes_over_what_is_there() {
    let database = Database::sqlite();
    let (server, definitions) = syncable(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("sources.yaml", SOURCES);
    write("percentile.yaml", PERCENTILE);
    write("metrics.yaml", &METRICS.replace("name: Revenue", "name: revenue per user"));
    let (is_done, printed) = run(&server, "0.2.0", folder.path(), &["--allow-upgrades"]).await;
    assert!(is_done && printed.contains("Metrics synced (sync id: 1)"), "{printed}");
    assert_eq!(names(&server).await, ["Basket", "Large purchases", "revenue per user"]);
    let there = server.get(&format!("/metrics/{}", definitions.metric)).await;
    assert_eq!(there["managed_by"]["reference_url"], "https://git.example/metrics");
    server.stop().await;
}
