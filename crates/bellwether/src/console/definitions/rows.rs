//! The first rows of a source as its SQL gives them, and what of them cannot be used or may not be meant.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::{KINDS, Kind};
use crate::console::failure::{Failure, FieldProblem, Reason};
use crate::console::page::{Frame, escaped, html};
use crate::console::visit::Visit;

#[derive(Template)]
#[template(path = "console/definitions/rows.html")]
struct Page<'a> {
    frame: &'a Frame,
    kinds: [Kind; 8],
    kind: Kind,
    id: &'a str,
    name: &'a str,
    preview: Option<Preview>,
    failed: Option<String>,
}

#[derive(Deserialize)]
struct Preview {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    problems: Vec<FieldProblem>,
}

#[derive(Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Value,
    #[serde(default)]
    pub why: String,
}

impl Column {
    pub fn kind_in_words(&self) -> String {
        self.kind.as_str().map_or_else(|| self.kind.to_string(), str::to_owned)
    }
}

pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub async fn show(visit: Visit, Path((path, id)): Path<(String, String)>) -> Result<Response, Failure> {
    let kind = Kind::find(&visit, &path)?;
    let source: Value = visit.get(&format!("/{}/{}", kind.path, escaped(&id))).await?;
    let asked = format!("/{}/{}/preview?limit=50", kind.path, escaped(&id));
    let outcome: Result<Preview, Reason> = visit.query(&asked).await;
    let (preview, failed) = match outcome {
        Ok(preview) => (Some(preview), None),
        Err(reason) => (None, Some(reason.in_one())),
    };
    let name = source["name"].as_str().unwrap_or_default();
    let page = Page { frame: &visit.frame, kinds: KINDS, kind, id: &id, name, preview, failed };
    Ok(html(&visit.frame, page.render()))
}
