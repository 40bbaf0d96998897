//! Pages are sent packed to whoever can unpack them: their text repeats itself, so that a tenth of it is left.

use std::io::Write;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt;

/// What is smaller fits into one packet anyway.
const SMALLEST: usize = 1400;

pub async fn pack(request: Request, next: Next) -> Response {
    let is_wanted = accepts_gzip(request.headers());
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_wanted || !kind.starts_with("text/html") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A page is whole before it is sent: reading it cannot fail.
    let content = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    let packed = if content.len() < SMALLEST { None } else { gzip(&content) };
    let Some(packed) = packed else { return Response::from_parts(parts, Body::from(content)) };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Response::from_parts(parts, Body::from(packed))
}

fn gzip(content: &[u8]) -> Option<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::with_capacity(content.len() / 4), Compression::fast());
    packer.write_all(content).ok()?;
    packer.finish().ok()
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|item| {
        let (name, quality) = item.split_once(';').unwrap_or((item, ""));
        let is_none = matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        name.trim().eq_ignore_ascii_case("gzip") && !is_none
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_unpack_is_sent_nothing_packed() {
        let accepts = |given: &str| {
            let value = HeaderValue::from_str(given).unwrap();
            accepts_gzip(&[(header::ACCEPT_ENCODING, value)].into_iter().collect())
        };
        assert!(["gzip", "br, gzip", "deflate, GZIP;q=0.5"].into_iter().all(accepts));
        assert!(!["", "br", "gzip;q=0", "identity, gzip; q=0.0", "xgzip"].into_iter().any(accepts));
    }
}
