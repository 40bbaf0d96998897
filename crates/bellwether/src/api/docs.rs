//! The description of the API for programs (`/api/v1/openapi.json`). It is a text in the program: what it says is made from the
//! handlers by the test in `description`, and checked in as docs/openapi.json.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

use super::Shared;
use super::answer::Document;

pub const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

pub fn routes() -> Router<Shared> {
    Router::new()
}

pub async fn document() -> Document {
    Document
}

static TAG: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(OPENAPI);
    format!("\"{}\"", digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>())
});

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, Self::MEDIA_TYPE), (header::ETAG, TAG.as_str())], OPENAPI).into_response()
    }
}
