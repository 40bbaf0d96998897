//! How the installation fares: what it is, what is owed and under way, and what `doctor` finds.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::answer::Answer;
use super::problem::Problem;
use super::views::endpoint::lane_state;
use crate::doctor;
use crate::domain::check::Check;
use crate::domain::clock::Timestamp;
use crate::domain::id::NodeId;
use crate::store::Dialect;

/// What of the configuration is told.
pub struct Installation {
    pub retention_days: u64,
    pub started_at: Timestamp,
    /// What `doctor` looks at.
    pub subject: doctor::Subject,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "System")]
pub struct SystemView {
    version: &'static str,
    #[schemars(extend("enum" = ["sqlite", "postgres"]))]
    database: &'static str,
    public_url: String,
    /// Of the process that answers.
    node_id: NodeId,
    started_at: Timestamp,
    /// Processes that share the database.
    nodes: u64,
    retention_days: u64,
    /// Why changes by date do not go by the clock just now.
    clock_doubt: Option<String>,
    deliveries: DeliveriesView,
    /// Endpoints by how they stand.
    endpoints: BTreeMap<&'static str, u64>,
    /// Open runs by their state.
    runs: BTreeMap<&'static str, u64>,
}

/// What is pending, counted up to 100,000.
#[derive(Serialize, JsonSchema)]
struct DeliveriesView {
    pending: u64,
    /// Of those: recovered or replayed.
    behind: u64,
    oldest_at: Option<Timestamp>,
}

pub async fn show(State(api): State<Shared>) -> Answer<Json<SystemView>> {
    let overview =
        api.look().await.ok_or_else(|| Problem::busy("the database did not answer; try again in a moment"))?;
    let now = api.registry.clock().now();
    let mut endpoints = BTreeMap::new();
    for (state, health) in &overview.lanes {
        *endpoints.entry(lane_state(*state, health, now).0).or_default() += 1;
    }
    let sum = |count: fn(&crate::store::overview::Backlog) -> u64| overview.backlogs.iter().map(count).sum::<u64>();
    let behind = sum(|backlog| backlog.behind);
    let oldest = overview.backlogs.iter().filter_map(|backlog| backlog.oldest).min();
    let dialect = api.registry.db().dialect();
    Ok(Json(SystemView {
        version: env!("CARGO_PKG_VERSION"),
        database: if dialect == Dialect::Sqlite { "sqlite" } else { "postgres" },
        public_url: api.public_url.clone(),
        node_id: api.registry.node_id(),
        started_at: api.installation.started_at,
        nodes: overview.nodes.max(1),
        retention_days: api.installation.retention_days,
        clock_doubt: api.registry.clock_doubt().map(|doubt| {
            format!("the clock went from {} to {}, which is not believed for a while", doubt.before, doubt.after)
        }),
        deliveries: DeliveriesView {
            pending: sum(|backlog| backlog.live) + behind,
            behind,
            oldest_at: oldest.map(|id| id.made_at()),
        },
        endpoints,
        runs: overview.runs.iter().map(|(state, count)| (state.as_str(), *count)).collect(),
    }))
}

/// What is found, in the order in which it is best mended.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Checks")]
pub struct ChecksView {
    items: Vec<Check>,
    /// There is no second page.
    next: Option<String>,
}

/// The same as `bellwether doctor`, from where the server stands. Nothing is changed, and no receiver is sent anything.
pub async fn checks(State(api): State<Shared>) -> Answer<Json<ChecksView>> {
    let items = doctor::examine(api.installation.subject.clone()).await;
    Ok(Json(ChecksView { items, next: None }))
}
