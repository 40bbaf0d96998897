//! The configuration of an experiment, to be read and edited where it stands: each section by itself, so that what two people
//! change at once in different ones is kept.

pub mod inputs;

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use bellwether_webhook::EventType;
use serde_json::{Value, json};

use super::{Experiment, recipients};
use crate::console::failure::{Failure, Reason};
use crate::console::form::section::Section;
use crate::console::form::{Fields, Form};
use crate::console::page::{Frame, escaped, html_as};
use crate::console::visit::Visit;

/// Rows for variations beyond those that there are.
const MORE_ROWS: usize = 2;

#[derive(Template)]
#[template(path = "console/experiment/configuration.html")]
struct Page<'a> {
    frame: &'a Frame,
    tab: &'static str,
    experiment: &'a Experiment,
    form: &'a Form,
    /// What is so now, for those who only read.
    stored: &'a Form,
    /// The section that was sent and not taken.
    refused: &'a str,
    version: &'a str,
    recipients: &'a str,
}

impl Page<'_> {
    /// Whether what somebody wrote in it stands there.
    fn is_open(&self, section: &Section<'_>) -> bool {
        section.has_errors || section.number.to_string() == self.refused
    }
}

/// The form with what the API shows, and the version that this is. It has room for so many variations at least.
async fn shown(visit: &Visit, id: &str, rows: usize) -> Result<(Form, String), Failure> {
    let mut shown: Value = visit.get(&format!("/experiments/{}", escaped(id))).await?;
    let mut count = 0;
    if let Some(variations) = shown["variations"].as_array_mut() {
        // Whoever adds one means to use it.
        let more = MORE_ROWS.max(rows.saturating_sub(variations.len()));
        variations.extend(std::iter::repeat_n(json!({ "is_active": true }), more));
        count = variations.len();
    }
    let form = Form::of(inputs::inputs(visit, count).await?, &shown);
    Ok((form, shown["version"].to_string()))
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let (form, version) = shown(&visit, &id, 0).await?;
    page(&visit, &id, (&form, &form), "", &version).await
}

async fn page(
    visit: &Visit,
    id: &str,
    (form, stored): (&Form, &Form),
    refused: &str,
    version: &str,
) -> Result<Response, Failure> {
    let experiment = Experiment::of(visit, id).await?;
    let recipients = recipients::of(visit, &experiment, EventType::ConfigurationUpdated).await?;
    let page = Page {
        frame: &visit.frame,
        tab: "configuration",
        experiment: &experiment,
        form,
        stored,
        refused,
        version,
        recipients: &recipients,
    };
    Ok(html_as(form.status(), &visit.frame, page.render()))
}

/// Saves one section.
pub async fn save(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let (stored, current) = shown(&visit, &id, fields.rows("variations")).await?;
    let (version, section) = (fields.text("version"), fields.text("section"));
    let form = stored.clone().with_section(&section, &fields).ok_or_else(|| Reason::not_found().on(&visit.frame))?;
    let body = form.section_json(&section);
    let path = format!("/experiments/{}", escaped(&id));
    let outcome: Result<Value, Reason> = visit.send_at(Method::PATCH, &path, body, &version).await;
    match outcome {
        Ok(_) => Ok(visit.see("configuration", "Saved; what changed stands in the history.")),
        Err(reason) => {
            let version = if reason.is_stale() { current } else { version };
            page(&visit, &id, (&form.refused(reason), &stored), &section, &version).await
        }
    }
}
