//! The parameters of Eppo's routes. Unknown ones are passed over, as Eppo does; lists come repeated, as `tags[]`, or with commas
//! between their items.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::api::params::LONGEST_PAGE;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::Bound;
use crate::domain::error::Refusal;

const USUAL_PAGE: u32 = 50;

pub struct Query(Vec<(String, String)>);

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub limit: usize,
    pub offset: usize,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The last of this name that says anything.
    pub fn text(&self, name: &str) -> Option<&str> {
        let given = self.0.iter().rev().find(|(given, value)| given == name && !value.trim().is_empty());
        given.map(|(_, value)| value.trim())
    }

    /// The items of a list, however it is written.
    pub fn list(&self, name: &str) -> Vec<String> {
        let is_it = |given: &str| given == name || given.strip_prefix(name).is_some_and(|rest| rest.starts_with('['));
        let values = self.0.iter().filter(|(given, _)| is_it(given)).map(|(_, value)| value);
        let items = values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty());
        items.map(str::to_owned).collect()
    }

    pub fn is_true(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "0" | "no") => Ok(false),
            Some("true" | "1" | "yes") => Ok(true),
            Some(given) => Err(Refusal::invalid(name, format!("'{given}' was given; true or false is allowed"))),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let read = |text: &str| {
            text.parse().map_err(|_| Refusal::invalid(name, format!("'{text}' was given; a whole number is expected")))
        };
        self.text(name).map(read).transpose()
    }

    /// A day, or a time, as the moment in which it begins.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let read = |text: &str| text.parse::<Bound>().map_err(|reason| Refusal::invalid(name, reason));
        Ok(self.text(name).map(read).transpose()?.map(Bound::as_start))
    }

    /// `limit` and `offset`.
    pub fn slice(&self) -> Result<Slice, Refusal> {
        self.slice_of(USUAL_PAGE)
    }

    /// The same of a list that is given whole unless a part of it is asked for.
    pub fn slice_or_all(&self) -> Result<Slice, Refusal> {
        self.slice_of(u32::MAX)
    }

    fn slice_of(&self, usual: u32) -> Result<Slice, Refusal> {
        let limit = self.number("limit")?;
        if let Some(limit) = limit.filter(|limit| !(1..=i64::from(LONGEST_PAGE)).contains(limit)) {
            let message = format!("{limit} was given; from 1 to {LONGEST_PAGE} are allowed: read on with offset");
            return Err(Refusal::invalid("limit", message));
        }
        let offset = self.number("offset")?.unwrap_or(0);
        let wrong = |_| Refusal::invalid("offset", format!("{offset} was given; it is 0 or more"));
        let limit = limit.unwrap_or(i64::from(usual));
        Ok(Slice {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            offset: usize::try_from(offset).map_err(wrong)?,
        })
    }
}

impl Slice {
    /// What stands there in a list that is at hand.
    pub fn of<T>(self, all: impl Iterator<Item = T>) -> Vec<T> {
        all.skip(self.offset).take(self.limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_repeated_in_brackets_or_with_commas() {
        let all = Query::parse("tags=a&tags[]=b,c&tags%5B1%5D=d&tags=&tagsx=e").list("tags");
        assert_eq!(all, ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_part_is_at_most_250_long_and_begins_at_0_or_later() {
        let slice = |text: &str| Query::parse(text).slice();
        assert_eq!(slice(""), Ok(Slice { limit: 50, offset: 0 }));
        assert_eq!(slice("limit=250&offset=7&x=y"), Ok(Slice { limit: 250, offset: 7 }));
        for (wrong, field) in [
            ("limit=251", "limit"),
            ("limit=0", "limit"),
            ("limit=x", "limit"),
            ("offset=-1", "offset"),
            ("offset=99999999999999999999", "offset"),
        ] {
            assert!(slice(wrong).unwrap_err().to_string().starts_with(field), "{wrong}");
        }
    }

    #[test]
    fn what_is_empty_was_not_given_and_what_cannot_be_read_is_refused_by_name() {
        let query = Query::parse("status=&is_deleted=TRUE&includeArchived=maybe&created_since=2026-03-01");
        assert_eq!((query.text("status"), query.is_true("is_deleted")), (None, Ok(true)));
        assert!(query.is_true("includeArchived").unwrap_err().to_string().contains("'maybe'"));
        let since = query.time("created_since").unwrap().map(|at| at.to_string());
        assert_eq!(since.as_deref(), Some("2026-03-01T00:00:00Z"));
    }
}
