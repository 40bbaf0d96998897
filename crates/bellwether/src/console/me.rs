//! The visitor's own page: who they are here, and where they are logged in.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::{Failure, Reason};
use super::page::{Frame, List, Moment, escaped, html};
use super::visit::Visit;

#[derive(Template)]
#[template(path = "console/me.html")]
struct Page<'a> {
    frame: &'a Frame,
    name: &'a str,
    role: &'a str,
    own: Option<String>,
    sessions: Vec<Session>,
}

/// A browser that somebody is logged in with.
#[derive(Deserialize)]
pub struct Session {
    pub id: String,
    pub client: String,
    pub last_used_at: Moment,
    pub expires_at: Moment,
}

impl Session {
    fn is(&self, id: Option<&str>) -> bool {
        id == Some(self.id.as_str())
    }
}

#[derive(Deserialize)]
struct Me {
    session_id: Option<String>,
}

pub async fn show(visit: Visit) -> Result<Response, Failure> {
    let me: Me = visit.get("/me").await?;
    let sessions: List<Session> = visit.get("/sessions?limit=250").await?;
    let (name, role) = visit.frame.visitor.as_ref().map_or(("", ""), |(name, role)| (name, role.as_str()));
    let page = Page { frame: &visit.frame, name, role, own: me.session_id, sessions: sessions.items };
    Ok(html(&visit.frame, page.render()))
}

pub async fn end(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let outcome: Result<Value, Reason> =
        visit.send(Method::DELETE, &format!("/sessions/{}", escaped(&id)), json!({})).await;
    visit.told("../../../me", outcome, "The session is ended.")
}
