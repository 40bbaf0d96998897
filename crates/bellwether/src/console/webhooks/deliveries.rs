//! The list of deliveries: what was sent to whom, what is owed, what failed.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::TABS;
use super::endpoints::Listed;
use crate::console::failure::Failure;
use crate::console::page::{Frame, List, Moment, html};
use crate::console::visit::Visit;

const STATES: [(&str, &str); 5] = [
    ("", "any"),
    ("pending", "pending"),
    ("delivered", "delivered"),
    ("exhausted", "exhausted: given up"),
    ("cancelled", "cancelled"),
];

/// A delivery as the API shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    pub id: String,
    pub event_id: String,
    pub endpoint_id: String,
    pub experiment_id: u64,
    pub revision: i64,
    pub state: String,
    pub reason: Option<String>,
    pub origin: String,
    pub attempt_count: u32,
    pub failure_count: u32,
    pub due_at: Option<Moment>,
    pub created_at: Moment,
    pub ended_at: Option<Moment>,
}

impl Delivery {
    /// The page of something pending looks again every so often: what comes of it is no event.
    pub fn is_pending(&self) -> bool {
        self.state == "pending"
    }

    /// Its colour, which the word says as well.
    pub fn class(&self) -> &str {
        match self.state.as_str() {
            "exhausted" => "bad",
            "pending" if self.failure_count > 0 => "warn",
            state => state,
        }
    }

    pub fn word(&self) -> String {
        match self.state.as_str() {
            "delivered" => "✓ delivered".to_owned(),
            "exhausted" => "✕ exhausted".to_owned(),
            "pending" if self.failure_count > 0 => "↻ to be sent again".to_owned(),
            other => other.to_owned(),
        }
    }
}

#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Filter {
    endpoint: String,
    state: String,
    event: String,
    after: String,
}

impl Filter {
    fn query(&self) -> String {
        let mut pairs =
            vec![("endpoint", &self.endpoint), ("state", &self.state), ("event", &self.event), ("after", &self.after)];
        pairs.retain(|(_, value)| !value.is_empty());
        serde_urlencoded::to_string(pairs).unwrap_or_default()
    }

    /// Lists of other states have an order of their own.
    fn newest(&self) -> &'static str {
        let may_turn = self.event.is_empty() && matches!(self.state.as_str(), "" | "delivered");
        if may_turn { "&newest=true" } else { "" }
    }
}

#[derive(Template)]
#[template(path = "console/webhooks/deliveries.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [(&'static str, &'static str); 3],
    tab: &'static str,
    filter: &'a Filter,
    states: [(&'static str, &'static str); 5],
    endpoints: Vec<(String, String)>,
    deliveries: Vec<Delivery>,
    next: Option<String>,
}

impl Page<'_> {
    fn has_pending(&self) -> bool {
        self.deliveries.iter().any(Delivery::is_pending)
    }

    fn name_of<'b>(&'b self, endpoint: &'b str) -> &'b str {
        self.endpoints.iter().find(|(id, _)| id == endpoint).map_or(endpoint, |(_, name)| name)
    }
}

/// All endpoints, by their descriptions or addresses.
pub async fn endpoints(visit: &Visit) -> Result<Vec<(String, String)>, Failure> {
    let found: List<Listed> = visit.get("/endpoints?limit=250").await?;
    Ok(found.items.into_iter().map(|listed| (listed.id.clone(), listed.name().to_owned())).collect())
}

pub async fn list(visit: Visit, Query(filter): Query<Filter>) -> Result<Response, Failure> {
    let path = format!("/deliveries?limit=100&{}{}", filter.query(), filter.newest());
    let found: List<Delivery> = visit.get(&path).await?;
    let next = found.next.map(|after| Filter { after, ..filter.clone() }.query());
    let page = Page {
        frame: &visit.frame,
        tabs: TABS,
        tab: "deliveries",
        filter: &filter,
        states: STATES,
        endpoints: endpoints(&visit).await?,
        deliveries: found.items,
        next,
    };
    Ok(html(&visit.frame, page.render()))
}
