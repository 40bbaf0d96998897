//! Who changed what of an experiment, the latest first, with what each field was and became.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::Experiment;
use crate::console::failure::Failure;
use crate::console::page::{Frame, Moment, escaped, filters, html};
use crate::console::visit::Visit;
use crate::domain::actor::Actor;
use crate::domain::configuration::FieldChange;

const LONGEST_VALUE: usize = 500;

#[derive(Template)]
#[template(path = "console/experiment/history.html")]
struct Page<'a> {
    frame: &'a Frame,
    tab: &'static str,
    experiment: &'a Experiment,
    entries: Vec<Entry>,
}

/// An entry of a history.
#[derive(Deserialize)]
pub struct Entry {
    pub action: String,
    pub actor: Actor,
    pub occurred_at: Moment,
    #[serde(default)]
    pub changes: Vec<FieldChange>,
    #[serde(default)]
    pub reason: String,
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let experiment = Experiment::of(&visit, &id).await?;
    let mut entries: Vec<Entry> = visit.all(&format!("/experiments/{}/history?", escaped(&id))).await?;
    entries.reverse();
    let page = Page { frame: &visit.frame, tab: "history", experiment: &experiment, entries };
    Ok(html(&visit.frame, page.render()))
}

/// A value as people read it; nothing, where there is none.
pub fn value(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) if text.is_empty() => return None,
        Value::String(text) => text.clone(),
        Value::Bool(is) => if *is { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    };
    Some(match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}
