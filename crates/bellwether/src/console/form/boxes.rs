//! Boxes for the items of a list that may be in it: one input for each, where few are to be chosen of many.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::fields::MOST_FIELDS;
use super::{Input, Kind, Rows, input};

/// Names have no dots, which would be taken for steps into JSON.
fn name(list: &str, item: &str) -> String {
    format!("{list}:{}", item.replace('.', ":"))
}

/// One for each item, by what it is called in the list, and by what people call it; and the order in which those stand that are
/// in it, which nobody sees. What is in it and is not offered any more, has a box too: it stays until somebody takes it out.
pub fn inputs<'a>(list: &str, items: impl IntoIterator<Item = (&'a str, &'a str)>, rows: Rows<'_>) -> Vec<Input> {
    let order = input(name(list, ""), "", "", Kind::Hidden);
    let each = items.into_iter().map(|(item, label)| input(name(list, item), label.to_owned(), "", Kind::Flag));
    let mut inputs: Vec<_> = std::iter::once(order).chain(each).collect();
    let mut names: HashSet<_> = inputs.iter().map(|input| input.name.clone()).collect();
    for item in in_order(&rows.text(&name(list, ""))).into_iter().take(MOST_FIELDS) {
        let gone = name(list, &item);
        if names.insert(gone.clone()) {
            inputs.push(input(gone, format!("{item}, which is not there any more"), "", Kind::Flag));
        }
    }
    inputs
}

/// What the hidden input says.
fn in_order(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Ticks in `shown` the boxes of what is in the list.
pub fn tick(shown: &mut Value, list: &str, items: &Value) {
    shown[name(list, "")] = json!(items.to_string());
    for item in items.as_array().into_iter().flatten().filter_map(Value::as_str) {
        shown[name(list, item)] = json!(true);
    }
}

/// Takes the boxes of a list out of a body, and gives what is ticked: what was in it in its order, then the rest.
pub fn take(body: &mut Value, list: &str) -> Vec<String> {
    let (mut items, mut before) = (Vec::new(), Vec::new());
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, value| {
            let item = name.strip_prefix(list).and_then(|rest| rest.strip_prefix(':'));
            match item {
                Some("") => before = in_order(value.as_str().unwrap_or_default()),
                Some(item) if *value == json!(true) => items.push(item.replace(':', ".")),
                _ => {}
            }
            item.is_none()
        });
    }
    let place = |item: &String| before.iter().position(|other: &String| other == item);
    items.sort_by_key(|item| place(item).unwrap_or(before.len()));
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::form::{Fields, Form};

    #[test]
    fn what_was_in_a_list_keeps_its_order_and_what_is_new_comes_behind() {
        let boxes = |rows: Rows<'_>| inputs("event", [("a.x", "A"), ("b.x", "B"), ("c.x", "C")], rows);
        let mut shown = json!({});
        tick(&mut shown, "event", &json!(["c.x", "a.x"]));
        let mut body = Form::of(boxes(Rows::Shown(&shown)), &shown).to_json();
        assert_eq!(take(&mut body, "event"), ["c.x", "a.x"]);
        assert_eq!(body, json!({}), "nothing of the boxes is sent");
        let order = shown["event:"].as_str().unwrap();
        let sent = Fields::of([("event:", order), ("event:b:x", "on"), ("event:a:x", "on"), ("event:c:x", "on")]);
        let form = Form::filled(boxes(Rows::Sent(&sent)), sent.clone());
        assert_eq!(take(&mut form.to_json(), "event"), ["c.x", "a.x", "b.x"]);
    }

    #[test]
    fn what_is_not_offered_any_more_stays_until_it_is_taken_out() {
        let boxes = |rows: Rows<'_>| inputs("entity", [("ent_1", "user")], rows);
        let mut shown = json!({});
        tick(&mut shown, "entity", &json!(["ent_gone", "ent_1"]));
        let form = Form::of(boxes(Rows::Shown(&shown)), &shown);
        assert_eq!(form.inputs.last().unwrap().label, "ent_gone, which is not there any more");
        assert_eq!(take(&mut form.to_json(), "entity"), ["ent_gone", "ent_1"]);
        let order = shown["entity:"].as_str().unwrap();
        let sent = |ticked: &str| Fields::of([("entity:", order), (ticked, "on")]);
        let taken = |sent: Fields| take(&mut Form::filled(boxes(Rows::Sent(&sent)), sent).to_json(), "entity");
        assert_eq!(taken(sent("entity:ent_gone")), ["ent_gone"]);
        assert_eq!(taken(sent("entity:ent_1")), ["ent_1"]);
    }
}
