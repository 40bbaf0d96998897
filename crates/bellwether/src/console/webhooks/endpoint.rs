//! One endpoint: how it fares, its settings, its secret, what is to be done about it; and making one.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::TABS;
use super::endpoints::Health;
use super::settings;
use super::snippets::SNIPPETS;
use super::views::{Attempt, Delivery};
use crate::console::experiment::history::Entry;
use crate::console::failure::{Failure, Reason};
use crate::console::form::{Fields, Form, Rows};
use crate::console::page::{Frame, List, Moment, escaped, filters, html, html_as};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/webhooks/endpoint.html")]
struct Page<'a> {
    frame: &'a Frame,
    tabs: [(&'static str, &'static str); 3],
    tab: &'static str,
    id: &'a str,
    name: &'a str,
    version: &'a str,
    enabled: bool,
    rotation: Option<Rotation>,
    public_key: Option<String>,
    health: Health,
    form: &'a Form,
    failed: Vec<Delivery>,
    recoveries: Vec<Recovery>,
    history: Vec<Entry>,
}

#[derive(Deserialize)]
struct Rotation {
    is: String,
    warning: Option<String>,
}

#[derive(Deserialize)]
struct Recovery {
    id: String,
    kind: String,
    state: String,
    since: Moment,
}

#[derive(Template)]
#[template(path = "console/webhooks/new.html")]
struct NewPage<'a> {
    frame: &'a Frame,
    tabs: [(&'static str, &'static str); 3],
    tab: &'static str,
    form: &'a Form,
}

/// A secret that was made just now.
#[derive(Template)]
#[template(path = "console/webhooks/secret.html")]
struct SecretPage<'a> {
    frame: &'a Frame,
    tabs: [(&'static str, &'static str); 3],
    tab: &'static str,
    id: &'a str,
    secret: &'a str,
    warnings: Vec<&'a str>,
    is_new: bool,
    snippets: &'a [(&'static str, &'static str)],
}

/// What came of a test.
#[derive(Template)]
#[template(path = "console/webhooks/tested.html")]
struct TestedPage<'a> {
    frame: &'a Frame,
    tabs: [(&'static str, &'static str); 3],
    tab: &'static str,
    id: &'a str,
    ping: Ping,
    enabled: bool,
}

#[derive(Deserialize)]
struct Ping {
    is_success: bool,
    attempt: Attempt,
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let shown: Value = visit.get(&format!("/endpoints/{}", escaped(&id))).await?;
    let begun = settings::shown(&shown);
    let form = Form::of(settings::inputs(&visit, Rows::Shown(&begun)).await?, &begun);
    page(&visit, &id, &shown, &form).await
}

async fn page(visit: &Visit, id: &str, shown: &Value, form: &Form) -> Result<Response, Failure> {
    let place = escaped(id);
    let failed: List<Delivery> = visit.get(&format!("/deliveries?endpoint={place}&state=exhausted&limit=10")).await?;
    let mut recoveries: Vec<Recovery> = visit.all(&format!("/endpoints/{place}/recoveries?")).await?;
    recoveries.reverse();
    recoveries.truncate(20);
    let mut history: Vec<Entry> = visit.all(&format!("/endpoints/{place}/history?")).await?;
    history.reverse();
    let text = |field: &str| shown[field].as_str().unwrap_or_default();
    let page = Page {
        frame: &visit.frame,
        tabs: TABS,
        tab: "endpoints",
        id,
        name: if text("description").is_empty() { text("url") } else { text("description") },
        version: &shown["version"].to_string(),
        enabled: shown["enabled"] == true,
        rotation: serde_json::from_value(shown["rotation"].clone()).ok(),
        public_key: shown["public_key"].as_str().map(str::to_owned),
        health: Health::of(visit, id).await?,
        form,
        failed: failed.items,
        recoveries,
        history,
    };
    Ok(html_as(form.status(), &visit.frame, page.render()))
}

pub async fn save(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let version = fields.text("version");
    let path = format!("/endpoints/{}", escaped(&id));
    let mut stored: Value = visit.get(&path).await?;
    let form = Form::filled(settings::inputs(&visit, Rows::Sent(&fields)).await?, fields);
    let form = form.over(&settings::shown(&stored));
    let outcome: Result<Value, Reason> = match settings::body(&form) {
        Ok(body) => visit.send_at(Method::PATCH, &path, body, &version).await,
        Err(reason) => Err(reason),
    };
    match outcome {
        Ok(_) => Ok(visit.see(&escaped(&id), "Saved; what changed stands in the history.")),
        Err(reason) => {
            // What was read is saved over another's edit only knowingly.
            if !reason.is_stale() {
                stored["version"] = serde_json::from_str(&version).unwrap_or_default();
            }
            page(&visit, &id, &stored, &form.refused(reason)).await
        }
    }
}

pub async fn new(visit: Visit) -> Result<Response, Failure> {
    visit.must_write()?;
    let usual = settings::usual();
    let mut inputs = settings::inputs(&visit, Rows::Shown(&usual)).await?;
    inputs.push(settings::secret());
    let form = Form::of(inputs, &usual);
    Ok(html(&visit.frame, new_page(&visit, &form).render()))
}

fn new_page<'a>(visit: &'a Visit, form: &'a Form) -> NewPage<'a> {
    NewPage { frame: &visit.frame, tabs: TABS, tab: "endpoints", form }
}

/// It is made disabled: what is sent first is a test.
pub async fn create(visit: Visit, fields: Fields) -> Result<Response, Failure> {
    let mut inputs = settings::inputs(&visit, Rows::Sent(&fields)).await?;
    inputs.push(settings::secret());
    let form = Form::filled(inputs, fields);
    let outcome: Result<Value, Reason> = match settings::body(&form) {
        Ok(mut body) => {
            body["enabled"] = json!(false);
            if body["secret"].is_null() {
                body.as_object_mut().map(|fields| fields.shift_remove("secret"));
            }
            visit.send(Method::POST, "/endpoints", body).await
        }
        Err(reason) => Err(reason),
    };
    match outcome {
        Ok(made) => Ok(secret_page(&visit, &made, true)),
        Err(reason) => {
            let form = form.refused(reason);
            Ok(html_as(form.status(), &visit.frame, new_page(&visit, &form).render()))
        }
    }
}

/// Shows a secret, this once.
pub fn secret_page(visit: &Visit, made: &Value, is_new: bool) -> Response {
    let text = |field: &str| made[field].as_str().unwrap_or_default();
    let page = SecretPage {
        frame: &visit.frame,
        tabs: TABS,
        tab: "endpoints",
        id: text("id"),
        secret: text("secret"),
        warnings: made["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        is_new,
        snippets: &SNIPPETS,
    };
    html(&visit.frame, page.render())
}

/// Sends a ping, and enables the endpoint if that was asked for and the ping was answered.
pub async fn test(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let path = format!("/endpoints/{}", escaped(&id));
    let outcome: Result<Ping, Reason> = visit.send(Method::POST, &format!("{path}/test"), json!({})).await;
    let ping = match outcome {
        Ok(ping) => ping,
        Err(reason) => return visit.told::<Value>(&format!("../{}", escaped(&id)), Err(reason), ""),
    };
    if ping.is_success && fields.is_on("enable") {
        let enable = json!({ "from": "now" });
        let outcome: Result<Value, Reason> = visit.send(Method::POST, &format!("{path}/enable"), enable).await;
        if let Err(reason) = outcome {
            return visit.told::<Value>(&format!("../{}", escaped(&id)), Err(reason), "");
        }
    }
    let shown: Value = visit.get(&path).await?;
    let page = TestedPage {
        frame: &visit.frame,
        tabs: TABS,
        tab: "endpoints",
        id: &id,
        ping,
        enabled: shown["enabled"] == true,
    };
    Ok(html(&visit.frame, page.render()))
}
