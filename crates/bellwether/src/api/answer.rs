//! The shapes of answers: pages, resources with their version, what was made.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::problem::Problem;
use crate::domain::sort::Sort;
use crate::store::listing::Found;

pub type Answer<T> = Result<T, Problem>;

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The cursor to go on from, where there may be more.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Of `found`, which were asked for at most `limit` of: the next page begins behind the last, if these are so many.
    pub fn of<S>(found: &[S], limit: u32, cursor: impl Fn(&S) -> String, view: impl Fn(&S) -> T) -> Json<Self> {
        let is_full = u32::try_from(found.len()).is_ok_and(|count| count == limit);
        let next = found.last().filter(|_| is_full).map(cursor);
        Json(Self { items: found.iter().map(view).collect(), next })
    }

    /// Of a list that was gone through in the order `sort`.
    pub fn found<S>(found: &Found<S>, sort: Sort, view: impl Fn(&S) -> T) -> Json<Self> {
        let next = found.next.as_ref().map(|place| place.cursor(sort));
        Json(Self { items: found.items.iter().map(view).collect(), next })
    }
}

/// A resource with its version as ETag.
#[derive(Debug)]
pub struct Versioned<T> {
    pub view: T,
    pub version: i64,
}

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.view).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.version)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// 201: it was made by this request.
#[derive(Debug)]
pub struct Created<T>(pub T);

impl<T: IntoResponse> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, self.0).into_response()
    }
}

/// What was made, and where it is.
#[derive(Debug)]
pub struct Located<T> {
    pub location: String,
    pub answer: T,
}

impl<T: IntoResponse> IntoResponse for Located<T> {
    fn into_response(self) -> Response {
        ([(header::LOCATION, self.location)], self.answer).into_response()
    }
}

/// 201 if it was made by this request, else 200.
#[derive(Debug)]
pub struct MaybeCreated<T> {
    pub answer: T,
    pub is_created: bool,
}

impl<T: IntoResponse> IntoResponse for MaybeCreated<T> {
    fn into_response(self) -> Response {
        let status = if self.is_created { StatusCode::CREATED } else { StatusCode::OK };
        (status, self.answer).into_response()
    }
}

/// 202: it was taken in, and is carried out later.
#[derive(Debug)]
pub struct Accepted<T>(pub Json<T>);

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, self.0).into_response()
    }
}

/// 204: it is gone.
#[derive(Debug)]
pub struct Gone;

impl IntoResponse for Gone {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// A text that is in the program, and changes with it alone.
#[derive(Debug)]
pub struct Document {
    /// Whoever asks has it already.
    pub is_known: bool,
}

impl Document {
    pub const MEDIA_TYPE: &str = "application/json";
}
