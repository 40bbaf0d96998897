//! What a form asks for is done once, however often it is sent: by a double click, or by loading the page anew that it led to.
//! Every page has a token of its own in each of its forms; from it and from all that is asked for comes the `Idempotency-Key`
//! that the API knows a repetition by.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use crate::domain::id::Ids;

const FIELD: &str = "form_token";

/// Of the page whose form was sent.
#[derive(Debug, Clone)]
pub struct SentToken(String);

/// Finds the token of a form that was sent, and puts one into the forms of the page that answers it.
pub async fn tell_apart(State(ids): State<Arc<dyn Ids>>, request: Request, next: Next) -> Response {
    let request = match with_token(request).await {
        Ok(request) => request,
        Err(rejection) => return rejection,
    };
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/html") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A page is whole before it is sent: reading it cannot fail.
    let page = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    let token = URL_SAFE_NO_PAD.encode(&ids.secret_bytes()[..16]);
    Response::from_parts(parts, Body::from(put_into(&String::from_utf8_lossy(&page), &token)))
}

async fn with_token(request: Request) -> Result<Request, Response> {
    if request.method() != Method::POST {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    // Within the limit on forms, which the extractor keeps.
    let copy = Request::from_parts(parts.clone(), body);
    let content = Bytes::from_request(copy, &()).await.map_err(IntoResponse::into_response)?;
    let fields: Vec<(Cow<'_, str>, Cow<'_, str>)> = serde_urlencoded::from_bytes(&content).unwrap_or_default();
    if let Some((_, token)) = fields.into_iter().find(|(name, token)| name == FIELD && !token.is_empty()) {
        parts.extensions.insert(SentToken(token.into_owned()));
    }
    Ok(Request::from_parts(parts, Body::from(content)))
}

/// The page with the token in each form that changes something.
fn put_into(page: &str, token: &str) -> String {
    let input = format!("<input type=\"hidden\" name=\"{FIELD}\" value=\"{token}\">");
    let mut told = String::with_capacity(page.len() + 1024);
    let mut rest = page;
    // What people have written has no tags: every `<` of theirs is escaped.
    while let Some(start) = rest.find("<form ") {
        let end = rest[start..].find('>').map_or(rest.len(), |end| start + end + 1);
        told.push_str(&rest[..end]);
        if rest[start..end].contains("method=\"post\"") {
            told.push_str(&input);
        }
        rest = &rest[end..];
    }
    told + rest
}

impl SentToken {
    /// The same for the same request of the API out of the same form, and another for any other.
    pub fn key(&self, method: &Method, path: &str, body: &str) -> Option<HeaderValue> {
        let mut digest = Sha256::new();
        for part in [&self.0, method.as_str(), path, body] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        HeaderValue::from_str(&format!("form-{}", URL_SAFE_NO_PAD.encode(digest.finalize()))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_change_something_have_the_token_and_no_others() {
        let page = put_into("<form role=\"search\">a</form><form method=\"post\" class=\"c\">b</form>x", "t");
        assert_eq!(
            page,
            "<form role=\"search\">a</form><form method=\"post\" class=\"c\">\
             <input type=\"hidden\" name=\"form_token\" value=\"t\">b</form>x"
        );
    }

    #[test]
    fn keys_differ_with_whatever_is_asked_for() {
        let key = |token: &str, path: &str, body: &str| SentToken(token.into()).key(&Method::POST, path, body).unwrap();
        let one = key("t", "/keys", "{}");
        assert_eq!(one, key("t", "/keys", "{}"));
        for other in
            [key("u", "/keys", "{}"), key("t", "/people", "{}"), key("t", "/keys", "{} "), key("t", "/keys{", "}")]
        {
            assert_ne!(one, other);
        }
    }
}
