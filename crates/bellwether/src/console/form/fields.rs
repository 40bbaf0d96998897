//! What a browser sends of a form.

use std::collections::{HashMap, HashSet};

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// More than any form has.
pub const MOST_FIELDS: usize = 3000;
/// Items of a list, whatever a browser sends.
pub const MOST_ROWS: usize = 250;

/// The fields of a form as the browser sends them; of several of one name, the first.
#[derive(Debug, Default, Clone)]
pub struct Fields(pub(super) HashMap<String, String>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let content = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        // Before anything is made of them: forms are looked at before it is known whether they may be sent.
        if content.iter().filter(|byte| **byte == b'&').count() >= MOST_FIELDS {
            return Err((StatusCode::BAD_REQUEST, "this form has more fields than any has").into_response());
        }
        let fields: Result<Vec<(String, String)>, _> = serde_urlencoded::from_bytes(&content);
        let fields = fields.map_err(|_| (StatusCode::BAD_REQUEST, "this form cannot be read").into_response())?;
        let mut first = HashMap::new();
        for (name, value) in fields {
            first.entry(name).or_insert_with(|| as_sent(&value));
        }
        Ok(Self(first))
    }
}

impl Fields {
    #[cfg(test)]
    pub fn of<'a>(given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        given.into_iter().map(|(name, value)| (name.to_owned(), as_sent(value))).collect()
    }

    /// What a field says; nothing, where it was not sent.
    pub fn text(&self, name: &str) -> String {
        self.given(name).unwrap_or_default().to_owned()
    }

    /// Takes what is stored in place of what was sent of it, if that is all that was sent.
    pub fn keep(&mut self, name: String, stored: String) {
        if self.given(&name) == Some(as_sent(&stored).as_str()) {
            self.0.insert(name, stored);
        }
    }

    pub fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a box is ticked.
    pub fn is_on(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// How many items of a list the form had room for: a browser sends something of each of them.
    pub fn rows(&self, list: &str) -> usize {
        let place = |name: &str| name.strip_prefix(list)?.strip_prefix('[')?.split(']').next()?.parse::<usize>().ok();
        let places: HashSet<usize> = self.0.keys().filter_map(|name| place(name)).collect();
        (0..MOST_ROWS).take_while(|place| places.contains(place)).count()
    }

    /// `null`, where nothing was filled in.
    pub fn optional(&self, name: &str) -> Value {
        let text = self.text(name);
        if text.trim().is_empty() { Value::Null } else { Value::String(text) }
    }
}

/// A text as it comes out of a form that it was put into, but for the carriage returns that browsers put before all line breaks.
pub fn as_sent(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

impl FromIterator<(String, String)> for Fields {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(given: T) -> Self {
        Self(given.into_iter().collect())
    }
}
