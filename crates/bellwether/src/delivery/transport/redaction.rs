//! Hides what is secret in what a receiver says: some echo the request, and what they answer is stored, and shown to people
//! who may not see a token. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::domain::hidden::HIDDEN;

/// Shorter ones are words like any other, and would be hidden everywhere.
const SHORTEST: usize = 6;

/// What is not to be shown, in every form in which it may come back; the longest first.
#[derive(Default)]
pub struct Redaction {
    forms: Vec<String>,
    /// Made once: every answer is looked through for all of them.
    finders: Vec<Finder<'static>>,
}

impl Redaction {
    /// `secrets`: header values, keys, and what stands in the URL's query.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: Vec<String> = secrets.into_iter().flat_map(parts).flat_map(|part| forms(&part)).collect();
        forms.retain(|form| form.len() >= SHORTEST);
        forms.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        let finders = forms.iter().map(|form| Finder::new(form).into_owned()).collect();
        Self { forms, finders }
    }

    /// `text` without them.
    pub fn hide(&self, mut text: String) -> String {
        if text.len() < SHORTEST {
            return text;
        }
        for (form, finder) in self.forms.iter().zip(&self.finders) {
            if finder.find(text.as_bytes()).is_some() {
                text = text.replace(form.as_str(), HIDDEN);
            }
        }
        text
    }

    /// The same of a text that was cut off: what may be the beginning of one at its end goes too.
    pub fn hide_cut(&self, text: String) -> String {
        let mut text = self.hide(text);
        let begun = self.forms.iter().filter_map(|form| begun_at_end(&text, form)).max();
        if let Some(length) = begun {
            text.truncate(text.len() - length);
            text.push_str(HIDDEN);
        }
        text
    }
}

/// The whole, and what of it may be shown by itself: the token behind a scheme, the values of a query.
fn parts(secret: &str) -> Vec<String> {
    let mut parts = vec![secret.to_owned()];
    parts.extend(secret.split([' ', '&', ';', ',']).map(str::to_owned));
    parts.extend(secret.split(['&', ';']).filter_map(|pair| pair.split_once('=')).map(|(_, value)| value.to_owned()));
    // What stands behind `Basic` is user and password.
    let decoded = secret.strip_prefix("Basic ").and_then(|encoded| STANDARD.decode(encoded.trim()).ok());
    if let Some(pair) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) {
        parts.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
        parts.push(pair);
    }
    // What `whsec_` stands before is the key itself.
    parts.extend(secret.strip_prefix("whsec_").map(str::to_owned));
    parts
}

fn forms(part: &str) -> [String; 6] {
    let escaped = serde_json::to_string(part).unwrap_or_default();
    let html = part.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    [
        part.to_owned(),
        escaped.trim_matches('"').to_owned(),
        escaped.trim_matches('"').replace('/', "\\/"),
        utf8_percent_encode(part, NON_ALPHANUMERIC).to_string(),
        percent_decode_str(part).decode_utf8_lossy().into_owned(),
        html,
    ]
}

/// How many bytes at the end of `text` are a beginning of `form`, if they are many enough to tell anything.
fn begun_at_end(text: &str, form: &str) -> Option<usize> {
    let longest = form.len().saturating_sub(1).min(text.len());
    (SHORTEST..=longest).rev().find(|length| form.is_char_boundary(*length) && text.ends_with(&form[..*length]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_in_any_form_shows_no_token() {
        let redaction = Redaction::of([
            "Bearer t0k/en+\"secret",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "a=b&key=p4ss%20word",
            "Basic dXNlcjpodW50ZXIyISE=",
        ]);
        for echo in [
            "authorization: Bearer t0k/en+\"secret\r\n",
            r#"{"headers":{"authorization":"Bearer t0k/en+\"secret"}}"#,
            r#"{"token":"t0k\/en+\"secret"}"#,
            "t0k%2Fen%2B%22secret",
            "<b>t0k/en+&quot;secret</b>",
            "/hooks?a=b&key=p4ss%20word",
            "key is p4ss word",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "hello user:hunter2!!",
            "password hunter2!!",
        ] {
            let shown = redaction.hide(echo.to_owned());
            let has_secret = ["t0k", "p4ss", "MfKQ", "hunter2"].iter().any(|part| shown.contains(part));
            assert!(!has_secret && shown.contains(HIDDEN), "{echo}: {shown}");
        }
        assert_eq!(redaction.hide("all is well".to_owned()), "all is well");
    }

    #[test]
    fn what_is_cut_off_at_the_end_is_hidden_too() {
        let redaction = Redaction::of(["Bearer abcdefghijklmnop"]);
        assert_eq!(redaction.hide_cut("you sent abcdefghij".to_owned()), format!("you sent {HIDDEN}"));
        assert_eq!(redaction.hide_cut("you sent abc".to_owned()), "you sent abc");
    }

    #[test]
    fn short_values_are_no_secrets() {
        assert_eq!(Redaction::of(["v=2", "yes"]).hide("yes v=2".to_owned()), "yes v=2");
    }
}
