//! Keys of the API: which there are, making one, revoking one. A key's text is shown once.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::{ROLES, TABS, delete};
use crate::console::failure::{Failure, Reason};
use crate::console::form::{Fields, Form, Input, Kind, choice, input};
use crate::console::page::{Frame, List, Moment, escaped, filters, html_as};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/administration/keys.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [&'static str; 4],
    tab: &'static str,
    keys: Vec<Key>,
    next: Option<String>,
    form: &'a Form,
    issued: Option<&'a str>,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    name: String,
    role: String,
    created_at: Moment,
    expires_at: Option<Moment>,
    last_used_at: Option<Moment>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct From {
    after: String,
}

fn inputs() -> Vec<Input> {
    vec![
        input("name", "Name", "What it is for, as the history will call it.", Kind::Text),
        input("role", "Role", "", choice(ROLES)),
        input("expires_at", "Expires", "A time like 2027-03-01T00:00:00Z; empty: never.", Kind::Optional),
    ]
}

async fn page(visit: &Visit, after: &str, form: &Form, issued: Option<&str>) -> Result<Response, Failure> {
    let found: List<Key> = visit.get(&format!("/keys?limit=100&after={}", escaped(after))).await?;
    let page = Page { frame: &visit.frame, tabs: TABS, tab: "keys", keys: found.items, next: found.next, form, issued };
    Ok(html_as(form.status(), &visit.frame, page.render()))
}

pub async fn list(visit: Visit, Query(from): Query<From>) -> Result<Response, Failure> {
    page(&visit, &from.after, &Form::of(inputs(), &Value::Null), None).await
}

pub async fn issue(visit: Visit, fields: Fields) -> Result<Response, Failure> {
    let form = Form::filled(inputs(), fields);
    let outcome: Result<Value, Reason> = visit.send(Method::POST, "/keys", form.to_json()).await;
    match outcome {
        Ok(made) => page(&visit, "", &Form::of(inputs(), &Value::Null), made["key"].as_str()).await,
        Err(reason) => page(&visit, "", &form.refused(reason), None).await,
    }
}

pub async fn revoke(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    delete(&visit, "keys", &id, "../../keys", "The key is revoked: nobody gets in with it any more.").await
}
