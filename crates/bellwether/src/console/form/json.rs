//! Between the inputs of a form and JSON: where each input's value stands in it is what the input is called.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::fields::MOST_ROWS;
use super::{Fields, Input, Kind};
use crate::api::parse_json;

/// A step on the way to a value.
#[derive(Debug, PartialEq)]
enum Step<'a> {
    Field(&'a str),
    Place(usize),
}

/// Of a name like `variations[1].weight`.
fn steps(name: &str) -> Vec<Step<'_>> {
    let parts = name.split(['.', '[']).map(|part| part.strip_suffix(']').map_or((part, false), |part| (part, true)));
    parts
        .map(|(part, is_place)| match part.parse() {
            Ok(place) if is_place => Step::Place(place),
            _ => Step::Field(part),
        })
        .collect()
}

fn step<'a>(value: &'a Value, step: &Step<'_>) -> Option<&'a Value> {
    match step {
        Step::Field(name) => value.get(name),
        Step::Place(place) => value.get(place),
    }
}

fn find<'a>(shown: &'a Value, name: &str) -> Option<&'a Value> {
    steps(name).iter().try_fold(shown, step)
}

/// What stands in an input, by what the API shows.
pub fn fields(input: &Input, shown: &Value) -> Option<(String, String)> {
    let value = find(shown, &input.name)?;
    let items = || value.as_array().into_iter().flatten();
    let text = match (&input.kind, value) {
        (_, Value::Null) => return None,
        (Kind::Flag, value) => {
            return value.as_bool().filter(|is_on| *is_on).map(|_| (input.name.clone(), "on".to_owned()));
        }
        (Kind::Lines, _) => items().filter_map(Value::as_str).map(line).collect::<Vec<_>>().join("\n"),
        (Kind::Numbers, _) => items().map(Value::to_string).collect::<Vec<_>>().join(", "),
        (Kind::Json, value) => serde_json::to_string_pretty(value).unwrap_or_default(),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Number(number)) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
            number.to_string().trim_end_matches(".0").to_owned()
        }
        (_, other) => other.to_string(),
    };
    Some((input.name.clone(), text))
}

/// What the API shows as a text at this place.
pub fn text(shown: &Value, name: &str) -> String {
    find(shown, name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// How many items a list has in what the API shows.
pub fn items(shown: &Value, list: &str) -> usize {
    find(shown, list).and_then(Value::as_array).map_or(0, Vec::len)
}

/// What the API is sent of all inputs. Of what may be absent and has nothing filled in: lists without it, and `null`.
pub fn value(inputs: &[Input], fields: &Fields) -> Value {
    let filled = inputs.iter().filter(|input| input.is_filled(fields));
    let present: HashSet<&str> = filled.flat_map(Input::wholes).collect();
    let mut whole = Value::Object(Map::new());
    for input in inputs {
        match input.wholes().into_iter().find(|whole| !present.contains(whole)) {
            None => put(&mut whole, &steps(&input.name), read(input, fields)),
            Some(absent) => match absent.rsplit_once('[') {
                Some((list, _)) if absent.ends_with(']') => put_list(&mut whole, &steps(list)),
                _ => put(&mut whole, &steps(absent), Value::Null),
            },
        }
    }
    without_gaps(whole)
}

/// Where the form has what the API calls so: rows in which nothing is filled in are not sent, and the API does not count them.
pub fn place_in_form(inputs: &[Input], fields: &Fields, name: &str) -> String {
    let filled = inputs.iter().filter(|input| input.is_filled(fields));
    let present: HashSet<&str> = filled.flat_map(Input::wholes).collect();
    steps(name).iter().fold(String::new(), |place, step| match step {
        Step::Field(field) if place.is_empty() => (*field).to_owned(),
        Step::Field(field) => format!("{place}.{field}"),
        Step::Place(sent) => {
            let is_sent = |row: &usize| present.contains(format!("{place}[{row}]").as_str());
            let row = (0..MOST_ROWS).filter(is_sent).nth(*sent).unwrap_or(*sent);
            format!("{place}[{row}]")
        }
    })
}

/// An empty list, unless there is one.
fn put_list(into: &mut Value, way: &[Step<'_>]) {
    let found = way.iter().try_fold(&*into, step);
    if found.is_none_or(Value::is_null) {
        put(into, way, Value::Array(Vec::new()));
    }
}

fn read(input: &Input, fields: &Fields) -> Value {
    let text = fields.text(&input.name);
    match &input.kind {
        Kind::Text | Kind::Long | Kind::Code => Value::String(text),
        Kind::Optional | Kind::Choice(_) | Kind::Hidden => fields.optional(&input.name),
        Kind::Flag => Value::Bool(fields.is_on(&input.name)),
        Kind::Lines => text.lines().map(str::trim).filter(|word| !word.is_empty()).map(of_line).collect(),
        Kind::Number | Kind::Numbers | Kind::Json if text.trim().is_empty() => Value::Null,
        Kind::Number => number(text.trim()),
        Kind::Numbers => text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(number).collect(),
        // What stands twice in it stays a text, which is refused: of two values one would be lost.
        Kind::Json => parse_json(text.as_bytes()).unwrap_or(Value::String(text)),
    }
}

/// A text on a line of its own: in quotes, as in JSON, where it could not be told from another otherwise.
fn line(text: &str) -> String {
    let is_plain = !text.is_empty() && text.trim() == text && !text.starts_with('"') && !text.contains(['\r', '\n']);
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

fn of_line(line: &str) -> String {
    let quoted = line.starts_with('"').then(|| serde_json::from_str(line).ok()).flatten();
    quoted.unwrap_or_else(|| line.to_owned())
}

/// What is none goes there as it is: the API says what is allowed.
fn number(text: &str) -> Value {
    let number = serde_json::from_str(text).ok().filter(Value::is_number);
    // People write `.5` and `+1`, too. Words like `inf` are read by `parse`, and are no figures.
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || ['.', '+', '-'].contains(&c));
    let plain = || text.parse::<f64>().ok().filter(|_| is_plain).and_then(serde_json::Number::from_f64);
    number.or_else(|| plain().map(Value::Number)).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn put(into: &mut Value, way: &[Step<'_>], value: Value) {
    let Some((step, rest)) = way.split_first() else {
        *into = value;
        return;
    };
    match step {
        Step::Field(name) => {
            if !into.is_object() {
                *into = Value::Object(Map::new());
            }
            if let Value::Object(fields) = into {
                put(fields.entry(*name).or_insert(Value::Null), rest, value);
            }
        }
        Step::Place(place) => {
            if !into.is_array() {
                *into = Value::Array(Vec::new());
            }
            if let Value::Array(items) = into {
                items.resize(items.len().max(place + 1), Value::Null);
                put(&mut items[*place], rest, value);
            }
        }
    }
}

/// What nothing was filled in of is left out of lists and of the parts of the whole, and a part of which nothing is left is
/// `null`; only the whole itself says `null` of its fields, for an edit takes what it does not name as it is.
fn without_gaps(whole: Value) -> Value {
    match whole {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, filled(value))).collect(),
        other => filled(other),
    }
}

fn filled(part: Value) -> Value {
    match part {
        Value::Array(items) => items.into_iter().map(filled).filter(|item| !item.is_null()).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, filled(value)));
            let fields: Map<_, _> = fields.filter(|(_, value)| !value.is_null()).collect();
            if fields.is_empty() { Value::Null } else { Value::Object(fields) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use axum::http::StatusCode;

    use super::*;
    use crate::console::failure::{FieldProblem, Reason};
    use crate::console::form::{Form, input};

    fn inputs() -> Vec<Input> {
        let mut inputs = vec![
            input("name", "", "", Kind::Text),
            input("owner", "", "", Kind::Optional),
            input("tags", "", "", Kind::Lines),
            input("plan.level", "", "", Kind::Number),
            input("plan.cuped", "", "", Kind::Flag),
        ];
        for i in 0..3 {
            inputs.push(input(format!("variations[{i}].key"), "", "", Kind::Text));
            inputs.push(input(format!("variations[{i}].is_control"), "", "", Kind::Flag));
        }
        inputs
    }

    #[test]
    fn what_is_shown_is_sent_back_as_it_was() {
        let shown = json!({
            "name": "One", "owner": null, "tags": ["a", "b c"], "plan": {"level": 0.95, "cuped": true},
            "variations": [{"key": "control", "is_control": true}, {"key": "treatment", "is_control": false}],
        });
        assert_eq!(Form::of(inputs(), &shown).to_json(), shown);
    }

    #[test]
    fn lines_are_sent_back_as_they_were_whatever_is_in_them() {
        let blanks = ["plain", " blank ", "", "two\nlines", "a\r", "old\rlines", "a\r\nb"];
        let lines = [&blanks[..], &["\"quoted\"", "\"half", "a, b", "\u{2028}x"]].concat();
        let shown = json!({"tags": lines});
        let inputs = vec![input("tags", "", "", Kind::Lines)];
        assert_eq!(Form::of(inputs.clone(), &shown).to_json(), shown);
        // What people leave behind a word means nothing.
        let typed = Form::filled(inputs, Fields::of([("tags", " one \r\n\r\n\"two\r\n")]));
        assert_eq!(typed.to_json(), json!({"tags": ["one", "\"two"]}));
    }

    #[test]
    fn numbers_are_read_as_people_write_them_and_what_is_none_goes_on_as_it_is() {
        let read = |text: &str| {
            let inputs = vec![input("n", "", "", Kind::Number)];
            Form::filled(inputs, Fields::of([("n", text)])).to_json()["n"].clone()
        };
        assert_eq!(
            [".5", "+2", " 3 ", "-.25", "1e3"].map(read),
            [json!(0.5), json!(2.0), json!(3), json!(-0.25), json!(1e3)]
        );
        assert_eq!(
            ["1,5", "2%", "nan", "inf", "1.2.3", "-"].map(read),
            ["1,5", "2%", "nan", "inf", "1.2.3", "-"].map(Value::from)
        );
        let twice = vec![input("tables", "", "", Kind::Json)];
        let text = "{\"a\": 1, \"a\": 2}";
        assert_eq!(Form::filled(twice, Fields::of([("tables", text)])).to_json()["tables"], text, "and is refused");
    }

    #[test]
    fn what_nobody_touched_is_sent_back_to_the_letter_though_browsers_end_lines_in_their_own_way() {
        let shown = json!({"name": "old\rlines\r\n", "owner": "two\r\nlines", "tags": ["a"]});
        let inputs = || inputs().into_iter().take(3).collect::<Vec<_>>();
        let sent = Fields::of([("name", "old\r\nlines\r\n"), ("owner", "two\r\nlines!"), ("tags", "a")]);
        let form = Form::filled(inputs(), sent).over(&shown);
        assert_eq!(form.to_json(), json!({"name": "old\rlines\r\n", "owner": "two\nlines!", "tags": ["a"]}));
    }

    #[test]
    fn a_part_without_anything_is_null_and_says_nothing_of_what_is_missing_in_it() {
        let inputs = vec![
            input("numerator.fact_id", "", "", Kind::Optional),
            input("numerator.filters", "", "", Kind::Json),
            input("denominator.fact_id", "", "", Kind::Optional),
            input("team_id", "", "", Kind::Optional),
        ];
        let fields = Fields::of([("numerator.fact_id", "fact_1")]);
        let sent = Form::filled(inputs, fields).to_json();
        assert_eq!(sent, json!({"numerator": {"fact_id": "fact_1"}, "denominator": null, "team_id": null}));
    }

    #[test]
    fn rows_without_anything_are_left_out_and_what_is_no_number_is_sent_as_it_is() {
        let fields =
            [("name", "x\r\ny"), ("plan.level", "many"), ("variations[0].key", ""), ("variations[2].key", "b")];
        let fields = Fields::of(fields);
        let sent = Form::filled(inputs(), fields).to_json();
        assert_eq!(
            sent,
            json!({"name": "x\ny", "owner": null, "tags": [], "plan": {"level": "many", "cuped": false},
                   "variations": [{"key": "b", "is_control": false}]})
        );
    }

    #[test]
    fn what_is_left_empty_is_told_as_people_say_it() {
        let problem = |field: &str| FieldProblem {
            field: field.to_owned(),
            message: "null was given; a number is expected".to_owned(),
        };
        let errors = vec![problem("plan.level"), problem("unknown")];
        let reason = Reason { status: StatusCode::UNPROCESSABLE_ENTITY, detail: String::new(), errors };
        let form = Form::filled(inputs(), Fields::of([("plan.level", " ")])).refused(reason);
        let told = |name: &str| form.error(form.inputs.iter().find(|input| input.name == name).unwrap());
        assert_eq!(told("plan.level"), Some("nothing is filled in; a number is expected"));
        assert_eq!(form.others(), ["unknown: null was given; a number is expected"]);
    }

    #[test]
    fn what_is_wrong_stands_beside_the_row_that_it_is_in_though_rows_before_it_are_empty() {
        let fields = Fields::of([("variations[0].key", ""), ("variations[1].key", "a"), ("variations[2].key", "b")]);
        let form = Form::filled(inputs(), fields);
        let problem = |field: &str| FieldProblem { field: field.to_owned(), message: field.to_owned() };
        let errors = vec![problem("variations[1].key"), problem("tags[3]"), problem("plan.level")];
        let reason = Reason { status: StatusCode::UNPROCESSABLE_ENTITY, detail: String::new(), errors };
        let form = form.refused(reason);
        let told = |name: &str| form.error(form.inputs.iter().find(|input| input.name == name).unwrap());
        let names = ["variations[0].key", "variations[1].key", "variations[2].key", "tags", "plan.level"];
        assert_eq!(names.map(told), [None, None, Some("variations[1].key"), Some("tags[3]"), Some("plan.level")]);
    }

    #[test]
    fn a_box_that_is_ticked_alone_is_a_part_and_in_a_row_none() {
        let inputs = vec![
            input("timeframe.end", "", "", Kind::Number).of_part("timeframe"),
            input("timeframe.only_aged", "", "", Kind::Flag).of_part("timeframe"),
            input("rows[0].is_active", "", "", Kind::Flag),
        ];
        let form = |fields: Fields| Form::filled(inputs.clone(), fields).to_json();
        assert_eq!(form(Fields::of([("rows[0].is_active", "on")])), json!({"timeframe": null, "rows": []}));
        let ticked = form(Fields::of([("timeframe.only_aged", "on")]));
        assert_eq!(ticked, json!({"timeframe": {"only_aged": true}, "rows": []}));
    }

    #[test]
    fn a_form_has_the_rows_that_were_sent_and_no_more() {
        let sent = Fields::of([("a[0].x", ""), ("a[1].x", ""), ("a[3].x", ""), ("b[999999].x", ""), ("c[x].x", "")]);
        assert_eq!(["a", "b", "c", "d"].map(|list| sent.rows(list)), [2, 0, 0, 0]);
    }
}
