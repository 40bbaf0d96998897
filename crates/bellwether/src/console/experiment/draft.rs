//! A new experiment: its whole configuration as one form.

use askama::Template;
use axum::extract::Query;
use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::configuration::inputs::{PLAN, inputs};
use crate::console::failure::{Failure, Reason};
use crate::console::form::{Fields, Form};
use crate::console::page::{Frame, html_as};
use crate::console::visit::Visit;

const USUAL_ROWS: usize = 3;

#[derive(Template)]
#[template(path = "console/experiment/new.html")]
struct NewPage<'a> {
    frame: &'a Frame,
    form: &'a Form,
    /// What most leave as it is.
    folded: &'static str,
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
    visit.must_write()?;
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
    let page = NewPage { frame: &visit.frame, form: &form, folded: PLAN };
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
            let page = NewPage { frame: &visit.frame, form: &form, folded: PLAN };
            Ok(html_as(form.status(), &visit.frame, page.render()))
        }
    }
}
