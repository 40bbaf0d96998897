//! The list of deliveries: what was sent to whom, what is owed, what failed.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::TABS;
use super::views::{Delivery, endpoints};
use crate::console::failure::Failure;
use crate::console::page::{Frame, List, html};
use crate::console::visit::Visit;

const STATES: [(&str, &str); 5] = [
    ("", "any"),
    ("pending", "pending"),
    ("delivered", "delivered"),
    ("exhausted", "exhausted: given up"),
    ("cancelled", "cancelled"),
];

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
