//! Problem answers (RFC 9457): what every refusal and every failure looks like on the wire.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::domain::error::{Conflict, FieldError, Refusal};
use crate::registry::Error;
use crate::store::StoreError;

/// Makes the list of all kinds: the end of `type`, the status it goes with, and what it means.
macro_rules! kinds {
    ($($kind:ident: $name:literal, $status:ident, $meaning:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($kind,)*
        }

        impl Kind {
            /// In the order in which docs/api.md tells of them.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The stable end of `type`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            pub const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }

            /// What it means, and what to do, whatever the request.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning,)* }
            }
        }
    };
}

kinds! {
    Path: "path", BAD_REQUEST, "the path cannot be read";
    Body: "body", BAD_REQUEST, "the body did not arrive whole";
    MalformedJson: "malformed-json", BAD_REQUEST, "the body is not one JSON object, or names a field twice";
    HttpsOnly: "https-only", BAD_REQUEST, "plain http came to an address that speaks https; nothing was looked at";
    Unauthorized: "unauthorized", UNAUTHORIZED, "no key was given, or one that is not in force";
    Forbidden: "forbidden", FORBIDDEN, "the key has too small a role for this route";
    ForeignOrigin: "foreign-origin", FORBIDDEN, "a browser asked for a change with its session from another site's page";
    NotFound: "not-found", NOT_FOUND, "there is no such route, or nothing of this id";
    MethodNotAllowed: "method-not-allowed", METHOD_NOT_ALLOWED, "the route knows other methods; they stand in the header Allow";
    BodyTimeout: "body-timeout", REQUEST_TIMEOUT, "the body, or a MiB of a file, took longer than 30 s to come";
    Taken: "taken", CONFLICT, "what must be unique is another's already";
    InUse: "in-use", CONFLICT, "something else refers to it; detach that first";
    IllegalTransition: "illegal-transition", CONFLICT, "the status allows other actions; they stand in legal_actions";
    State: "state", CONFLICT, "what the request asks for is not possible as things stand";
    AnswerUnknown: "answer-unknown", CONFLICT, "the request with this Idempotency-Key was carried out; its answer is still to come, or was lost";
    CursorGone: "cursor-gone", GONE, "the log no longer has what followed the cursor, or never came to it; fetch the state, then go on from where detail says";
    StaleVersion: "stale-version", PRECONDITION_FAILED, "If-Match names another version than the stored one; read it again, then repeat";
    BodyTooLarge: "body-too-large", PAYLOAD_TOO_LARGE, "the body has more than 1 MiB, or a file more than max_upload_bytes";
    ContentType: "content-type", UNSUPPORTED_MEDIA_TYPE, "the body is not called JSON";
    Invalid: "invalid", UNPROCESSABLE_ENTITY, "fields or parameters are wrong; errors names each, and what is allowed";
    IdempotencyKeyReused: "idempotency-key-reused", UNPROCESSABLE_ENTITY, "another request was sent with this Idempotency-Key";
    Internal: "internal", INTERNAL_SERVER_ERROR, "the server failed; its log says why";
    Unavailable: "unavailable", SERVICE_UNAVAILABLE, "the database or the query engine gave no answer; try again later";
    Busy: "busy", SERVICE_UNAVAILABLE, "as much is under way as may be; try again in a moment";
    TooManyStreams: "too-many-streams", SERVICE_UNAVAILABLE, "as many streams are open as may be";
    NotReady: "not-ready", SERVICE_UNAVAILABLE, "only of /readyz: what is missing stands in detail";
    OutcomeUnknown: "outcome-unknown", SERVICE_UNAVAILABLE, "the database was lost in the commit; read the resource to see whether it was changed";
    StorageFull: "storage-full", INSUFFICIENT_STORAGE, "the disk is full; the operator must make room";
}

impl Kind {
    /// The whole of `type`.
    pub fn urn(self) -> String {
        format!("urn:bellwether:problem:{}", self.as_str())
    }
}

#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
}

impl Problem {
    pub fn of(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new() }
    }

    /// Nothing is there of this id, or no route of this path.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::of(Kind::NotFound, detail)
    }

    /// The fields that are wrong, where nothing else is; else the problem itself.
    pub fn into_field_errors(self) -> Result<Vec<FieldError>, Self> {
        if self.kind == Kind::Invalid { Ok(self.errors) } else { Err(self) }
    }

    /// As much is under way as may be, and will not be for long.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::of(Kind::Busy, detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let kind = match &refusal {
            Refusal::Invalid(_) => Kind::Invalid,
            Refusal::NotFound { .. } => Kind::NotFound,
            Refusal::Stale { .. } => Kind::StaleVersion,
            Refusal::Conflict { kind: Conflict::Taken, .. } => Kind::Taken,
            Refusal::Conflict { kind: Conflict::InUse, .. } => Kind::InUse,
            Refusal::Conflict { kind: Conflict::IllegalTransition, .. } => Kind::IllegalTransition,
            Refusal::Conflict { kind: Conflict::State, .. } => Kind::State,
            Refusal::Conflict { kind: Conflict::SameKey, .. } => Kind::AnswerUnknown,
        };
        let errors = if let Refusal::Invalid(errors) = refusal { errors } else { Vec::new() };
        Self { kind, detail, errors }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full(_) => {
                Self::of(Kind::StorageFull, format!("{error}; nothing was changed; the operator must make room"))
            }
            StoreError::Busy => Self::busy(format!("{error}; nothing was changed, try again in a moment")),
            StoreError::Closed => {
                Self::of(Kind::Unavailable, format!("{error}; nothing was changed, try again a little later"))
            }
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "a request was turned away");
                Self::of(Kind::Unavailable, format!("{error}; nothing was changed, try again later"))
            }
            StoreError::OutcomeUnknown(_) => {
                tracing::error!(%error, "a request's outcome is unknown");
                Self::of(Kind::OutcomeUnknown, format!("{error}; read the resource again to see"))
            }
            // Two requests at once: what one looked up, the other has just taken or removed.
            StoreError::Unique(_) => {
                Self::of(Kind::Taken, "another request has just taken what must be unique; read it again, then repeat")
            }
            StoreError::Reference(_) => Self::of(
                Kind::InUse,
                "another request has just removed or begun to use what this one refers to; read it again, then repeat",
            ),
            StoreError::Corrupt { .. } | StoreError::Damaged(_) | StoreError::Failed(_) => {
                tracing::error!(%error, "a request failed");
                Self::of(Kind::Internal, "the server failed on this request and changed nothing; its log says why")
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

/// An RFC 9457 problem.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody {
    /// Which kind of problem it is; it never changes.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
    /// The fields or parameters that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

#[derive(Serialize, JsonSchema)]
pub struct FieldProblem {
    /// Where it stands, like `variations[1].weight`.
    field: String,
    /// What was given, and what is allowed.
    message: String,
}

impl FieldProblem {
    fn of(error: &FieldError) -> Self {
        Self { field: cut(&error.field, LONGEST_FIELD), message: cut(&error.message, LONGEST_MESSAGE) }
    }
}

impl Problem {
    pub fn body(&self) -> Value {
        let status = self.kind.status();
        let body = ProblemBody {
            kind: self.kind.urn(),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: cut(&self.detail, LONGEST_DETAIL),
            errors: self.errors.iter().map(FieldProblem::of).collect(),
        };
        serde_json::to_value(body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let mut response = (status, self.body().to_string()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        // What is full is so for a moment.
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_full_for_a_moment_is_told_from_one_that_gives_no_answer() {
        let kind = |error: StoreError| Problem::from(error).body()["type"].clone();
        assert_eq!(kind(StoreError::Busy), "urn:bellwether:problem:busy");
        for error in [StoreError::Closed, StoreError::Unavailable("x".to_owned())] {
            assert_eq!(kind(error), "urn:bellwether:problem:unavailable");
        }
    }

    #[test]
    fn the_docs_list_every_kind_in_its_order() {
        let docs = include_str!("../../../../docs/api.md");
        let (_, table) = docs.split_once("| `type` ends in | status | when |\n|---|---|---|\n").unwrap();
        let listed: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
        let expected: Vec<String> = Kind::ALL
            .iter()
            .map(|kind| format!("| `{}` | {} | {} |", kind.as_str(), kind.status().as_u16(), kind.meaning()))
            .collect();
        assert_eq!(listed, expected, "docs/api.md should have\n{}", expected.join("\n"));
    }
}
