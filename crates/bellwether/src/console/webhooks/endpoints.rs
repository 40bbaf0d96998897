//! The list of endpoints, with how each fares at a glance.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::TABS;
use super::views::{Delivery, Listed};
use crate::console::failure::Failure;
use crate::console::page::{Frame, List, Moment, escaped, filters, html};
use crate::console::visit::Visit;

/// Deliveries that the share of failures is of.
const LATEST: usize = 100;

#[derive(Template)]
#[template(path = "console/webhooks/endpoints.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [(&'static str, &'static str); 3],
    tab: &'static str,
    rows: Vec<Row>,
    next: Option<String>,
}

impl Page<'_> {
    fn has_pending(&self) -> bool {
        self.rows.iter().filter_map(|row| row.health.as_ref()).any(|health| health.pending > 0)
    }
}

#[derive(Deserialize)]
struct Shown {
    lane: Option<Lane>,
    pending: u64,
    disabled_reason: Option<String>,
}

#[derive(Deserialize)]
pub struct Lane {
    pub is: String,
    pub until: Option<Moment>,
    pub reason: Option<String>,
}

struct Row {
    endpoint: Listed,
    health: Option<Health>,
}

/// How an endpoint fares.
pub struct Health {
    pub lane: Option<Lane>,
    pub pending: u64,
    pub oldest_pending: Option<Moment>,
    pub last_success: Option<Moment>,
    /// Of its latest deliveries that have ended or were tried, those that failed at least once.
    pub failed: usize,
    pub tried: usize,
    pub disabled_reason: Option<String>,
}

impl Health {
    pub async fn of(visit: &Visit, id: &str) -> Result<Self, Failure> {
        let id = escaped(id);
        let shown: Shown = visit.get(&format!("/endpoints/{id}")).await?;
        let latest: List<Delivery> =
            visit.get(&format!("/deliveries?endpoint={id}&newest=true&limit={LATEST}")).await?;
        let oldest: List<Delivery> = visit.get(&format!("/deliveries?endpoint={id}&state=pending&limit=1")).await?;
        let delivered: List<Delivery> =
            visit.get(&format!("/deliveries?endpoint={id}&state=delivered&newest=true&limit=1")).await?;
        // What is owed longest is tried first, and may be older than all of the latest.
        let is_older = |old: &&Delivery| !latest.items.iter().any(|delivery| delivery.id == old.id);
        let tried = || {
            latest
                .items
                .iter()
                .chain(oldest.items.iter().filter(is_older))
                .filter(|delivery| delivery.attempt_count > 0)
        };
        Ok(Self {
            lane: shown.lane,
            pending: shown.pending,
            oldest_pending: oldest.items.first().map(|delivery| delivery.created_at),
            last_success: delivered.items.first().and_then(|delivery| delivery.ended_at),
            failed: tried().filter(|delivery| delivery.failed_attempts() > 0).count(),
            tried: tried().count(),
            disabled_reason: shown.disabled_reason,
        })
    }

    /// Its state's word, and the sign before it.
    pub fn word(&self) -> (&str, String) {
        let is = self.lane.as_ref().map_or("disabled", |lane| lane.is.as_str());
        let sign = match is {
            "sending" => "✓",
            "failing" | "unusable" => "✕",
            "paused" => "‖",
            _ => "○",
        };
        (is, format!("{sign} {is}"))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct From {
    after: String,
}

pub async fn list(visit: Visit, Query(from): Query<From>) -> Result<Response, Failure> {
    let found: List<Listed> = visit.get(&format!("/endpoints?limit=50&after={}", escaped(&from.after))).await?;
    let mut rows = Vec::new();
    for endpoint in found.items {
        let health = if endpoint.unreadable.is_some() { None } else { Some(Health::of(&visit, &endpoint.id).await?) };
        rows.push(Row { endpoint, health });
    }
    let page = Page { frame: &visit.frame, tabs: TABS, tab: "endpoints", rows, next: found.next };
    Ok(html(&visit.frame, page.render()))
}
