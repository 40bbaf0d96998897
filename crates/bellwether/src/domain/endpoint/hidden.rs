//! What of an endpoint's settings may be a token, and so is shown once, when it is given: a placeholder stands for it from then
//! on. Whoever sends the placeholder back means what is stored; it is never a value.

use std::collections::BTreeMap;

use super::{OwnTls, Settings, header_field};
use crate::domain::error::{FieldErrors, Refusal};
use crate::domain::hidden::HIDDEN;

impl Settings {
    /// Puts what is stored back where it was sent as it is shown. What cannot be matched with something stored is refused: a
    /// placeholder is never a value.
    pub fn unhide(&mut self, stored: Option<&Self>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        if self.url.contains(HIDDEN) || self.url.contains("%5Bhidden%5D") {
            match stored.and_then(|stored| unhidden_url(&self.url, &stored.url)) {
                Some(url) => self.url = url,
                None => errors.add(
                    "url",
                    format!(
                        "{HIDDEN} stands for the query that is stored, and is kept only alone and for the same host; \
                         give the URL whole"
                    ),
                ),
            }
        }
        let nothing = BTreeMap::new();
        // A token is for the host that has it already.
        let stored = stored.filter(|stored| is_same_origin(&self.url, &stored.url));
        let headers = stored.map_or(&nothing, |stored| &stored.headers);
        for (name, value) in self.headers.iter_mut().filter(|(_, value)| *value == HIDDEN) {
            match headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                Some((_, kept)) => value.clone_from(kept),
                None => errors.add(
                    header_field(name),
                    format!("{HIDDEN} stands for a value that is stored, and none is for this header and host; give the value"),
                ),
            }
        }
        let mut kept = stored.and_then(|stored| stored.tls.clone()).unwrap_or_default();
        for ((field, value), (_, kept)) in self.tls.iter_mut().flat_map(OwnTls::fields).zip(kept.fields()) {
            if value.as_deref() == Some(HIDDEN) {
                if kept.is_none() {
                    errors.add(
                        field,
                        format!(
                            "{HIDDEN} stands for a value that is stored, and none is for this host; give the value"
                        ),
                    );
                }
                *value = kept.take();
            }
        }
        errors.finish()
    }

    /// As it is shown: without what may hold a token.
    pub fn shown(&self) -> Self {
        let headers = self.headers.keys().map(|name| (name.clone(), HIDDEN.to_owned())).collect();
        self.with(self.shown_url(), headers, self.tls.as_ref().map(OwnTls::shown))
    }

    /// What of it may be stored in the clear: all but what may hold a token.
    pub fn in_the_clear(&self) -> Self {
        self.with(String::new(), BTreeMap::new(), None)
    }

    /// The same with these in place of what may hold a token. Each field is named, so that a new one is shown, or stored in
    /// the clear, only by somebody's decision.
    fn with(&self, url: String, headers: BTreeMap<String, String>, tls: Option<OwnTls>) -> Self {
        let Self {
            url: _,
            description,
            events,
            filter,
            format,
            ordering,
            retry_schedule,
            max_in_flight,
            rate_limit,
            hold_seconds,
            headers: _,
            tls: _,
            asymmetric_signature,
        } = self;
        Self {
            url,
            description: description.clone(),
            events: events.clone(),
            filter: filter.clone(),
            format: *format,
            ordering: *ordering,
            retry_schedule: retry_schedule.clone(),
            max_in_flight: *max_in_flight,
            rate_limit: *rate_limit,
            hold_seconds: *hold_seconds,
            headers,
            tls,
            asymmetric_signature: *asymmetric_signature,
        }
    }

    /// The URL without its query, which may hold a token and so is shown once, when it is given.
    pub fn shown_url(&self) -> String {
        match self.url.split_once('?') {
            Some((open, _)) => format!("{open}?[hidden]"),
            None => self.url.clone(),
        }
    }
}

/// `given` with the query of `stored` in place of the placeholder: only where that is all of its query, and the token goes
/// to the host that has it already.
fn unhidden_url(given: &str, stored: &str) -> Option<String> {
    let (open, query) = given.split_once('?')?;
    let (stored_open, stored_query) = stored.split_once('?')?;
    (is_same_origin(open, stored_open) && query == HIDDEN && !open.contains(HIDDEN))
        .then(|| format!("{open}?{stored_query}"))
}

/// Scheme, host and port.
fn is_same_origin(one: &str, other: &str) -> bool {
    let origin = |text: &str| url::Url::parse(text).ok().map(|url| url.origin());
    origin(one).is_some_and(|one| Some(one) == origin(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::AddressPolicy;

    fn settings(json: serde_json::Value) -> Result<Settings, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn a_query_is_not_shown() {
        let settings = settings(serde_json::json!({"url": "https://example.com/a?token=x?y"})).unwrap();
        assert_eq!(settings.shown_url(), "https://example.com/a?[hidden]");
    }

    #[test]
    fn a_placeholder_keeps_what_is_stored_or_is_refused() {
        let stored = settings(serde_json::json!({
            "url": "https://example.com/a?token=x", "headers": {"Authorization": "Bearer y"}, "tls": {"ca_pem": "p3m"},
        }))
        .unwrap();
        let given = |json: serde_json::Value| {
            let mut given = settings(json).unwrap();
            given.unhide(Some(&stored)).map(|()| given)
        };
        let shown = serde_json::to_value(stored.shown()).unwrap();
        assert!(!shown.to_string().contains("token=x") && !shown.to_string().contains("p3m"));
        assert_eq!(given(shown).unwrap(), stored);
        let moved = given(serde_json::json!({"url": "https://example.com/b?[hidden]"})).unwrap();
        assert_eq!(moved.url, "https://example.com/b?token=x");
        for url in [
            "https://example.com/a?[hidden]&v=2",
            "https://example.com/a?v=2&[hidden]",
            "https://example.com/[hidden]",
            "https://elsewhere.example/a?[hidden]",
            "http://example.com/a?[hidden]",
            "https://example.com:8443/a?[hidden]",
            "https://example.com/a?%5Bhidden%5D",
        ] {
            assert!(given(serde_json::json!({"url": url})).is_err(), "{url}");
        }
        let header = serde_json::json!({"url": "https://example.com", "headers": {"X-Other": HIDDEN}});
        assert!(given(header).is_err());
        let part = serde_json::json!({"url": "https://example.com", "headers": {"Authorization": "Bearer [hidden]"}});
        assert!(given(part).unwrap().validate(&AddressPolicy::default()).is_err());
        let key = serde_json::json!({"url": "https://example.com", "tls": {"client_key_pem": HIDDEN}});
        assert!(given(key).is_err());
        let mut fresh = settings(serde_json::json!({"url": "https://example.com/?[hidden]"})).unwrap();
        assert!(fresh.unhide(None).is_err(), "nothing is stored yet");
    }
}
