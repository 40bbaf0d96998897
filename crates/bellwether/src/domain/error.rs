//! Why a request was refused, in words for the one who made it. What the store or the network did wrong is not here.

use std::fmt;

/// A refusal changes nothing. Each names what was given, what is allowed and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// One or more fields of the request cannot be accepted.
    #[error("{}", list(.0))]
    Invalid(Vec<FieldError>),
    #[error("there is no {kind} '{id}'; {hint}")]
    NotFound { kind: &'static str, id: String, hint: &'static str },
    /// The request is well formed, but what is stored stands against it.
    #[error("{detail}")]
    Conflict { kind: Conflict, detail: String },
    /// The caller edits something that another has changed since it was read.
    #[error(
        "version {given} was given in If-Match, but the current version is {current}; read it again, then repeat the edit"
    )]
    Stale { given: String, current: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// A name or key that must be unique is taken.
    Taken,
    /// Something else still refers to it.
    InUse,
    /// The status does not allow it.
    IllegalTransition,
    /// It is not in the state that this needs.
    State,
    /// A request under the same key of idempotency was first.
    SameKey,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path in the request body, like `variations[1].weight`.
    pub field: String,
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Refusal {
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }

    pub fn conflict(kind: Conflict, detail: impl Into<String>) -> Self {
        Self::Conflict { kind, detail: detail.into() }
    }

    /// The same of fields that stand below `path` in the request.
    pub fn below(self, path: &str) -> Self {
        match self {
            Self::Invalid(errors) => {
                let below = |error: FieldError| FieldError { field: format!("{path}{}", error.field), ..error };
                Self::Invalid(errors.into_iter().map(below).collect())
            }
            other => other,
        }
    }

    pub fn not_found(kind: &'static str, id: impl fmt::Display) -> Self {
        Self::NotFound { kind, id: id.to_string(), hint: "list them to see which there are" }
    }
}

/// What a user writes and the domain can judge by itself.
pub trait Validate {
    fn validate(&self) -> Result<(), Refusal>;
}

/// Of a key or another name, in characters.
pub const LONGEST_NAME: usize = 200;

/// More errors than anybody mends at once only make the answer huge.
pub const MOST_ERRORS: usize = 100;

/// What a library says of a value that is of another kind than it should be, without the names of our types.
pub fn in_plain_words(text: &str) -> String {
    let Some((given, expected)) = text.split_once(", expected ") else { return of_a_number(text).to_owned() };
    let (expected, place) = expected
        .split_once(" at line")
        .map_or((expected, String::new()), |(expected, place)| (expected, format!(" at line{place}")));
    let kind = expected.split(' ').next().unwrap_or_default();
    let plain = match kind {
        "struct" | "map" => "an object",
        "a" if expected == "a map" => "an object",
        "a" if expected == "a sequence" => "a list",
        "a" if expected == "a boolean" => "true or false",
        "tuple" => "a list",
        "unit" | "option" => "null",
        "internally" | "adjacently" => "an object",
        "enum" | "variant" => "one of the words in the docs",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        _ => expected,
    };
    let given =
        given.replace("invalid type: map", "an object was given").replace("invalid type: sequence", "a list was given");
    let given = given.replace("invalid type: ", "").replace("invalid value: ", "");
    let given = if given.ends_with("was given") { given } else { format!("{given} was given") };
    format!("{given}; {plain} is expected{place}")
}

/// The same of a text that should be a number, or a yes or no.
fn of_a_number(text: &str) -> &str {
    match text {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "a whole number that is not negative is expected"
        }
        "number too large to fit in target type" => "a smaller number is expected",
        "provided string was not `true` or `false`" => "true or false is expected",
        other => other,
    }
}

/// Collects the errors of several fields, so that a user mends them all at once; the first hundred are kept.
#[derive(Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < MOST_ERRORS {
            self.0.push(FieldError { field: field.into(), message: message.into() });
        }
    }

    pub fn check(&mut self, holds: bool, field: &str, message: impl FnOnce() -> String) {
        // No message is put together that nobody will read.
        if !holds && self.0.len() < MOST_ERRORS {
            self.add(field, message());
        }
    }

    /// A name or text field: its length in characters, and no U+0000, which PostgreSQL cannot store.
    pub fn text(&mut self, field: &str, given: &str, longest: usize) {
        let length = given.chars().count();
        self.check(length <= longest, field, || {
            format!("{length} characters were given; at most {longest} are allowed")
        });
        self.check(!given.contains('\0'), field, || "U+0000 was given; it is not allowed in any text".to_owned());
    }

    /// The items to go on to check: none where there are too many, lest one request costs much work.
    pub fn at_most<'a, T>(&mut self, field: &str, items: &'a [T], most: usize) -> &'a [T] {
        let count = items.len();
        self.check(count <= most, field, || format!("{count} were given; at most {most} are allowed"));
        if count <= most { items } else { &[] }
    }

    pub fn name(&mut self, field: &str, given: &str) {
        self.text(field, given, LONGEST_NAME);
        self.check(!given.trim().is_empty(), field, || {
            "it is empty; give it at least one visible character".to_owned()
        });
    }

    pub fn finish(self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal::Invalid(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_library_says_becomes_plain() {
        for (text, plain) in [
            ("invalid type: map, expected a string", "an object was given; a string is expected"),
            ("invalid type: string \"x\", expected struct Filter", "string \"x\" was given; an object is expected"),
            (
                "invalid value: integer `4294967296`, expected u32",
                "integer `4294967296` was given; a whole number from 0 to 4294967295 is expected",
            ),
            ("unknown variant `x`, expected `a` or `b`", "unknown variant `x` was given; `a` or `b` is expected"),
            ("invalid digit found in string", "a whole number that is not negative is expected"),
            ("missing field `name`", "missing field `name`"),
        ] {
            assert_eq!(in_plain_words(text), plain);
        }
    }

    #[test]
    fn a_hundred_errors_are_kept_and_no_more_are_put_together() {
        let (mut errors, mut written) = (FieldErrors::default(), 0);
        for _ in 0..1000 {
            errors.check(false, "f", || {
                written += 1;
                "wrong".to_owned()
            });
        }
        assert_eq!(written, MOST_ERRORS);
    }
}
