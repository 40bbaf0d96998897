//! What the server's own pages are made of: texts that stand in the program, change with it alone, and are sent to a browser once.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::params::IfNoneMatch;

/// Names a text by what it says.
pub fn tag(text: &str) -> String {
    let digest = Sha256::digest(text);
    format!("\"{}\"", digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The text, or that whoever asks has it already.
pub fn answer(is_known: bool, tag: String, content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    if is_known { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, text).into_response() }
}

pub async fn asset(headers: HeaderMap, content_type: &'static str, text: &'static str) -> Response {
    let tag = tag(text);
    answer(IfNoneMatch::of(&headers).names(&tag), tag, content_type, text)
}
