//! The URL that people and programs reach this server by, as the operator gives it.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use url::Url;

/// An origin, with a path or without, and with no slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(String);

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = "write it like https://bellwether.example.com or https://example.com/bellwether";
        let wrong = |reason: &str| format!("'{text}' was given; it {reason}: {allowed}");
        let url = Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("begins with neither https:// nor http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // A password is not shown again.
            return Err(format!("the URL given has a user name or password in it; {allowed}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has more than a host, a port and a path"));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_origin_with_a_path_or_without() {
        for (given, read) in [
            ("https://Bellwether.example.com/", "https://bellwether.example.com"),
            ("https://example.com:443/a/b/", "https://example.com/a/b"),
            ("http://[::1]:7070", "http://[::1]:7070"),
        ] {
            assert_eq!(given.parse::<PublicUrl>().unwrap().to_string(), read);
        }
        for given in ["example.com", "ftp://example.com", "https://x.example/?a", "https://x.example/#a", "https://"] {
            let error = given.parse::<PublicUrl>().unwrap_err();
            assert!(error.contains(given) && error.contains("write it like"), "{error}");
        }
        let error = "https://me:hunter2@x.example".parse::<PublicUrl>().unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
