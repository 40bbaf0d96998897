//! Boxes for the items of a list that may be in it: one input for each, where few are to be chosen of many.

use serde_json::{Value, json};

use super::{Input, Kind, input};

/// Names have no dots, which would be taken for steps into JSON.
fn name(list: &str, item: &str) -> String {
    format!("{list}:{}", item.replace('.', ":"))
}

/// One for each item, by what it is called in the list, and by what people call it; and the order in which those stand that are
/// in it, which nobody sees.
pub fn inputs<'a>(list: &str, items: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Input> {
    let order = input(name(list, ""), "", "", Kind::Hidden);
    let each = items.into_iter().map(|(item, label)| input(name(list, item), label.to_owned(), "", Kind::Flag));
    std::iter::once(order).chain(each).collect()
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
                Some("") => {
                    before = value.as_str().and_then(|order| serde_json::from_str(order).ok()).unwrap_or_default()
                }
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
        let boxes = || inputs("event", [("a.x", "A"), ("b.x", "B"), ("c.x", "C")]);
        let mut shown = json!({});
        tick(&mut shown, "event", &json!(["c.x", "a.x"]));
        let mut body = Form::of(boxes(), &shown).to_json();
        assert_eq!(take(&mut body, "event"), ["c.x", "a.x"]);
        assert_eq!(body, json!({}), "nothing of the boxes is sent");
        let order = shown["event:"].as_str().unwrap();
        let sent = Fields::of([("event:", order), ("event:b:x", "on"), ("event:a:x", "on"), ("event:c:x", "on")]);
        assert_eq!(take(&mut Form::filled(boxes(), sent).to_json(), "event"), ["c.x", "a.x", "b.x"]);
    }
}
