//! Problem answers (RFC 9457): what every refusal and every failure looks like on the wire.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::domain::error::{Conflict, FieldError, Refusal};
use crate::registry::Error;
use crate::store::StoreError;

#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    /// The stable end of `type`.
    kind: &'static str,
    detail: String,
    errors: Vec<FieldError>,
}

impl Problem {
    pub fn of(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), errors: Vec::new() }
    }

    /// As much is under way as may be, and will not be for long.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let (status, kind) = match &refusal {
            Refusal::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Refusal::NotFound { .. } => (StatusCode::NOT_FOUND, "not-found"),
            Refusal::Stale { .. } => (StatusCode::PRECONDITION_FAILED, "stale-version"),
            Refusal::Conflict { kind, .. } => (
                StatusCode::CONFLICT,
                match kind {
                    Conflict::Taken => "taken",
                    Conflict::InUse => "in-use",
                    Conflict::IllegalTransition => "illegal-transition",
                    Conflict::State => "state",
                },
            ),
        };
        let errors = if let Refusal::Invalid(errors) = refusal { errors } else { Vec::new() };
        Self { status, kind, detail, errors }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full(_) => Self::of(
                StatusCode::INSUFFICIENT_STORAGE,
                "storage-full",
                format!("{error}; nothing was changed; the operator must make room"),
            ),
            StoreError::Busy | StoreError::Closed => Self::of(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                format!("{error}; nothing was changed, try again a little later"),
            ),
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "a request was turned away");
                Self::of(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    format!("{error}; nothing was changed, try again later"),
                )
            }
            StoreError::OutcomeUnknown(_) => {
                tracing::error!(%error, "a request's outcome is unknown");
                Self::of(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "outcome-unknown",
                    format!("{error}; read the resource again to see"),
                )
            }
            // Two requests at once: what one looked up, the other has just taken or removed.
            StoreError::Unique(_) => Self::of(
                StatusCode::CONFLICT,
                "taken",
                "another request has just taken what must be unique; read it again, then repeat",
            ),
            StoreError::Reference(_) => Self::of(
                StatusCode::CONFLICT,
                "in-use",
                "another request has just removed or begun to use what this one refers to; read it again, then repeat",
            ),
            StoreError::Corrupt { .. } | StoreError::Damaged(_) | StoreError::Failed(_) => {
                tracing::error!(%error, "a request failed");
                Self::of(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "the server failed on this request and changed nothing; its log says why",
                )
            }
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Store(error) => error.into(),
            Error::Busy(detail) => Self::busy(detail),
        }
    }
}

/// Whatever was sent, an answer echoes no more of it than this.
const LONGEST_DETAIL: usize = 2000;
const LONGEST_FIELD: usize = 200;
const LONGEST_MESSAGE: usize = 1000;

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn shown(error: &FieldError) -> Value {
    json!({"field": cut(&error.field, LONGEST_FIELD), "message": cut(&error.message, LONGEST_MESSAGE)})
}

impl Problem {
    pub fn body(&self) -> Value {
        let mut body = json!({
            "type": format!("urn:bellwether:problem:{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": cut(&self.detail, LONGEST_DETAIL),
        });
        if !self.errors.is_empty() {
            let errors: Vec<_> = self.errors.iter().map(shown).collect();
            body["errors"] = errors.into();
        }
        body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body().to_string()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        // What is full is so for a moment.
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
