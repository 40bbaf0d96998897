//! Forms: what they ask for, written once; made into the page, read back from the browser, and sent to the API as JSON. Inputs
//! are called as the API calls the fields, like `variations[1].weight`, so that what it says of a field stands beside the input.

pub mod boxes;
mod fields;
mod json;
mod rows;
pub mod section;

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::Value;

use super::failure::{FieldProblem, Reason};
pub use fields::Fields;
pub use rows::Rows;

const STALE: &str = "Somebody has changed it since this page was made; the history says what. What you wrote stands here: saving \
                     once more writes it over theirs.";

/// What is filled in somewhere.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub label: Cow<'static, str>,
    pub hint: &'static str,
    pub kind: Kind,
    /// What folds away together, for those who look for it; "" is in sight at all times.
    section: &'static str,
    /// What the inputs of one row together are called.
    group: String,
    /// The optional parts of the whole that it is in, like `numerator.timeframe`, besides the items of lists.
    parts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Text,
    /// The same, where nothing is `null`.
    Optional,
    Long,
    Code,
    Number,
    /// With commas between; nothing is `null`.
    Numbers,
    /// Each on a line of its own.
    Lines,
    Flag,
    /// A value and what it is called; the value "" is `null`.
    Choice(Arc<[(String, String)]>),
    /// JSON as the API has it; nothing is `null`.
    Json,
    /// What nobody fills in, and goes back as it came; nothing is `null`.
    Hidden,
}

pub fn input(name: impl Into<String>, label: impl Into<Cow<'static, str>>, hint: &'static str, kind: Kind) -> Input {
    Input { name: name.into(), label: label.into(), hint, kind, section: "", group: String::new(), parts: Vec::new() }
}

pub fn choice<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Kind {
    Kind::Choice(pairs.into_iter().map(|(value, name)| (value.to_owned(), name.to_owned())).collect())
}

impl Input {
    /// Of its text area.
    pub fn lines(&self) -> u32 {
        if self.kind == Kind::Json { 3 } else { 10 }
    }

    pub fn within(self, section: &'static str) -> Self {
        Self { section, ..self }
    }

    /// In one row with those beside it that are in the same group.
    pub fn of_group(self, group: impl Into<String>) -> Self {
        Self { group: group.into(), ..self }
    }

    /// Where nothing is filled in of the part, there is none.
    pub fn of_part(mut self, part: impl Into<String>) -> Self {
        self.parts.push(part.into());
        self
    }

    pub fn is(&self, kind: &str) -> bool {
        match self.kind {
            Kind::Text | Kind::Optional | Kind::Numbers => kind == "text",
            Kind::Number => kind == "number",
            Kind::Long | Kind::Lines => kind == "long",
            Kind::Code | Kind::Json => kind == "code",
            Kind::Flag => kind == "flag",
            Kind::Choice(_) => kind == "choice",
            Kind::Hidden => kind == "hidden",
        }
    }

    /// What it is in that may be absent as a whole, from the outside in: optional parts, and items of lists like `facts[1]`.
    fn wholes(&self) -> Vec<&str> {
        let items = self.name.match_indices(']').map(|(end, _)| &self.name[..=end]);
        let mut wholes: Vec<_> = items.chain(self.parts.iter().map(String::as_str)).collect();
        wholes.sort_by_key(|whole| whole.len());
        wholes
    }

    /// Whether something was filled in. Choices that cannot be empty say something at all times, and so do boxes, but for those
    /// that are ticked in an optional part: nobody ticks one there without wanting the part.
    fn is_filled(&self, fields: &Fields) -> bool {
        match &self.kind {
            Kind::Flag => !self.parts.is_empty() && fields.is_on(&self.name),
            Kind::Hidden => false,
            Kind::Choice(choices) if choices.iter().all(|(value, _)| !value.is_empty()) => false,
            _ => !fields.text(&self.name).trim().is_empty(),
        }
    }

    pub fn choices(&self) -> &[(String, String)] {
        if let Kind::Choice(choices) = &self.kind { choices } else { &[] }
    }
}

/// By what an input is described, as attributes.
pub fn described(input: &Input, is_wrong: bool) -> String {
    let name = &input.name;
    let hint = (!input.hint.is_empty()).then(|| format!("{name}-hint"));
    let error = is_wrong.then(|| format!("{name}-error"));
    let all: Vec<_> = hint.into_iter().chain(error).collect();
    let invalid = if is_wrong { " aria-invalid=\"true\"" } else { "" };
    if all.is_empty() { String::new() } else { format!("aria-describedby=\"{}\"{invalid}", all.join(" ")) }
}

/// Inputs, what stands in them, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Form {
    pub inputs: Vec<Input>,
    fields: Fields,
    errors: Vec<FieldProblem>,
    detail: Option<String>,
    status: StatusCode,
}

impl Form {
    /// With what the API shows, or nothing.
    pub fn of(inputs: Vec<Input>, shown: &Value) -> Self {
        let fields = inputs.iter().flat_map(|input| json::fields(input, shown)).collect();
        Self { inputs, fields, errors: Vec::new(), detail: None, status: StatusCode::OK }
    }

    /// As somebody has filled it in.
    pub fn filled(inputs: Vec<Input>, fields: Fields) -> Self {
        Self { inputs, fields, errors: Vec::new(), detail: None, status: StatusCode::OK }
    }

    /// The same with what the API shows, wherever that is what was sent: browsers end lines in their own way, and what nobody
    /// touched stays to the letter.
    pub fn over(mut self, shown: &Value) -> Self {
        for (name, stored) in self.inputs.iter().filter_map(|input| json::fields(input, shown)) {
            self.fields.keep(name, stored);
        }
        self
    }

    /// The same with why the API did not take it.
    pub fn refused(mut self, reason: Reason) -> Self {
        self.detail = match reason.status {
            StatusCode::PRECONDITION_FAILED => Some(STALE.to_owned()),
            _ => reason.errors.is_empty().then_some(reason.detail),
        };
        self.errors = reason.errors;
        // What is taken is told by one text, which begins with the field.
        let named = self.detail.as_deref().and_then(|detail| detail.split_once(": "));
        if let Some((field, message)) = named.filter(|(field, _)| self.inputs.iter().any(|input| input.name == *field))
        {
            self.errors.push(FieldProblem { field: field.to_owned(), message: message.to_owned() });
            self.detail = None;
        }
        for error in &mut self.errors {
            error.field = json::place_in_form(&self.inputs, &self.fields, &error.field);
            // What a program gives as `null`, a person has left empty.
            let is_asked_for = self.inputs.iter().any(|input| input.name == error.field);
            if is_asked_for && self.fields.text(&error.field).trim().is_empty() {
                error.message = error.message.replacen("null was given", "nothing is filled in", 1);
            }
        }
        self.status = reason.status;
        self
    }

    /// Of the page that it stands on.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What the API is sent. Rows of lists in which nothing was filled in are left out.
    pub fn to_json(&self) -> Value {
        json::value(&self.inputs, &self.fields)
    }

    /// The inputs from one to another.
    pub fn part(&self, first: &str, last: &str) -> &[Input] {
        let place = |name: &str| self.inputs.iter().position(|input| input.name == name);
        let (first, last) = (place(first).unwrap_or(0), place(last).map_or(0, |place| place + 1));
        self.inputs.get(first..last).unwrap_or_default()
    }

    /// What stands in a choice though it is none of those that are offered: it is kept unless another is chosen.
    pub fn unlisted(&self, input: &Input) -> Option<String> {
        let value = self.value(input);
        let is_listed = value.is_empty() || input.choices().iter().any(|(other, _)| *other == value);
        (!is_listed).then_some(value)
    }

    pub fn value(&self, input: &Input) -> String {
        self.fields.text(&input.name)
    }

    pub fn is_on(&self, input: &Input) -> bool {
        self.fields.is_on(&input.name)
    }

    /// Whether it does not fit into an input of one line, from which browsers take line breaks.
    pub fn has_lines(&self, input: &Input) -> bool {
        input.is("text") && self.value(input).contains(['\r', '\n'])
    }

    pub fn error(&self, input: &Input) -> Option<&str> {
        self.problem(input).map(|problem| problem.message.as_str())
    }

    fn problem(&self, input: &Input) -> Option<&FieldProblem> {
        // What is wrong with a part of a value stands beside the whole.
        let is_of = |field: &str| {
            let rest = field.strip_prefix(input.name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.errors.iter().find(|error| is_of(&error.field))
    }

    /// What is wrong that no input stands for.
    pub fn others(&self) -> Vec<String> {
        let seen = self.inputs.iter().filter(|input| !input.is("hidden"));
        let told: Vec<_> = seen.filter_map(|input| self.problem(input)).collect();
        let is_other = |error: &&FieldProblem| !told.iter().any(|told| std::ptr::eq(*told, *error));
        let others = self
            .errors
            .iter()
            .filter(is_other)
            .map(|error| format!("{}: {}", self.title_of(&error.field), error.message));
        self.detail.iter().cloned().chain(others).collect()
    }

    pub fn is_refused(&self) -> bool {
        self.detail.is_some() || self.has_errors()
    }

    /// Whether something stands beside an input.
    pub fn has_marks(&self) -> bool {
        self.inputs.iter().any(|input| !input.is("hidden") && self.problem(input).is_some())
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }
}
