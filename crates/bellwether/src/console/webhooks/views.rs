//! What the API answers about endpoints and deliveries, as pages read it.

use serde::Deserialize;

use crate::console::failure::Failure;
use crate::console::page::{List, Moment};
use crate::console::visit::Visit;

/// An endpoint as the API lists it.
#[derive(Deserialize)]
pub struct Listed {
    pub id: String,
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub format: String,
    pub unreadable: Option<String>,
}

impl Listed {
    /// What people call it.
    pub fn name(&self) -> &str {
        [&self.description, &self.url, &self.id].into_iter().find(|text| !text.is_empty()).map_or("", String::as_str)
    }
}

/// All endpoints, by their descriptions or addresses.
pub async fn endpoints(visit: &Visit) -> Result<Vec<(String, String)>, Failure> {
    let found: List<Listed> = visit.get("/endpoints?limit=250").await?;
    Ok(found.items.into_iter().map(|listed| (listed.id.clone(), listed.name().to_owned())).collect())
}

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
    /// All but the one that was accepted.
    pub fn failed_attempts(&self) -> u32 {
        self.attempt_count.saturating_sub(u32::from(self.state == "delivered"))
    }

    pub fn class(&self) -> &str {
        match self.state.as_str() {
            "exhausted" => "bad",
            "pending" if self.failed_attempts() > 0 => "warn",
            state => state,
        }
    }

    pub fn word(&self) -> String {
        match self.state.as_str() {
            "delivered" => "✓ delivered".to_owned(),
            "exhausted" => "✕ exhausted".to_owned(),
            "pending" if self.failed_attempts() > 0 => "↻ to be sent again".to_owned(),
            other => other.to_owned(),
        }
    }
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

/// What became of an event for an endpoint.
#[derive(Deserialize)]
pub struct Why {
    pub endpoint_id: String,
    pub detail: String,
    pub deliveries: Vec<Delivery>,
}
