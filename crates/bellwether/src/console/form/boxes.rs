//! Boxes for the items of a list that may be in it: one input for each, where few are to be chosen of many.

use serde_json::{Value, json};

use super::{Input, Kind, input};

/// Names have no dots, which would be taken for steps into JSON.
pub fn name(list: &str, item: &str) -> String {
    format!("{list}:{}", item.replace('.', ":"))
}

/// One for each item, by what it is called in the list, and by what people call it.
pub fn inputs<'a>(list: &str, items: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Input> {
    let each = items.into_iter().map(|(item, label)| input(name(list, item), label.to_owned(), "", Kind::Flag));
    each.collect()
}

/// Ticks in `shown` the boxes of what is in the list.
pub fn tick(shown: &mut Value, list: &str, items: &Value) {
    for item in items.as_array().into_iter().flatten().filter_map(Value::as_str) {
        shown[name(list, item)] = json!(true);
    }
}

/// Takes the boxes of a list out of a body, and gives what is ticked, in the order of the inputs.
pub fn take(body: &mut Value, list: &str) -> Vec<String> {
    let mut items = Vec::new();
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, value| {
            let item = name.strip_prefix(list).and_then(|rest| rest.strip_prefix(':'));
            items.extend(item.filter(|_| *value == json!(true)).map(|item| item.replace(':', ".")));
            item.is_none()
        });
    }
    items
}
