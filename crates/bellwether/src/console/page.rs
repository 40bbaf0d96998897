//! What every page has: its frame, its headers, and how times and things are written.

use std::fmt;

use askama::filters::HtmlSafe;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use crate::domain::clock::Timestamp;
use crate::domain::key::Role;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; worker-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// Holds what was done until the next page has told it.
const NOTICE: &str = "bellwether_notice";
/// As it stands in the cookie: browsers take none that is longer than 4,096 bytes.
const LONGEST_NOTICE: usize = 3500;

/// What stands around a page's content.
#[derive(Debug, Clone)]
pub struct Frame {
    /// From the page to where the console begins, like `../`.
    pub root: String,
    pub visitor: Option<(String, Role)>,
    pub notice: Option<Notice>,
    section: String,
}

/// What was done, or why it was not.
#[derive(Debug, Clone)]
pub struct Notice {
    pub is_error: bool,
    pub text: String,
}

impl Frame {
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        let depth = path.matches('/').count().saturating_sub(1);
        let root = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
        let mut words = path.split('/').skip(1);
        let section = match (words.next().unwrap_or_default(), words.next()) {
            ("new", Some("experiment")) => "experiments",
            ("new", Some("endpoint")) => "endpoints",
            ("new", _) => "definitions",
            (section, _) => section,
        };
        Self { root, visitor: None, notice: Notice::of(headers), section: section.to_owned() }
    }

    /// For the link to a section: whether the page is of it.
    pub fn current(&self, sections: &str) -> &'static str {
        let is_current = sections.split(' ').any(|section| section == self.section);
        if is_current { "aria-current=page" } else { "" }
    }

    pub fn may(&self, role: Role) -> bool {
        self.visitor.as_ref().is_some_and(|(_, has)| *has >= role)
    }

    pub fn may_write(&self) -> bool {
        self.may(Role::Write)
    }

    pub fn may_admin(&self) -> bool {
        self.may(Role::Admin)
    }
}

impl Notice {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == NOTICE)?;
        let text = percent_decode_str(value).decode_utf8().ok()?;
        let (kind, text) = text.split_at_checked(1)?;
        Some(Self { is_error: kind == "!", text: text.to_owned() })
    }

    pub fn cookie(&self) -> String {
        let kind = if self.is_error { '!' } else { '.' };
        let mut value = utf8_percent_encode(&kind.to_string(), NON_ALPHANUMERIC).to_string();
        for letter in self.text.chars() {
            let letter = utf8_percent_encode(letter.encode_utf8(&mut [0; 4]), NON_ALPHANUMERIC).to_string();
            if value.len() + letter.len() > LONGEST_NOTICE {
                break;
            }
            value += &letter;
        }
        format!("{NOTICE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=20")
    }
}

/// The same where it is not all well.
pub fn html_as(status: StatusCode, frame: &Frame, page: askama::Result<String>) -> Response {
    let mut response = html(frame, page);
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    response
}

/// A page that was made, or that it could not be.
pub fn html(frame: &Frame, page: askama::Result<String>) -> Response {
    let page = match page {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(%error, "a page of the console cannot be made");
            return (StatusCode::INTERNAL_SERVER_ERROR, "this page cannot be made; the server's log says why")
                .into_response();
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let told = frame.notice.is_some().then(|| format!("{NOTICE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"));
    let told = told.and_then(|cookie| header::HeaderValue::from_str(&cookie).ok());
    let told: HeaderMap = told.map(|cookie| (header::SET_COOKIE, cookie)).into_iter().collect();
    (headers, told, page).into_response()
}

/// A moment, in UTC; the page's script adds what that is where the viewer is.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.to_jiff().strftime("%Y-%m-%d %H:%M UTC");
        write!(f, "<time datetime=\"{}\">{shown}</time>", self.0)
    }
}

// Figures and fixed letters alone.
impl HtmlSafe for Moment {}

/// The same to the second, where one thing follows the other within a minute.
pub struct Exact(Moment);

impl Moment {
    pub fn exact(self) -> Exact {
        Exact(self)
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0.0;
        write!(f, "<time class=\"exact\" datetime=\"{at}\">{}</time>", at.to_jiff().strftime("%Y-%m-%d %H:%M:%S UTC"))
    }
}

impl HtmlSafe for Exact {}

/// A part of an address.
pub fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    pub items: Vec<T>,
    #[serde(default)]
    pub next: Option<String>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

/// Filters of the templates.
pub mod filters {
    use std::fmt::Display;

    use crate::domain::figure;

    /// A word of the API as people write it.
    #[askama::filter_fn]
    pub fn in_words(word: impl Display, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(crate::domain::sentence::field_in_words(&word.to_string()))
    }

    #[askama::filter_fn]
    pub fn count(count: &u64, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(figure::count(*count))
    }

    /// A part of an address.
    #[askama::filter_fn]
    pub fn in_address(text: impl Display, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(super::escaped(&text.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_finds_the_way_to_where_the_console_begins() {
        for (path, root) in [
            ("/experiments", "./"),
            ("/experiments/5", "../"),
            ("/endpoints/ep_1/recoveries/rcv_1/stop", "../../../../"),
        ] {
            assert_eq!(Frame::of(path, &HeaderMap::new()).root, root, "{path}");
        }
        assert_eq!(Frame::of("/runs/run_1", &HeaderMap::new()).current("experiments runs"), "aria-current=page");
    }

    #[test]
    fn a_notice_survives_its_cookie() {
        for (is_error, text) in [(false, "Saved; \"all\" of it, ümlaut\r\nSet-Cookie: x"), (true, "")] {
            let cookie = Notice { is_error, text: text.to_owned() }.cookie();
            assert!(!cookie.contains(['\r', '\n', '"']), "{cookie}");
            let pair = cookie.split(';').next().unwrap();
            let headers = HeaderMap::from_iter([(header::COOKIE, format!("other=1; {pair}").parse().unwrap())]);
            let notice = Notice::of(&headers).unwrap();
            assert_eq!((notice.is_error, notice.text.as_str()), (is_error, text));
        }
    }
}
