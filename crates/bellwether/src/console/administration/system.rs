//! How the installation fares: version, database, nodes, queues, and on request what `doctor` finds.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::TABS;
use crate::console::failure::Failure;
use crate::console::page::{Frame, List, Moment, filters, html};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/administration/system.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [&'static str; 4],
    tab: &'static str,
    system: System,
    checks: Option<Vec<Check>>,
}

#[derive(Deserialize)]
struct System {
    version: String,
    database: String,
    public_url: String,
    node_id: String,
    started_at: Moment,
    nodes: u64,
    retention_days: u64,
    clock_doubt: Option<String>,
    deliveries: Deliveries,
    endpoints: BTreeMap<String, u64>,
    runs: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Deliveries {
    pending: u64,
    behind: u64,
    oldest_at: Option<Moment>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    verdict: String,
    finding: String,
    advice: Option<String>,
}

impl Check {
    /// Its colour, and the sign before its word.
    fn badge(&self) -> (&'static str, &'static str) {
        match self.verdict.as_str() {
            "ok" => ("good", "✓"),
            "warning" => ("warn", "!"),
            "failure" => ("bad", "✕"),
            _ => ("calm", "○"),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Ask {
    checks: String,
}

pub async fn show(visit: Visit, Query(ask): Query<Ask>) -> Result<Response, Failure> {
    let system: System = visit.get("/system").await?;
    let checks =
        if ask.checks.is_empty() { None } else { Some(visit.get::<List<Check>>("/system/checks").await?.items) };
    let page = Page { frame: &visit.frame, tabs: TABS, tab: "system", system, checks };
    Ok(html(&visit.frame, page.render()))
}
