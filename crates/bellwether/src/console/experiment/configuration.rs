//! The configuration of an experiment as a form: of a new one, and of one that is there.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use bellwether_webhook::EventType;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Experiment, recipients};
use crate::console::failure::{Failure, Reason};
use crate::console::form::{Fields, Form, Input, Kind, choice, input};
use crate::console::page::{Frame, escaped, html_as};
use crate::console::visit::Visit;

/// Rows for variations beyond those that there are.
const MORE_ROWS: usize = 2;
const USUAL_ROWS: usize = 3;

#[derive(Template)]
#[template(path = "console/experiment/configuration.html")]
struct EditPage<'a> {
    frame: &'a Frame,
    tab: &'static str,
    experiment: &'a Experiment,
    form: &'a Form,
    version: &'a str,
    recipients: &'a str,
}

#[derive(Template)]
#[template(path = "console/experiment/new.html")]
struct NewPage<'a> {
    frame: &'a Frame,
    form: &'a Form,
}

/// Something that has a name.
#[derive(Deserialize)]
pub struct Named {
    pub id: String,
    pub name: String,
}

/// All definitions of a kind, to choose one of.
pub async fn named(visit: &Visit, path: &str, nothing: &str) -> Result<Kind, Failure> {
    let found: Vec<Named> = visit.all(&format!("/{path}?sort=name")).await?;
    let first = [(String::new(), nothing.to_owned())];
    let each = found.into_iter().map(|named| (named.id, named.name));
    Ok(Kind::Choice(first.into_iter().chain(each).collect()))
}

async fn inputs(visit: &Visit, variations: usize) -> Result<Vec<Input>, Failure> {
    let entities = named(visit, "entities", "none yet").await?;
    let sources = named(visit, "assignment_sources", "none yet").await?;
    let entry_points = named(visit, "fact_sources", "the assignment itself").await?;
    let schedules = named(visit, "schedules", "the usual one").await?;
    let teams = named(visit, "teams", "none").await?;
    let mut inputs = vec![
        input("name", "Name", "", Kind::Text),
        input("key", "Key", "As the assignments name it.", Kind::Text),
        input("hypothesis", "Hypothesis", "", Kind::Long),
        input("owner", "Owner", "", Kind::Text),
        input("team_id", "Team", "", teams),
        input("tags", "Tags", "Each on a line of its own.", Kind::Lines),
        input("entity_id", "Entity", "What is assigned: users, devices, households.", entities),
        input("assignment_source_id", "Assignment source", "", sources),
        input(
            "entry_point.fact_source_id",
            "Subjects count from",
            "Their first row in a fact source, where that is not the assignment.",
            entry_points,
        ),
        input(
            "traffic_allocation",
            "Traffic allocation",
            "The share of subjects that take part: above 0 and at most 1.",
            Kind::Number,
        ),
        input(
            "assignments_start_date",
            "Assignments start",
            "A day like 2026-03-01, or a time like 2026-03-01T09:30:00Z.",
            Kind::Optional,
        ),
        input("assignments_end_date", "Assignments end", "A bare day is included whole.", Kind::Optional),
        input("events_end_date", "Facts end", "", Kind::Optional),
        input("schedule_id", "Schedule of runs", "", schedules),
    ];
    for i in 0..variations {
        inputs.push(input(format!("variations[{i}].key"), "Key", "", Kind::Text));
        inputs.push(input(format!("variations[{i}].name"), "Name", "", Kind::Text));
        inputs.push(input(format!("variations[{i}].weight"), "Weight", "", Kind::Number));
        inputs.push(input(format!("variations[{i}].is_control"), "control", "", Kind::Flag));
        inputs.push(input(format!("variations[{i}].is_active"), "active", "", Kind::Flag));
    }
    inputs.extend(plan());
    Ok(inputs)
}

fn plan() -> Vec<Input> {
    let methods = choice([
        ("fixed", "fixed: valid once, at the end"),
        ("sequential", "sequential: valid at every look"),
        ("bayesian", "Bayesian: the lift as a distribution"),
    ]);
    let corrections = choice([("none", "none"), ("preferential_bonferroni", "preferential Bonferroni")]);
    vec![
        input("analysis_plan.method", "Method", "", methods),
        input("analysis_plan.confidence_level", "Confidence level", "Between 0.5 and 0.9999.", Kind::Number),
        input("analysis_plan.correction", "Correction for many comparisons", "", corrections),
        input("analysis_plan.primary_weight", "The primary metric's share in it", "", Kind::Number),
        input(
            "analysis_plan.prior_sd",
            "Standard deviation of the prior",
            "Of the lift, before anything was seen; Bayesian only.",
            Kind::Number,
        ),
        input("analysis_plan.cuped", "CUPED: take out the noise that is known from before", "", Kind::Flag),
        input("analysis_plan.minimum_days", "At least so many days", "", Kind::Number),
        input("analysis_plan.minimum_subjects", "At least so many subjects", "", Kind::Number),
        input(
            "analysis_plan.precision",
            "Enough is known at this half width",
            "Of the interval around the lift, like 0.02.",
            Kind::Number,
        ),
    ]
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let mut shown: Value = visit.get(&format!("/experiments/{}", escaped(&id))).await?;
    let version = shown["version"].to_string();
    let mut count = 0;
    if let Some(variations) = shown["variations"].as_array_mut() {
        // Whoever adds one means to use it.
        variations.extend(std::iter::repeat_n(json!({ "is_active": true }), MORE_ROWS));
        count = variations.len();
    }
    let form = Form::of(inputs(&visit, count).await?, &shown);
    edit_page(&visit, &id, &form, &version).await
}

async fn edit_page(visit: &Visit, id: &str, form: &Form, version: &str) -> Result<Response, Failure> {
    let experiment = Experiment::of(visit, id).await?;
    let recipients = recipients::of(visit, &experiment, EventType::ConfigurationUpdated).await?;
    let page = EditPage {
        frame: &visit.frame,
        tab: "configuration",
        experiment: &experiment,
        form,
        version,
        recipients: &recipients,
    };
    Ok(html_as(form.status(), &visit.frame, page.render()))
}

pub async fn save(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let version = fields.text("version");
    let count = fields.rows("variations");
    let form = Form::filled(inputs(&visit, count).await?, fields);
    let path = format!("/experiments/{}", escaped(&id));
    let outcome: Result<Value, Reason> = visit.send_at(Method::PATCH, &path, form.to_json(), &version).await;
    match outcome {
        Ok(_) => Ok(visit.see("configuration", "Saved; what changed stands in the history.")),
        Err(reason) if reason.is_stale() => {
            let version = Experiment::of(&visit, &id).await?.version.to_string();
            edit_page(&visit, &id, &form.refused(reason), &version).await
        }
        Err(reason) => edit_page(&visit, &id, &form.refused(reason), &version).await,
    }
}

/// What a new experiment is made of, where it was seen in a source.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Begin {
    key: String,
    source: String,
    entity: String,
}

pub async fn new(visit: Visit, Query(begin): Query<Begin>) -> Result<Response, Failure> {
    let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    let usual = json!({
        "key": text(&begin.key), "name": text(&begin.key), "assignment_source_id": text(&begin.source),
        "entity_id": text(&begin.entity), "traffic_allocation": 1,
        "variations": [
            {"key": "control", "name": "Control", "weight": 1, "is_control": true, "is_active": true},
            {"key": "treatment", "name": "Treatment", "weight": 1, "is_control": false, "is_active": true},
            {"is_active": true},
        ],
        "analysis_plan": {"method": "fixed", "confidence_level": 0.95, "correction": "none", "primary_weight": 0.5, "prior_sd": 0.05},
    });
    let form = Form::of(inputs(&visit, USUAL_ROWS).await?, &usual);
    let page = NewPage { frame: &visit.frame, form: &form };
    Ok(html_as(form.status(), &visit.frame, page.render()))
}

pub async fn create(visit: Visit, fields: Fields) -> Result<Response, Failure> {
    let count = fields.rows("variations");
    let form = Form::filled(inputs(&visit, count).await?, fields);
    let outcome: Result<Value, Reason> = visit.send(Method::POST, "/experiments", form.to_json()).await;
    match outcome {
        Ok(made) => {
            let place = format!("../experiments/{}/metrics", made["id"]);
            Ok(visit.see(&place, "The draft is made. Now choose the metrics that it is judged by."))
        }
        Err(reason) => {
            let form = form.refused(reason);
            let page = NewPage { frame: &visit.frame, form: &form };
            Ok(html_as(form.status(), &visit.frame, page.render()))
        }
    }
}
