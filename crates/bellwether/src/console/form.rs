//! What a form says: its fields as the browser sends them, and as the API wants them.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// The fields of a form, in its order.
#[derive(Debug, Default, Clone)]
pub struct Fields(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let content = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let fields = serde_urlencoded::from_bytes(&content);
        let fields = fields.map_err(|_| (StatusCode::BAD_REQUEST, "this form cannot be read").into_response())?;
        Ok(Self(fields))
    }
}

impl Fields {
    /// As somebody would have filled it in.
    pub fn of(fields: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// What a field says; browsers end lines as on old terminals.
    pub fn text(&self, name: &str) -> String {
        self.given(name).unwrap_or_default().replace("\r\n", "\n")
    }

    pub fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All that a list of fields of one name says.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a box is ticked.
    pub fn is_on(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// Nothing, where nothing was filled in.
    pub fn optional(&self, name: &str) -> Value {
        let text = self.text(name);
        if text.trim().is_empty() { Value::Null } else { Value::String(text) }
    }

    /// A number as the API wants it. What is none goes there as it is: the API says what is allowed.
    pub fn number(&self, name: &str) -> Value {
        let text = self.text(name);
        let text = text.trim();
        if text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(text).ok().filter(Value::is_number).unwrap_or_else(|| Value::String(text.to_owned()))
    }

    /// Words with commas between.
    pub fn words(&self, name: &str) -> Value {
        self.text(name).split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }
}
