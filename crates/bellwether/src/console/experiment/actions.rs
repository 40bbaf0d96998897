//! What moves an experiment from status to status, and what puts it away. Each asks the API for just that, at the version that
//! the page showed.

use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

use crate::console::failure::Failure;
use crate::console::form::Fields;
use crate::console::page::escaped;
use crate::console::visit::Visit;

async fn act(
    visit: &Visit,
    id: &str,
    action: &str,
    body: Value,
    fields: &Fields,
    said: &str,
) -> Result<Response, Failure> {
    let path = format!("/experiments/{}/{action}", escaped(id));
    let outcome: Result<Value, _> = visit.send_at(Method::POST, &path, body, &fields.text("version")).await;
    let warnings = outcome.as_ref().ok().and_then(|shown| shown["warnings"].as_array().cloned()).unwrap_or_default();
    let warnings: String =
        warnings.iter().filter_map(Value::as_str).map(|warning| format!(" Mind: {warning}.")).collect();
    visit.told(&format!("../{}", escaped(id)), outcome, format!("{said}{warnings}"))
}

pub async fn start(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    act(&visit, &id, "start", json!({}), &fields, "The experiment runs now; experiment.status.updated is on its way.")
        .await
}

pub async fn reopen(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    act(
        &visit,
        &id,
        "reopen",
        json!({}),
        &fields,
        "The decision is taken back; experiment.status.updated is on its way.",
    )
    .await
}

pub async fn archive(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let is_archived = fields.text("is_archived") == "true";
    let path = format!("/experiments/{}", escaped(&id));
    let edit = json!({ "is_archived": is_archived });
    let outcome: Result<Value, _> = visit.send_at(Method::PATCH, &path, edit, &fields.text("version")).await;
    let said = if is_archived {
        "Put away: lists leave it out unless asked, and nothing happens to it by itself."
    } else {
        "It is back in the lists."
    };
    visit.told(&format!("../{}", escaped(&id)), outcome, said)
}

pub async fn delete(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let path = format!("/experiments/{}", escaped(&id));
    let outcome: Result<Value, _> = visit.send_at(Method::DELETE, &path, json!({}), &fields.text("version")).await;
    let place = if outcome.is_ok() { "../../experiments".to_owned() } else { format!("../{}", escaped(&id)) };
    visit.told(&place, outcome, "The experiment is deleted; receivers are told by experiment.status.updated.")
}
