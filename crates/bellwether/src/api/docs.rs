//! The description of the API: for programs as it is (`/api/v1/openapi.json`), and for people as a page (`/api/docs`). It is a
//! text in the program, docs/openapi.json; a test in `document` has it say what the handlers' signatures say. Open to all:
//! it tells nothing of what is stored.

mod page;
mod schema;

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Shared;
use super::answer::Document;
use super::assets::{answer, asset, tag};
use super::params::IfNoneMatch;
use super::problem::{Kind, Problem};

pub const OPENAPI: &str = include_str!("../../../../docs/openapi.json");
const STYLE: &str = include_str!("docs/style.css");
const SCRIPT: &str = include_str!("docs/filter.js");
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// The page, and what it is made of.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/docs", get(shown))
        .route("/api/docs/style.css", get(|headers| asset(headers, "text/css; charset=utf-8", STYLE)))
        .route("/api/docs/filter.js", get(|headers| asset(headers, "text/javascript; charset=utf-8", SCRIPT)))
}

static TAG: LazyLock<String> = LazyLock::new(|| tag(OPENAPI));

/// The document for programs.
pub async fn document(known: IfNoneMatch) -> Document {
    Document { is_known: known.names(&TAG) }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        answer(self.is_known, TAG.clone(), Self::MEDIA_TYPE, OPENAPI)
    }
}

/// The same for people; `None` where it cannot be made of the document, which a test rules out.
static PAGE: LazyLock<Option<(String, String)>> = LazyLock::new(|| {
    let page = page::of(OPENAPI).inspect_err(|error| tracing::error!(%error, "the API's page cannot be made")).ok()?;
    Some((tag(&page), page))
});

async fn shown(headers: HeaderMap) -> Response {
    let Some((tag, page)) = PAGE.as_ref() else {
        return Problem::of(Kind::Internal, "the page cannot be made; see /api/v1/openapi.json").into_response();
    };
    let is_known = IfNoneMatch::of(&headers).names(tag);
    let policies = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "no-referrer")];
    (policies, answer(is_known, tag.clone(), "text/html; charset=utf-8", page)).into_response()
}
