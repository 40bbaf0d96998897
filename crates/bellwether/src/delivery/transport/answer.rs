//! What came of a request: a status, or the class of the failure. Decides nothing about trying again.

use std::error::Error;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::error::{ConnectError, ErrorClass, is_own_want};
use super::http1;
use super::redaction::Redaction;

/// No more of an answer's body is read.
const MOST_READ: usize = 16 * 1024;
/// No more of an answer's body is kept.
const MOST_STORED: usize = 4 * 1024;

/// What came back for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The receiver answered. `retry_after` is the header as it came; `headers` are a line for each; `body` is the beginning
    /// of the body.
    Status {
        code: u16,
        retry_after: Option<String>,
        headers: String,
        body: String,
    },
    Failed {
        class: ErrorClass,
        message: String,
    },
}

impl Answer {
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Status { code: 200..=299, .. })
    }

    /// The class of the failure; nothing for a success.
    pub fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Status { .. } => (!self.is_success()).then_some(ErrorClass::Status),
            Self::Failed { class, .. } => Some(*class),
        }
    }

    /// What the server itself was short of, so that no request was made.
    pub fn own_want(&self) -> Option<&str> {
        match self {
            Self::Failed { class: ErrorClass::LocalLimit, message } => Some(message),
            _ => None,
        }
    }

    /// A status about this one event, which another might not get.
    pub fn judges_event(&self) -> bool {
        matches!(self, Self::Status { code: 400 | 413 | 415 | 422, .. })
    }

    /// Whether the failure may be one of this event alone: the receiver itself has seen it and failed.
    pub fn may_be_of_event(&self) -> bool {
        self.judges_event() || matches!(self, Self::Status { code: 500, .. })
    }

    pub fn failed(class: ErrorClass, message: impl Into<String>) -> Self {
        Self::Failed { class, message: message.into() }
    }

    /// Reads what is left of an answer whose head has come. The status decides, whatever becomes of the body: one that
    /// is broken, too large, or not there within `limit` only costs the connection.
    pub(super) async fn of_head(connection: &mut http1::Connection, head: &mut http1::Head, limit: Duration) -> Self {
        let mut body = Vec::new();
        if !connection.take_body(head, &mut body, MOST_READ) {
            let reading = connection.read_body(head, &mut body, MOST_READ);
            let _ = tokio::time::timeout(limit, reading).await;
        }
        Self::status(head.code, head.retry_after.take(), std::mem::take(&mut head.headers), &body)
    }

    /// A status of which nothing else is known.
    pub(super) fn of_code(code: u16) -> Self {
        Self::status(code, None, String::new(), &[])
    }

    /// The same over HTTP/2.
    pub(super) async fn of_response(response: http::Response<Incoming>, limit: Duration) -> Self {
        let code = response.status().as_u16();
        let retry_after = response.headers().get(http::header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let headers = lines(response.headers());
        let mut body = response.into_body();
        let mut read = Vec::new();
        let _ = tokio::time::timeout(limit, async {
            while read.len() < MOST_READ {
                let Some(Ok(frame)) = body.frame().await else { return };
                let left = MOST_READ - read.len();
                read.extend(frame.data_ref().into_iter().flatten().take(left));
            }
        })
        .await;
        Self::status(code, retry_after, headers, &read)
    }

    fn status(code: u16, retry_after: Option<String>, headers: String, body: &[u8]) -> Self {
        Self::Status { code, retry_after, headers, body: String::from_utf8_lossy(body).into_owned() }
    }

    /// As it may be stored and shown: without secrets, and no more of the body than is kept.
    pub(super) fn redacted(self, redaction: &Redaction) -> Self {
        match self {
            Self::Status { code, retry_after, headers, body } => {
                let is_cut = body.len() >= MOST_READ;
                let body = if is_cut { redaction.hide_cut(body) } else { redaction.hide(body) };
                let end = body.floor_char_boundary(MOST_STORED);
                let body = if end < body.len() { body[..end].to_owned() } else { body };
                // As it is stored: no text holds U+0000.
                let body = if body.contains('\0') { body.replace('\0', "\u{fffd}") } else { body };
                Self::Status { code, retry_after, headers: redaction.hide(headers), body }
            }
            Self::Failed { class, message } => Self::Failed { class, message: redaction.hide(message) },
        }
    }

    /// A failure with a question for whoever set the endpoint up.
    pub(super) fn asking(self, question: &str) -> Self {
        match self {
            Self::Failed { class, message } => Self::Failed { class, message: format!("{message}; {question}") },
            other => other,
        }
    }

    /// The class of a failure, by the types of its causes, never by their words.
    pub(super) fn of_error(error: &(dyn Error + 'static)) -> Self {
        let mut class = ErrorClass::Exchange;
        let mut message = String::new();
        let mut cause = Some(error);
        while let Some(current) = cause {
            if let Some(ConnectError { class, message }) = current.downcast_ref() {
                return Self::failed(*class, message);
            }
            if is_own_want(current) {
                return Self::failed(ErrorClass::LocalLimit, current.to_string());
            }
            if current.downcast_ref().is_some_and(hyper::Error::is_parse) {
                class = ErrorClass::MalformedAnswer;
            }
            // Receivers of TLS 1.3 refuse our certificate only when the handshake is over on our side.
            let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
                class = ErrorClass::Tls;
            }
            message = current.to_string();
            cause = current.source();
        }
        Self::Failed { class, message }
    }
}

fn lines(headers: &http::HeaderMap) -> String {
    let mut lines = String::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        if lines.len() + name.as_str().len() + value.len() > MOST_STORED {
            break;
        }
        for part in [name.as_str(), ": ", &*value, "\n"] {
            lines.push_str(part);
        }
    }
    lines
}
