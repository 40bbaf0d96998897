//! What experiments are made of: metrics, collections, sources, entities, warehouses, schedules, teams. One list page and one
//! form page for all; what each kind's form asks for is in `definitions/inputs.rs`.

pub mod found;
mod inputs;
mod metric;
pub mod rows;
pub mod tables;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::experiment::history::Entry;
use super::failure::{Failure, Reason};
use super::form::{Fields, Form, Rows};
use super::page::{Frame, List, Moment, escaped, filters, html, html_as};
use super::visit::Visit;
use crate::domain::key::Role;

/// A kind of definition, as the API calls it, and as people do.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub path: &'static str,
    pub many: &'static str,
    pub one: &'static str,
    /// Who may change it.
    pub role: Role,
    pub about: &'static str,
}

const fn kind(path: &'static str, many: &'static str, one: &'static str, role: Role, about: &'static str) -> Kind {
    Kind { path, many, one, role, about }
}

const KINDS: [Kind; 8] = [
    kind(
        "metrics",
        "metrics",
        "metric",
        Role::Write,
        "What is measured of each subject, and averaged over a variation.",
    ),
    kind("collections", "collections", "collection", Role::Write, "Metrics that are attached together."),
    kind(
        "fact_sources",
        "fact sources",
        "fact source",
        Role::Admin,
        "What subjects did, as a query: one row, one fact.",
    ),
    kind(
        "assignment_sources",
        "assignment sources",
        "assignment source",
        Role::Admin,
        "Who was assigned to which variation, and when, as a query.",
    ),
    kind("warehouses", "warehouses", "warehouse", Role::Admin, "Where the data lie."),
    kind("entities", "entities", "entity", Role::Write, "What is assigned: users, devices, households."),
    kind("schedules", "schedules", "schedule", Role::Write, "When runs start by themselves."),
    kind("teams", "teams", "team", Role::Write, "Who own experiments, metrics and collections together."),
];

impl Kind {
    fn find(visit: &Visit, path: &str) -> Result<Self, Failure> {
        let found = KINDS.into_iter().find(|kind| kind.path == path);
        found.ok_or_else(|| Reason::not_found().on(&visit.frame))
    }

    fn may_be_changed(&self, frame: &Frame) -> bool {
        frame.may(self.role)
    }
}

/// One in a list.
#[derive(Deserialize)]
struct Row {
    id: String,
    number: i64,
    name: String,
    #[serde(default)]
    description: String,
    updated_at: Moment,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Filter {
    search: String,
    after: String,
}

#[derive(Template)]
#[template(path = "console/definitions/list.html")]
struct ListPage<'a> {
    frame: &'a Frame,
    kinds: [Kind; 8],
    kind: Kind,
    filter: &'a Filter,
    rows: Vec<Row>,
    next: Option<String>,
    /// What is wrong with the filter.
    refused: Option<String>,
}

pub async fn list(visit: Visit, Path(path): Path<String>, Query(filter): Query<Filter>) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, &path)?;
    let given =
        [("search", &filter.search), ("after", &filter.after)].into_iter().filter(|(_, given)| !given.is_empty());
    let query = serde_urlencoded::to_string(given.collect::<Vec<_>>()).unwrap_or_default();
    let found = visit.filtered(&format!("/{}?limit=100&sort=name&{query}", kind.path)).await?;
    let (found, refused): (List<Row>, _) = found.map_or_else(|text| (List::default(), Some(text)), |it| (it, None));
    let page = ListPage {
        frame: &visit.frame,
        kinds: KINDS,
        kind,
        filter: &filter,
        rows: found.items,
        next: found.next,
        refused,
    };
    Ok(html(&visit.frame, page.render()))
}

#[derive(Template)]
#[template(path = "console/definitions/one.html")]
struct FormPage<'a> {
    frame: &'a Frame,
    kinds: [Kind; 8],
    kind: Kind,
    /// `None` of a new one.
    id: Option<&'a str>,
    name: &'a str,
    version: &'a str,
    form: &'a Form,
    history: Vec<Entry>,
}

/// One that is there.
#[derive(Clone, Copy)]
struct Found<'a> {
    id: &'a str,
    stored: &'a Value,
}

impl FormPage<'_> {
    async fn show(
        visit: &Visit,
        kind: Kind,
        found: Option<Found<'_>>,
        form: &Form,
        version: &str,
    ) -> Result<Response, Failure> {
        let history = match found {
            Some(Found { id, .. }) => {
                let path = format!("/{}/{}/history?", kind.path, escaped(id));
                let mut entries: Vec<Entry> = visit.all(&path).await?;
                entries.reverse();
                entries
            }
            None => Vec::new(),
        };
        let id = found.map(|found| found.id);
        // What it is called now, whatever somebody has written.
        let name = found.and_then(|found| found.stored["name"].as_str()).unwrap_or_default();
        let page = FormPage { frame: &visit.frame, kinds: KINDS, kind, id, name, version, form, history };
        Ok(html_as(form.status(), &visit.frame, page.render()))
    }
}

pub async fn new(visit: Visit, Path(path): Path<String>, Query(begin): Query<Value>) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, &path)?;
    let shown = inputs::usual(kind.path, &begin);
    let form = Form::of(inputs::of(&visit, kind.path, Rows::Shown(&shown)).await?, &shown);
    FormPage::show(&visit, kind, None, &form, "").await
}

pub async fn create(visit: Visit, Path(path): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, &path)?;
    let form = Form::filled(inputs::of(&visit, kind.path, Rows::Sent(&fields)).await?, fields);
    let outcome: Result<Value, Reason> =
        visit.send(Method::POST, &format!("/{}", kind.path), inputs::body(kind.path, &form)).await;
    match outcome {
        Ok(made) => {
            let place = format!("../definitions/{}/{}", kind.path, made["id"].as_str().unwrap_or_default());
            Ok(visit.see(&place, format!("The {} is made.", kind.one)))
        }
        Err(reason) => FormPage::show(&visit, kind, None, &form.refused(reason), "").await,
    }
}

pub async fn show(visit: Visit, Path((path, id)): Path<(String, String)>) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, &path)?;
    let shown: Value = visit.get(&format!("/{}/{}", kind.path, escaped(&id))).await?;
    let shown = inputs::shown(kind.path, &shown);
    let form = Form::of(inputs::of(&visit, kind.path, Rows::Shown(&shown)).await?, &shown);
    let found = Found { id: &id, stored: &shown };
    FormPage::show(&visit, kind, Some(found), &form, &shown["version"].to_string()).await
}

pub async fn save(visit: Visit, Path((path, id)): Path<(String, String)>, fields: Fields) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, &path)?;
    let version = fields.text("version");
    let place = format!("/{}/{}", kind.path, escaped(&id));
    let stored: Value = visit.get(&place).await?;
    let form = Form::filled(inputs::of(&visit, kind.path, Rows::Sent(&fields)).await?, fields);
    let form = form.over(&inputs::shown(kind.path, &stored));
    let body = inputs::body(kind.path, &form);
    let outcome: Result<Value, Reason> = visit.send_at(Method::PATCH, &place, body, &version).await;
    match outcome {
        Ok(_) => Ok(visit.see(&escaped(&id), "Saved; what changed stands in the history.")),
        Err(reason) => {
            let version = if reason.is_stale() { stored["version"].to_string() } else { version };
            let found = Found { id: &id, stored: &stored };
            FormPage::show(&visit, kind, Some(found), &form.refused(reason), &version).await
        }
    }
}

pub async fn delete(visit: Visit, Path((path, id)): Path<(String, String)>) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, &path)?;
    let place = format!("/{}/{}", kind.path, escaped(&id));
    let outcome: Result<Value, Reason> =
        visit.send(Method::DELETE, &place, Value::Object(serde_json::Map::new())).await;
    let is_gone = outcome.as_ref().map_or_else(|reason| reason.status == StatusCode::NOT_FOUND, |_| true);
    let back = if is_gone { format!("../../{}", kind.path) } else { format!("../{}", escaped(&id)) };
    visit.told(&back, outcome, format!("The {} is deleted.", kind.one))
}
