//! One delivery: the exact request and answer of each attempt, why it stands where it does, and having it sent again.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;

use super::TABS;
use super::views::{Attempt, Delivery, Why};
use crate::console::failure::Failure;
use crate::console::page::{Frame, escaped, html};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/webhooks/delivery.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [(&'static str, &'static str); 3],
    tab: &'static str,
    shown: Shown,
    why: Option<Why>,
}

#[derive(Deserialize)]
struct Shown {
    #[serde(flatten)]
    delivery: Delivery,
    body: Option<String>,
    attempts: Vec<Attempt>,
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let shown: Shown = visit.get(&format!("/deliveries/{}", escaped(&id))).await?;
    let Delivery { event_id, endpoint_id, .. } = &shown.delivery;
    let why = visit.find(&format!("/events/{event_id}/endpoints/{endpoint_id}")).await?;
    let page = Page { frame: &visit.frame, tabs: TABS, tab: "deliveries", shown, why };
    Ok(html(&visit.frame, page.render()))
}
