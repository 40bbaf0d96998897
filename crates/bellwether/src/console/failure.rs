//! What could not be shown or done, told kindly: why, and what to do.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::page::{Frame, html_as};

/// Why the API did not do what was asked.
#[derive(Debug, Clone)]
pub struct Reason {
    pub status: StatusCode,
    pub detail: String,
    pub errors: Vec<FieldProblem>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct FieldProblem {
    pub field: String,
    pub message: String,
}

impl Reason {
    /// What was read was changed meanwhile.
    pub fn is_stale(&self) -> bool {
        self.status == StatusCode::PRECONDITION_FAILED
    }

    pub fn forbidden(role: &str) -> Self {
        let detail = format!("this needs the role '{role}'; ask an admin for it");
        Self { status: StatusCode::FORBIDDEN, detail, errors: Vec::new() }
    }

    /// What is wrong with a form that cannot be put as the API's JSON, so that the API could not say it.
    pub fn invalid(field: String, message: String) -> Self {
        let errors = vec![FieldProblem { field, message }];
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail: String::new(), errors }
    }

    pub fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, detail: "there is nothing of this name".to_owned(), errors: Vec::new() }
    }

    /// The console's own fault.
    pub fn failed(reason: &str) -> Self {
        tracing::error!(reason, "a page of the console cannot be made");
        let detail = "the server failed to make this page; its log says why".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, detail, errors: Vec::new() }
    }

    /// All of it in one line.
    pub fn in_one(&self) -> String {
        if self.errors.is_empty() {
            return self.detail.clone();
        }
        let each: Vec<_> = self.errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
        each.join("; ")
    }

    pub fn on(self, frame: &Frame) -> Failure {
        Failure { reason: self, frame: Box::new(frame.clone()) }
    }
}

/// The same as a page.
#[derive(Debug)]
pub struct Failure {
    reason: Reason,
    frame: Box<Frame>,
}

#[derive(Template)]
#[template(path = "console/failure.html")]
struct Page<'a> {
    frame: &'a Frame,
    title: &'static str,
    detail: &'a str,
    is_login: bool,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { reason, frame } = self;
        let title = match reason.status {
            StatusCode::UNAUTHORIZED => "You are not logged in",
            StatusCode::FORBIDDEN => "Your role does not reach this",
            StatusCode::NOT_FOUND => "There is no such page",
            StatusCode::SERVICE_UNAVAILABLE => "Not just now",
            _ => "That did not work",
        };
        let is_login = reason.status == StatusCode::UNAUTHORIZED;
        let page = Page { frame: &frame, title, detail: &reason.in_one(), is_login }.render();
        html_as(reason.status, &frame, page)
    }
}
