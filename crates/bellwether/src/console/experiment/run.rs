//! A run: how far it is, what came of it, and every statement that it gave to the warehouse.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Experiment, in_words};
use crate::console::failure::Failure;
use crate::console::page::{Frame, Moment, escaped, filters, html};
use crate::console::visit::Visit;
use crate::domain::actor::Actor;
use crate::domain::id::{ExperimentId, RunId};
use crate::domain::run::{Mode, RunState};
use crate::domain::warning::Warning;

#[derive(Debug, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub experiment_id: ExperimentId,
    pub mode: Mode,
    pub is_manual: bool,
    pub state: RunState,
    pub actor: Actor,
    pub assignments_scan_start_date: String,
    pub assignments_scan_end_date: String,
    pub created_at: Moment,
    pub started_at: Option<Moment>,
    pub ended_at: Option<Moment>,
    pub error: Option<String>,
    pub is_data_updated: bool,
    pub is_traffic_imbalance: bool,
    pub warnings: Vec<Warning>,
    pub progress: Option<Progress>,
    #[serde(default)]
    pub steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
pub struct Progress {
    pub steps_done: u64,
    pub steps_expected: Option<u64>,
    pub step: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Step {
    pub name: String,
    pub sql: String,
    pub rows: Option<u64>,
    pub duration_us: Option<u64>,
    pub error: Option<String>,
}

impl Run {
    pub fn is_open(&self) -> bool {
        !self.state.is_end()
    }

    pub fn state_in_words(&self) -> String {
        let sign = match self.state {
            RunState::Success => "✓ ",
            RunState::Failure => "✕ ",
            _ => "",
        };
        format!("{sign}{}", in_words(self.state.as_str()))
    }

    pub fn took(&self) -> String {
        let span = self.started_at.zip(self.ended_at).map(|(from, to)| to.0.since(from.0).as_secs_f64());
        span.map_or("–".to_owned(), |seconds| format!("{seconds:.1} s"))
    }
}

impl Step {
    fn took(&self) -> String {
        self.duration_us.map_or("–".to_owned(), |took| format!("{:.3} s", took as f64 / 1e6))
    }

    /// Of the longest step, in percent: what its bar in the timeline is as wide as.
    fn share(&self, all: &[Self]) -> String {
        let longest = all.iter().filter_map(|step| step.duration_us).max().unwrap_or(1).max(1);
        format!("{:.1}", self.duration_us.unwrap_or(0) as f64 / longest as f64 * 100.0)
    }
}

#[derive(Template)]
#[template(path = "console/run.html")]
struct Page<'a> {
    frame: &'a Frame,
    experiment: &'a Experiment,
    run: &'a Run,
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let run: Run = visit.get(&format!("/runs/{}", escaped(&id))).await?;
    let experiment = Experiment::of(&visit, &run.experiment_id.to_string()).await?;
    let page = Page { frame: &visit.frame, experiment: &experiment, run: &run };
    Ok(html(&visit.frame, page.render()))
}

pub async fn cancel(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let outcome: Result<Value, _> =
        visit.send(Method::POST, &format!("/runs/{}/cancel", escaped(&id)), json!({})).await;
    visit.told(&format!("../{}", escaped(&id)), outcome, "The run is asked to stop.")
}
