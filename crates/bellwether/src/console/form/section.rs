//! How a form is laid out: inputs of one row together, and what few look for folded away.

use serde_json::Value;

use super::{Fields, Form, Input, Kind, json};

/// Inputs that stand in one row, if they have a name together; or one alone.
pub struct Group<'a> {
    pub name: &'a str,
    pub inputs: Vec<&'a Input>,
}

/// What folds away together.
pub struct Section<'a> {
    pub title: &'static str,
    /// Its place in the form, from 1 on.
    pub number: usize,
    /// Whether something is to be seen: what need not be there, what is wrong, or what was written and not taken.
    pub is_open: bool,
    pub has_errors: bool,
    pub groups: Vec<Group<'a>>,
}

impl Form {
    /// What is in sight at all times.
    pub fn groups(&self) -> Vec<Group<'_>> {
        self.groups_of("")
    }

    /// What is not, in the order of its first inputs.
    pub fn sections(&self) -> Vec<Section<'_>> {
        let section = |(place, title): (usize, &'static str)| {
            let inputs = || self.inputs.iter().filter(|input| input.section == title);
            let is_worth_seeing = |input: &Input| match input.wholes().is_empty() {
                true => self.is_refused(),
                false => input.is_filled(&self.fields),
            };
            let has_errors = inputs().any(|input| self.error(input).is_some() || self.is_in_what_is_wrong(input));
            let is_open = has_errors || inputs().any(is_worth_seeing);
            Section { title, number: place + 1, is_open, has_errors, groups: self.groups_of(title) }
        };
        self.titles().into_iter().enumerate().map(section).collect()
    }

    /// Whether something is wrong with a whole that the input is a part of.
    fn is_in_what_is_wrong(&self, input: &Input) -> bool {
        self.errors.iter().any(|error| is_below(&input.name, &error.field))
    }

    /// What people call a part of the whole that has no input of its own: by its row or by what folds away with it.
    pub fn title_of<'a>(&'a self, field: &'a str) -> &'a str {
        let below = || self.inputs.iter().filter(|input| is_below(&input.name, field));
        let Some(first) = below().next() else { return field };
        let titles = [first.group.as_str(), first.section];
        let is_of_all =
            [below().all(|input| input.group == first.group), below().all(|input| input.section == first.section)];
        let named = titles.into_iter().zip(is_of_all).find(|(title, is_of_all)| *is_of_all && !title.is_empty());
        named.map_or(field, |(title, _)| title)
    }

    fn titles(&self) -> Vec<&'static str> {
        let mut titles: Vec<&'static str> = Vec::new();
        for input in self.inputs.iter().filter(|input| !input.section.is_empty()) {
            if !titles.contains(&input.section) {
                titles.push(input.section);
            }
        }
        titles
    }

    fn title(&self, number: &str) -> Option<&'static str> {
        let place = number.parse::<usize>().ok()?.checked_sub(1)?;
        self.titles().get(place).copied()
    }

    /// The same with what somebody has filled in of one section, which has this number, and what nobody touched to the letter;
    /// `None` where nothing of it was sent.
    pub fn with_section(mut self, number: &str, sent: &Fields) -> Option<Self> {
        let title = self.title(number)?;
        let mut is_sent = false;
        for input in self.inputs.iter().filter(|input| input.section == title) {
            let given = sent.given(&input.name);
            is_sent |= given.is_some();
            let stored = self.fields.0.remove(&input.name);
            self.fields.0.extend(given.map(|value| (input.name.clone(), value.to_owned())));
            stored.into_iter().for_each(|stored| self.fields.keep(input.name.clone(), stored));
        }
        is_sent.then_some(self)
    }

    /// What the API is sent of one section.
    pub fn section_json(&self, number: &str) -> Value {
        let title = self.title(number);
        let inputs: Vec<_> = self.inputs.iter().filter(|input| Some(input.section) == title).cloned().collect();
        json::value(&inputs, &self.fields)
    }

    /// What stands in an input, for those who only read.
    pub fn in_words(&self, input: &Input) -> String {
        let value = self.value(input);
        match &input.kind {
            Kind::Flag => if self.is_on(input) { "yes" } else { "no" }.to_owned(),
            Kind::Choice(choices) => {
                choices.iter().find(|(other, _)| *other == value).map_or(value, |(_, name)| name.clone())
            }
            _ if value.is_empty() => "–".to_owned(),
            Kind::Lines => value.lines().collect::<Vec<_>>().join(", "),
            _ => value,
        }
    }

    /// The parts of a group in words: boxes by their labels where they are ticked.
    pub fn group_in_words(&self, group: &Group<'_>) -> String {
        let part = |input: &&Input| match &input.kind {
            Kind::Flag => self.is_on(input).then(|| input.label.to_string()),
            _ if self.value(input).is_empty() => None,
            _ => Some(format!("{} {}", input.label.to_lowercase(), self.in_words(input))),
        };
        group.inputs.iter().filter_map(part).collect::<Vec<_>>().join(", ")
    }

    /// Whether anything is filled in of a group.
    pub fn is_group_filled(&self, group: &Group<'_>) -> bool {
        group.inputs.iter().any(|input| input.is_filled(&self.fields))
    }

    fn groups_of(&self, section: &str) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for input in self.inputs.iter().filter(|input| input.section == section) {
            match groups.last_mut() {
                Some(group) if !group.name.is_empty() && group.name == input.group => group.inputs.push(input),
                _ => groups.push(Group { name: &input.group, inputs: vec![input] }),
            }
        }
        groups
    }
}

fn is_below(name: &str, whole: &str) -> bool {
    name.strip_prefix(whole).is_some_and(|rest| rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::console::failure::{FieldProblem, Reason};
    use crate::console::form::{Kind, input};

    #[test]
    fn what_is_wrong_with_a_whole_is_called_as_its_part_of_the_form_which_opens() {
        let part = |name: &str| input(name, "", "", Kind::Optional).within("Denominator").of_part("denominator");
        let inputs = vec![
            input("kind", "", "", Kind::Text),
            part("denominator.fact_id"),
            part("denominator.timeframe.end").of_group("Timeframe"),
            part("denominator.timeframe.unit").of_group("Timeframe"),
            input("percentile.fact_id", "", "", Kind::Optional).within("Percentile").of_part("percentile"),
        ];
        let problem = |field: &str| FieldProblem { field: field.to_owned(), message: "it is missing".to_owned() };
        let errors = ["denominator", "denominator.timeframe", "nothing"].map(problem).into();
        let taken = Reason { status: StatusCode::CONFLICT, detail: "kind: it is taken".into(), errors: Vec::new() };
        let told = Form::filled(inputs.clone(), Fields::default()).refused(taken);
        assert_eq!((told.error(&told.inputs[0]), told.others().len()), (Some("it is taken"), 0), "beside its input");
        let reason = Reason { status: StatusCode::UNPROCESSABLE_ENTITY, detail: String::new(), errors };
        let form = Form::filled(inputs, Fields::default()).refused(reason);
        let others = ["Denominator: it is missing", "Timeframe: it is missing", "nothing: it is missing"];
        assert_eq!(form.others(), others);
        let open: Vec<_> = form.sections().iter().map(|section| (section.title, section.is_open)).collect();
        assert_eq!(open, [("Denominator", true), ("Percentile", false)]);
    }
}
