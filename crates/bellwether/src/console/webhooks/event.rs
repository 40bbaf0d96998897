//! One event: who changed what, the exact data, and for each endpoint why it was told, was not, or is not yet.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::TABS;
use super::views::{Delivery, Why, endpoints};
use crate::console::experiment::history::Entry;
use crate::console::failure::Failure;
use crate::console::page::{Frame, List, Moment, escaped, filters, html};
use crate::console::visit::Visit;
use crate::domain::sentence::Sentence;

/// Endpoints that the page asks about.
const MOST_ENDPOINTS: usize = 50;

/// An event as the API shows it.
#[derive(Deserialize)]
pub struct Event {
    pub id: String,
    pub event: String,
    pub experiment_id: u64,
    pub revision: i64,
    pub occurred_at: Moment,
    pub data: Box<RawValue>,
}

impl Event {
    /// What happened, in words; of its detailed form.
    pub fn sentence(&self) -> String {
        Sentence::of(&self.event, self.data.get()).to_string()
    }
}

#[derive(Template)]
#[template(path = "console/webhooks/event.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [(&'static str, &'static str); 3],
    tab: &'static str,
    event: Event,
    change: Option<Entry>,
    answers: Vec<(String, Why)>,
    is_cut: bool,
    /// To endpoints that are not among those that the page asks about.
    others: Vec<Delivery>,
}

impl Page<'_> {
    fn has_pending(&self) -> bool {
        let deliveries = self.answers.iter().flat_map(|(_, why)| &why.deliveries);
        deliveries.chain(&self.others).any(Delivery::is_pending)
    }
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let event: Event = visit.get(&format!("/events/{}", escaped(&id))).await?;
    let mut all = endpoints(&visit).await?;
    let is_cut = all.len() > MOST_ENDPOINTS;
    all.truncate(MOST_ENDPOINTS);
    let mut answers = Vec::new();
    for (endpoint, name) in all {
        let why: Option<Why> = visit.find(&format!("/events/{}/endpoints/{endpoint}", escaped(&id))).await?;
        answers.extend(why.map(|why| (name, why)));
    }
    let sent: List<Delivery> = visit.get(&format!("/events/{}/deliveries?limit=250", escaped(&id))).await?;
    let is_other =
        |delivery: &Delivery| !answers.iter().any(|(_, why): &(_, Why)| why.endpoint_id == delivery.endpoint_id);
    let page = Page {
        frame: &visit.frame,
        tabs: TABS,
        tab: "events",
        others: sent.items.into_iter().filter(is_other).collect(),
        change: change_of(&visit, &event).await?,
        event,
        answers,
        is_cut,
    };
    Ok(html(&visit.frame, page.render()))
}

/// The entry of the experiment's history that the event tells of.
async fn change_of(visit: &Visit, event: &Event) -> Result<Option<Entry>, Failure> {
    let before = event.revision - 1;
    let path = format!("/experiments/{}/history?limit=1&after={before}", event.experiment_id);
    let found: Option<List<Entry>> = visit.find(&path).await?;
    Ok(found.and_then(|found| found.items.into_iter().next()))
}
