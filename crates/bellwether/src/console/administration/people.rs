//! People and their sessions: who there is, inviting one, another role, a link that lets one in, putting one out.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ROLES, TABS, delete};
use crate::console::failure::{Failure, Reason};
use crate::console::form::{Fields, Form, Input, Kind, choice, input};
use crate::console::me::Session;
use crate::console::page::{Frame, List, Moment, escaped, filters, html_as};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/administration/people.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [&'static str; 4],
    tab: &'static str,
    people: Vec<Person>,
    next: Option<String>,
    form: &'a Form,
    link: Option<Link>,
}

#[derive(Deserialize)]
struct Person {
    id: String,
    name: String,
    role: String,
    created_at: Moment,
    #[serde(default)]
    sessions: Vec<Session>,
}

impl Person {
    fn has(&self, role: &str) -> bool {
        self.role == role
    }
}

/// A link that was made just now.
#[derive(Deserialize)]
struct Link {
    url: String,
    expires_at: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct From {
    after: String,
}

fn inputs() -> Vec<Input> {
    vec![input("name", "Name", "As the history will call them.", Kind::Text), input("role", "Role", "", choice(ROLES))]
}

async fn page(visit: &Visit, after: &str, form: &Form, link: Option<Link>) -> Result<Response, Failure> {
    if !visit.frame.may_admin() {
        return Err(Reason::forbidden("admin").on(&visit.frame));
    }
    let found: List<Person> = visit.get(&format!("/people?limit=50&sort=name&after={}", escaped(after))).await?;
    let mut people = found.items;
    for person in &mut people {
        let sessions: List<Session> =
            visit.get(&format!("/sessions?limit=20&person_id={}", escaped(&person.id))).await?;
        person.sessions = sessions.items;
    }
    let page = Page { frame: &visit.frame, tabs: TABS, tab: "people", people, next: found.next, form, link };
    Ok(html_as(form.status(), &visit.frame, page.render()))
}

pub async fn list(visit: Visit, Query(from): Query<From>) -> Result<Response, Failure> {
    page(&visit, &from.after, &Form::of(inputs(), &Value::Null), None).await
}

/// Makes a person, and the link that lets them in.
pub async fn invite(visit: Visit, fields: Fields) -> Result<Response, Failure> {
    let form = Form::filled(inputs(), fields);
    let outcome: Result<Value, Reason> = visit.send(Method::POST, "/people", form.to_json()).await;
    match outcome {
        Ok(made) => with_link(&visit, made["id"].as_str().unwrap_or_default()).await,
        Err(reason) => page(&visit, "", &form.refused(reason), None).await,
    }
}

async fn with_link(visit: &Visit, id: &str) -> Result<Response, Failure> {
    let path = format!("/people/{}/login_links", escaped(id));
    let outcome: Result<Link, Reason> = visit.send(Method::POST, &path, json!({})).await;
    let form = Form::of(inputs(), &Value::Null);
    match outcome {
        Ok(link) => page(visit, "", &form, Some(link)).await,
        Err(reason) => page(visit, "", &form.refused(reason), None).await,
    }
}

pub async fn change(
    visit: Visit,
    Path((id, action)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Failure> {
    const BACK: &str = "../../people";
    match action.as_str() {
        "link" => with_link(&visit, &id).await,
        "role" => {
            let body = json!({ "role": fields.text("role") });
            let outcome: Result<Value, Reason> =
                visit.send(Method::PATCH, &format!("/people/{}", escaped(&id)), body).await;
            visit.told(BACK, outcome, "The role counts at once.")
        }
        "delete" => delete(&visit, "people", &id, BACK, "They are out, with all their sessions.").await,
        "end" => delete(&visit, "sessions", &fields.text("session_id"), BACK, "The session is ended.").await,
        _ => Err(Reason::not_found().on(&visit.frame)),
    }
}
