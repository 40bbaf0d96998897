//! What an experiment sets for one of its metrics: whether it decides or guards, and what else than the metric itself says.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use bellwether_webhook::EventType;
use serde_json::Value;

use super::metrics::Attached;
use super::{Experiment, recipients};
use crate::console::aggregation::{timeframe, winsorization};
use crate::console::failure::{Failure, Reason};
use crate::console::form::{Fields, Form, Input, Kind, input};
use crate::console::page::{Frame, escaped, html_as};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/experiment/attachment.html")]
struct Page<'a> {
    frame: &'a Frame,
    tab: &'static str,
    experiment: &'a Experiment,
    name: String,
    form: &'a Form,
    version: &'a str,
    recipients: String,
}

fn inputs() -> Vec<Input> {
    let mut inputs = vec![
        input("is_primary", "primary: it decides", "", Kind::Flag),
        input("is_guardrail", "guardrail: it must not get worse", "", Kind::Flag),
        input(
            "guardrail_cutoff",
            "Breached beyond this lift",
            "Like -0.02. Empty: what the metric says.",
            Kind::Number,
        ),
        input(
            "minimum_detectable_effect",
            "Smallest lift that matters",
            "Relative, like 0.02. Empty: what the metric says.",
            Kind::Number,
        ),
    ];
    inputs.extend(timeframe(""));
    inputs.extend(winsorization(""));
    inputs
}

/// The experiment, and what it sets for the metric.
async fn found(visit: &Visit, id: &str, metric: &str) -> Result<(Experiment, String, Value), Failure> {
    let experiment = Experiment::of(visit, id).await?;
    let attached: Attached<Value> = visit.get(&format!("/experiments/{}/metrics", escaped(id))).await?;
    let found = attached.items.into_iter().find(|item| item["metric_id"] == metric);
    let shown = found.ok_or_else(|| Reason::not_found().on(&visit.frame))?;
    let name = shown["name"].as_str().unwrap_or(metric).to_owned();
    Ok((experiment, name, shown))
}

pub async fn show(visit: Visit, Path((id, metric)): Path<(String, String)>) -> Result<Response, Failure> {
    let (experiment, name, shown) = found(&visit, &id, &metric).await?;
    let version = experiment.version.to_string();
    page(&visit, &experiment, name, &Form::of(inputs(), &shown), &version).await
}

async fn page(
    visit: &Visit,
    experiment: &Experiment,
    name: String,
    form: &Form,
    version: &str,
) -> Result<Response, Failure> {
    let recipients = recipients::of(visit, experiment, EventType::ConfigurationUpdated).await?;
    let page = Page { frame: &visit.frame, tab: "metrics", experiment, name, form, version, recipients };
    Ok(html_as(form.status(), &visit.frame, page.render()))
}

pub async fn save(
    visit: Visit,
    Path((id, metric)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Failure> {
    let (experiment, name, shown) = found(&visit, &id, &metric).await?;
    let version = fields.text("version");
    let form = Form::filled(inputs(), fields).over(&shown);
    let path = format!("/experiments/{}/metrics/{}", escaped(&id), escaped(&metric));
    let outcome: Result<Value, Reason> = visit.send_at(Method::PATCH, &path, form.to_json(), &version).await;
    match outcome {
        Ok(_) => Ok(visit.see("../metrics", format!("Saved what is set for {name}; it stands in the history."))),
        Err(reason) => {
            let version = if reason.is_stale() { experiment.version.to_string() } else { version };
            page(&visit, &experiment, name, &form.refused(reason), &version).await
        }
    }
}
