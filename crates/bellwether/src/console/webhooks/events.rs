//! The event log, the latest first.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::TABS;
use crate::console::failure::Failure;
use crate::console::page::{Frame, List, html};
use crate::console::visit::Visit;
use crate::console::webhooks::event::Event;

const TYPES: [(&str, &str); 5] = [
    ("", "any"),
    ("experiment.status.updated", "status"),
    ("experiment.configuration.updated", "configuration"),
    ("experiment.metric.updated", "metric"),
    ("experiment.calculated_metrics.updated", "calculated metrics"),
];

#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Filter {
    types: String,
    experiment: String,
    after: String,
}

impl Filter {
    fn query(&self) -> String {
        // The API tells keys from numbers by what stands before them.
        let experiment = match self.experiment.trim() {
            key if key.is_empty() || key.parse::<u64>().is_ok() || key.starts_with("key:") => key.to_owned(),
            key => format!("key:{key}"),
        };
        let mut pairs = vec![("types", &self.types), ("experiment", &experiment), ("after", &self.after)];
        pairs.retain(|(_, value)| !value.is_empty());
        serde_urlencoded::to_string(pairs).unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "console/webhooks/events.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [(&'static str, &'static str); 3],
    tab: &'static str,
    filter: &'a Filter,
    types: [(&'static str, &'static str); 5],
    events: Vec<Event>,
    next: Option<String>,
}

pub async fn list(visit: Visit, Query(filter): Query<Filter>) -> Result<Response, Failure> {
    let path = format!("/events?limit=100&newest=true&format=detailed&{}", filter.query());
    // Of an experiment that is not there, there is no event.
    let found: Option<List<Event>> = visit.find(&path).await?;
    let found = found.unwrap_or_default();
    let next = found.next.map(|after| Filter { after, ..filter.clone() }.query());
    let page = Page {
        frame: &visit.frame,
        tabs: TABS,
        tab: "events",
        filter: &filter,
        types: TYPES,
        events: found.items,
        next,
    };
    Ok(html(&visit.frame, page.render()))
}
