//! The inputs of what metrics are made of: which facts count, when, and within which bounds.

use super::choices::optional;
use super::form::{Input, Kind, Rows, choice, input};
use crate::domain::aggregation::Operation;

/// What can be chosen of.
pub struct Choices {
    pub facts: Kind,
    pub properties: Kind,
}

/// Which fact, and what is made of a subject's facts.
pub fn fact(part: &str, choices: &Choices) -> [Input; 2] {
    let words = Operation::ALL.map(|operation| operation.as_str());
    let operations = optional("choose", words.map(|word| (word.to_owned(), word.replace('_', " "))));
    [
        input(format!("{part}.fact_id"), "Fact", "", choices.facts.clone()),
        input(format!("{part}.operation"), "What of a subject's facts", "", operations),
    ]
}

/// What an aggregation may say besides its fact and its operation.
pub fn details(part: &str, rows: Rows<'_>, choices: &Choices) -> Vec<Input> {
    let mut inputs = filters(part, rows, choices);
    inputs.extend(timeframe(part));
    inputs.extend(winsorization(part));
    inputs.extend(threshold(part));
    inputs.extend([
        input(
            format!("{part}.conversion_threshold_days"),
            "Conversion within days",
            "Of the assignment. Empty: to the end.",
            Kind::Number,
        )
        .of_group("Conversion and retention"),
        input(
            format!("{part}.retention_threshold_days"),
            "Retention from day",
            "So many days after the assignment, or later.",
            Kind::Number,
        )
        .of_group("Conversion and retention"),
    ]);
    inputs
}

/// Facts by their properties.
pub fn filters(part: &str, rows: Rows<'_>, choices: &Choices) -> Vec<Input> {
    let list = format!("{part}.filters");
    let each = (0..rows.of(&list, 1)).flat_map(|i| {
        let group = format!("Filter {}", i + 1);
        filter(&format!("{list}[{i}]"), choices).map(|input| input.of_group(&group))
    });
    each.collect()
}

fn filter(item: &str, choices: &Choices) -> [Input; 3] {
    let comparisons = choice([("equals", "is one of"), ("not_equals", "is none of")]);
    [
        input(
            format!("{item}.property"),
            "Only facts whose",
            "A property of the fact source.",
            choices.properties.clone(),
        ),
        input(format!("{item}.operation"), "Comparison", "", comparisons),
        input(
            format!("{item}.values"),
            "Values",
            "Each on a line of its own; with blanks at an end, in quotes: \" a\".",
            Kind::Lines,
        ),
    ]
}

fn units() -> Kind {
    choice([
        ("days", "days"),
        ("hours", "hours"),
        ("minutes", "minutes"),
        ("weeks", "weeks"),
        ("calendar_days", "days of the UTC calendar"),
    ])
}

/// When facts count, from the assignment on.
pub fn timeframe(part: &str) -> Vec<Input> {
    let whole = within(part, "timeframe");
    let inputs = [
        input(format!("{whole}.start"), "Facts count from", "After the assignment; empty: from it on.", Kind::Number),
        input(format!("{whole}.end"), "to", "Not included, like 7.", Kind::Number),
        input(format!("{whole}.unit"), "Unit", "", units()),
        input(format!("{whole}.only_aged"), "only subjects whose time is over", "", Kind::Flag),
    ];
    inputs.map(|input| input.of_part(&whole).of_group("Timeframe")).into()
}

/// How far a subject's value may be from the others'.
pub fn winsorization(part: &str) -> Vec<Input> {
    let whole = within(part, "winsorization");
    let counted = choice([
        ("all", "all subjects, those without facts as 0"),
        ("with_value", "subjects with a value"),
        ("positive", "subjects above 0"),
    ]);
    let inputs = [
        input(format!("{whole}.lower_percentile"), "Lower percentile", "From 0 to 1.", Kind::Number),
        input(format!("{whole}.upper_percentile"), "Upper percentile", "Like 0.99.", Kind::Number),
        input(format!("{whole}.lower_value"), "or lower value", "", Kind::Number),
        input(format!("{whole}.upper_value"), "or upper value", "", Kind::Number),
        input(format!("{whole}.subjects"), "Percentiles are of", "", counted),
    ];
    inputs.map(|input| input.of_part(&whole).of_group("Winsorization: bounds of a subject's value")).into()
}

fn threshold(part: &str) -> Vec<Input> {
    let whole = within(part, "threshold");
    let limit = format!("{whole}.within");
    let mut inputs = vec![
        input(format!("{whole}.of"), "The subject's", "", choice([("sum", "sum"), ("count", "count")])),
        input(format!("{whole}.comparison"), "is", "", choice([("gte", "at least"), ("gt", "above")])),
        input(format!("{whole}.value"), "Value", "Like 100.", Kind::Number),
    ];
    inputs.extend([
        input(format!("{limit}.length"), "within", "Of the assignment. Empty: to the end.", Kind::Number)
            .of_part(&limit),
        input(format!("{limit}.unit"), "Unit", "", units()).of_part(&limit),
    ]);
    inputs.into_iter().map(|input| input.of_part(&whole).of_group("Threshold")).collect()
}

/// The time that a subject has to come through a funnel.
pub fn conversion_window(part: &str) -> Vec<Input> {
    let whole = within(part, "conversion_window");
    let starts = choice([("assignment", "the assignment"), ("first_step", "the first step")]);
    let inputs = [
        input(format!("{whole}.length"), "All steps within", "Empty: there is no hurry.", Kind::Number),
        input(format!("{whole}.unit"), "Unit", "", units()),
        input(format!("{whole}.from"), "of", "", starts),
    ];
    inputs.map(|input| input.of_part(&whole).of_group("Conversion window")).into()
}

/// The steps of a funnel, each with filters of its own.
pub fn steps(part: &str, rows: Rows<'_>, choices: &Choices) -> Vec<Input> {
    let list = format!("{part}.steps");
    let mut inputs = Vec::new();
    for i in 0..rows.of(&list, MORE_STEPS) {
        let step = format!("{list}[{i}]");
        let mut of_step = vec![
            input(format!("{step}.fact_id"), "Fact", "", choices.facts.clone()),
            input(format!("{step}.name"), "Name of the step", "Empty: that of the fact.", Kind::Optional),
        ];
        let filters = format!("{step}.filters");
        of_step.extend((0..rows.of(&filters, 1)).flat_map(|j| filter(&format!("{filters}[{j}]"), choices)));
        inputs.extend(of_step.into_iter().map(|input| input.of_group(format!("Step {}", i + 1))));
    }
    inputs
}

const MORE_STEPS: usize = 3;

fn within(part: &str, name: &str) -> String {
    if part.is_empty() { name.to_owned() } else { format!("{part}.{name}") }
}
