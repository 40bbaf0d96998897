//! One delivery: the exact request and answer of each attempt, why it stands where it does, and having it sent again.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;

use super::TABS;
use super::deliveries::Delivery;
use super::event::Why;
use crate::console::failure::Failure;
use crate::console::page::{Frame, Moment, escaped, html};
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

/// An attempt as the API shows it.
#[derive(Deserialize)]
pub struct Attempt {
    pub number: u32,
    pub started_at: Moment,
    pub duration_us: u64,
    pub status_code: Option<u32>,
    pub error_class: Option<String>,
    pub error: Option<String>,
    pub request_headers: Option<String>,
    pub response_headers: Option<String>,
    pub response_body: Option<String>,
}

impl Attempt {
    pub fn is_success(&self) -> bool {
        self.error_class.is_none()
    }

    /// What came of it, in a few words.
    pub fn outcome(&self) -> String {
        match (self.status_code, &self.error_class) {
            (Some(status), None) => format!("✓ {status}"),
            (Some(status), Some(_)) => format!("✕ {status}"),
            (None, Some(class)) => format!("✕ {}", class.replace('_', " ")),
            (None, None) => "✓".to_owned(),
        }
    }

    pub fn took(&self) -> String {
        format!("{:.0} ms", self.duration_us as f64 / 1000.0)
    }
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let shown: Shown = visit.get(&format!("/deliveries/{}", escaped(&id))).await?;
    let Delivery { event_id, endpoint_id, .. } = &shown.delivery;
    let why = visit.find(&format!("/events/{event_id}/endpoints/{endpoint_id}")).await?;
    let page = Page { frame: &visit.frame, tabs: TABS, tab: "deliveries", shown, why };
    Ok(html(&visit.frame, page.render()))
}
