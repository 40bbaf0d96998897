//! In which order a list stands, and where in it a page begins. A place says by its own values what comes behind it, so that it
//! is found though the thing that stood there has moved or gone.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::error::Refusal;

/// What things are sorted by; those that are equal in it, by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    Id,
    Name,
    CreatedAt,
    UpdatedAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub by: SortBy,
    pub is_descending: bool,
}

/// What may be asked for, as it is written: `-` before it turns it round.
const ALL: [(&str, SortBy); 4] =
    [("id", SortBy::Id), ("name", SortBy::Name), ("created_at", SortBy::CreatedAt), ("updated_at", SortBy::UpdatedAt)];

impl Sort {
    pub const fn by(by: SortBy) -> Self {
        Self { by, is_descending: false }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = ALL.iter().find(|(_, by)| *by == self.by).map_or("id", |(word, _)| word);
        write!(f, "{}{word}", if self.is_descending { "-" } else { "" })
    }
}

impl schemars::JsonSchema for Sort {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sort".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let words: Vec<String> = ALL.iter().flat_map(|(word, _)| [(*word).to_owned(), format!("-{word}")]).collect();
        schemars::json_schema!({
            "description": "What the list is sorted by; `-` turns it round.", "type": "string", "enum": words,
        })
    }
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_descending, word) = text.strip_prefix('-').map_or((false, text), |word| (true, word));
        let found = ALL.iter().find(|(known, _)| *known == word);
        found.map(|(_, by)| Self { by: *by, is_descending }).ok_or_else(|| {
            let allowed: Vec<_> = ALL.iter().map(|(word, _)| *word).collect();
            format!(
                "'{text}' was given; {} are allowed, or one of them behind '-', to turn it round",
                allowed.join(", ")
            )
        })
    }
}

/// A number or a text that things are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SortValue {
    Number(i64),
    Text(String),
}

impl fmt::Display for SortValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Where something stands in a sorted list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub at: SortValue,
    pub id: SortValue,
}

/// How names are sorted: without regard to case, and long ones by their beginnings.
pub fn sort_name(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).take(100).collect()
}

impl Place {
    /// The cursor behind it. Of a list in order of ids, the id alone.
    pub fn cursor(&self, sort: Sort) -> String {
        if sort == Sort::by(SortBy::Id) {
            return self.id.to_string();
        }
        let text = serde_json::json!([sort.to_string(), self.at, self.id]).to_string();
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    /// Of what a page of the same list gave; `id` reads an id of its kind.
    pub fn parse(cursor: &str, sort: Sort, id: impl Fn(&str) -> Option<SortValue>) -> Result<Option<Self>, Refusal> {
        if cursor.is_empty() {
            return Ok(None);
        }
        let place = if sort == Sort::by(SortBy::Id) { id(cursor).map(Self::of_id) } else { read(cursor, sort, id) };
        place.map(Some).ok_or_else(|| {
            let allowed = format!("what a page of the same list gave as 'next' is allowed (sort={sort}), or nothing");
            Refusal::invalid("after", format!("'{cursor}' was given; {allowed}"))
        })
    }

    fn of_id(id: SortValue) -> Self {
        Self { at: id.clone(), id }
    }
}

fn read(cursor: &str, sort: Sort, id: impl Fn(&str) -> Option<SortValue>) -> Option<Place> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (word, at, text): (String, SortValue, SortValue) = serde_json::from_slice(&bytes).ok()?;
    let id = id(&text.to_string())?;
    let fits = match sort.by {
        SortBy::Id => at == id,
        SortBy::Name => matches!(&at, SortValue::Text(text) if !text.contains('\0')),
        SortBy::CreatedAt | SortBy::UpdatedAt => matches!(at, SortValue::Number(_)),
    };
    (word == sort.to_string() && fits).then_some(Place { at, id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Option<SortValue> {
        text.parse().ok().map(SortValue::Number)
    }

    #[test]
    fn a_sort_is_read_as_it_is_written() {
        for text in ["id", "-id", "name", "-updated_at"] {
            assert_eq!(text.parse::<Sort>().unwrap().to_string(), text);
        }
        for text in ["", "-", "--id", "Name", "status"] {
            assert!(text.parse::<Sort>().unwrap_err().contains("updated_at"), "{text}");
        }
    }

    #[test]
    fn the_cursor_of_another_order_is_refused() {
        let place = Place { at: SortValue::Text("a".into()), id: SortValue::Number(5) };
        let by_name: Sort = "name".parse().unwrap();
        let cursor = place.cursor(by_name);
        assert_eq!(Place::parse(&cursor, by_name, number).unwrap(), Some(place));
        for other in ["-name", "updated_at", "id"] {
            let refused = Place::parse(&cursor, other.parse().unwrap(), number).unwrap_err().to_string();
            assert!(refused.contains(&format!("sort={other}")), "{refused}");
        }
        assert_eq!(Place::parse("", by_name, number).unwrap(), None);
        assert_eq!(Place::parse("7", Sort::by(SortBy::Id), number).unwrap().unwrap().at, SortValue::Number(7));
    }

    proptest! {
        #[test]
        fn no_cursor_is_read_as_what_it_is_not(cursor in "\\PC{1,40}") {
            let by_name = Sort { by: SortBy::Name, is_descending: true };
            if let Ok(Some(place)) = Place::parse(&cursor, by_name, number) {
                prop_assert_eq!(place.cursor(by_name), cursor);
            }
        }

        #[test]
        fn a_place_is_read_as_it_was_given(name in "\\PC{0,20}", id: i64) {
            let place = Place { at: SortValue::Text(sort_name(&name)), id: SortValue::Number(id) };
            let by_name = Sort { by: SortBy::Name, is_descending: true };
            prop_assert_eq!(Place::parse(&place.cursor(by_name), by_name, number).unwrap(), Some(place));
        }
    }
}
