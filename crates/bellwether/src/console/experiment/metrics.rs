//! The metrics of an experiment: what is attached, alone or by a collection, and what is set for each.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use bellwether_webhook::EventType;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Experiment, recipients};
use crate::console::choices::named;
use crate::console::failure::{Failure, Reason};
use crate::console::form::{Fields, Kind};
use crate::console::page::{Frame, escaped, html};
use crate::console::visit::Visit;
use crate::domain::figure::percent;

#[derive(Template)]
#[template(path = "console/experiment/metrics.html")]
struct Page<'a> {
    frame: &'a Frame,
    tab: &'static str,
    experiment: &'a Experiment,
    attached: Attached<Metric>,
    metrics: Vec<(String, String)>,
    collections: Vec<(String, String)>,
    /// Of what comes and goes, and of what is set.
    recipients: [String; 2],
}

#[derive(Deserialize)]
pub struct Attached<T> {
    pub items: Vec<T>,
    collections: Vec<Group>,
}

#[derive(Deserialize)]
struct Metric {
    metric_id: String,
    name: String,
    group_id: Option<String>,
    is_primary: bool,
    is_guardrail: bool,
    guardrail_cutoff: Option<f64>,
    minimum_detectable_effect: Option<f64>,
}

impl Metric {
    fn cutoff(&self) -> Option<String> {
        self.guardrail_cutoff.map(|cutoff| percent(cutoff, cutoff))
    }

    fn effect(&self) -> Option<String> {
        self.minimum_detectable_effect.map(|effect| percent(effect, effect))
    }
}

#[derive(Deserialize)]
struct Group {
    id: String,
    name: String,
}

impl Attached<Metric> {
    fn group_of(&self, metric: &Metric) -> Option<&Group> {
        self.collections.iter().find(|group| Some(&group.id) == metric.group_id.as_ref())
    }

    /// Whether the same metric is attached alone, too: what is set for it is set on that one.
    fn is_set_elsewhere(&self, metric: &Metric) -> bool {
        let is_alone = |other: &Metric| other.group_id.is_none() && other.metric_id == metric.metric_id;
        metric.group_id.is_some() && self.items.iter().any(is_alone)
    }
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let experiment = Experiment::of(&visit, &id).await?;
    let attached: Attached<Metric> = visit.get(&format!("/experiments/{}/metrics", escaped(&id))).await?;
    let pairs = |kind: Kind| if let Kind::Choice(pairs) = kind { pairs.to_vec() } else { Vec::new() };
    let mut metrics = pairs(named(&visit, "metrics", "choose").await?);
    metrics.retain(|(id, _)| !attached.items.iter().any(|metric| metric.metric_id == *id));
    let page = Page {
        frame: &visit.frame,
        tab: "metrics",
        experiment: &experiment,
        metrics,
        collections: pairs(named(&visit, "collections", "choose").await?),
        recipients: [
            recipients::of(&visit, &experiment, EventType::MetricUpdated).await?,
            recipients::of(&visit, &experiment, EventType::ConfigurationUpdated).await?,
        ],
        attached,
    };
    Ok(html(&visit.frame, page.render()))
}

/// Attaches, detaches, or sets something, by which button was pressed; all of them are commands of the API.
pub async fn change(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let base = format!("/experiments/{}", escaped(&id));
    let metric = escaped(&fields.text("metric_id"));
    let (method, path, body, said) = match fields.given("action").unwrap_or_default() {
        "attach" => {
            let body = json!({
                "metric_id": fields.text("metric_id"), "is_primary": fields.is_on("is_primary"),
                "is_guardrail": fields.is_on("is_guardrail"),
            });
            (Method::POST, format!("{base}/metrics"), body, "The metric is attached.")
        }
        "attach_collection" => {
            let body = json!({ "collection_id": fields.text("collection_id") });
            (Method::POST, format!("{base}/collections"), body, "The collection's metrics are attached.")
        }
        "detach" => (Method::DELETE, format!("{base}/metrics/{metric}"), json!({}), "The metric is detached."),
        "detach_group" => {
            let group = escaped(&fields.text("group_id"));
            (Method::DELETE, format!("{base}/collections/{group}"), json!({}), "The collection is detached.")
        }
        "guardrail" => {
            let body = json!({ "is_guardrail": fields.text("is_guardrail") == "true" });
            (Method::PATCH, format!("{base}/metrics/{metric}"), body, "It is set.")
        }
        "primary" => (
            Method::PATCH,
            format!("{base}/metrics/{metric}"),
            json!({ "is_primary": true }),
            "It is the primary metric now.",
        ),
        _ => return Err(Reason::not_found().on(&visit.frame)),
    };
    let outcome: Result<Value, _> = visit.send(method, &path, body).await;
    visit.told("metrics", outcome, said)
}
