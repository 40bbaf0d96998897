//! The schemas that the generators made, as they stand in the document: without what is of Rust, and each under one name. What
//! differs between what is given and what is shown gets two.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::api::description::{GIVEN, SHOWN};

/// Goes through every schema there is, those within first.
fn each(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, change)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(_, field)| each(field, change));
            change(fields);
        }
        _ => {}
    }
}

/// As readers of other languages know it.
pub fn clean(schema: &mut Value) {
    each(schema, &mut |fields| {
        collapse_words(fields);
        plain_numbers(fields);
        if let Some(Value::String(text)) = fields.get_mut("description") {
            *text = plain_words(text);
        }
    });
}

/// Comments speak of Rust's names.
fn plain_words(text: &str) -> String {
    text.replace('\n', " ").replace("`None`", "`null`").replace("[`", "`").replace("`]", "`")
}

/// An enum whose words are explained is a list of constants; an enum of words, explained in one text, is read by more.
fn collapse_words(fields: &mut Map<String, Value>) {
    let Some(either) = fields.get("oneOf").and_then(Value::as_array) else { return };
    let (mut words, mut told) = (Vec::new(), Vec::new());
    for one in either {
        match (one.get("const"), one.get("enum"), one["description"].as_str()) {
            (Some(Value::String(word)), _, description) => {
                words.push(json!(word));
                let explained = description.map(|text| format!("`{word}`: {}", text.trim_end_matches('.')));
                told.push(explained.unwrap_or_else(|| format!("`{word}`")));
            }
            (_, Some(Value::Array(more)), _) if one["type"] == "string" => {
                told.extend(more.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")));
                words.extend(more.iter().cloned());
            }
            _ => return,
        }
    }
    let before = fields.get("description").and_then(Value::as_str).map(|text| format!("{text} ")).unwrap_or_default();
    fields.shift_remove("oneOf");
    fields.insert("description".to_owned(), format!("{before}{}.", told.join("; ")).into());
    fields.insert("type".to_owned(), "string".into());
    fields.insert("enum".to_owned(), words.into());
}

/// Formats that the registry of OpenAPI knows.
fn plain_numbers(fields: &mut Map<String, Value>) {
    let Some(format) = fields.get("format").and_then(Value::as_str) else { return };
    match format {
        "uint32" => {
            fields.entry("maximum").or_insert_with(|| u32::MAX.into());
            fields.insert("format".to_owned(), "int64".into());
        }
        "uint64" | "uint" => {
            fields.insert("format".to_owned(), "int64".into());
        }
        _ => {}
    }
}

/// As answers have it: whoever reads one passes over what it does not know, for more may come; and what is left out where there
/// is none is never null.
fn as_answered(schema: &mut Value) {
    each(schema, &mut |fields| {
        if fields.get("additionalProperties") == Some(&json!(false)) {
            fields.shift_remove("additionalProperties");
        }
        let needed = fields.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let properties = fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
        for (_, property) in properties.filter(|(name, _)| !needed.contains(&json!(name))) {
            property.as_object_mut().into_iter().for_each(without_null);
        }
    });
}

fn without_null(fields: &mut Map<String, Value>) {
    if let Some(kinds) = fields.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            fields["type"] = only.clone();
        }
    }
    if let Some(kinds) = fields.get_mut("anyOf").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind["type"] != "null");
        if let [Value::Object(only)] = kinds.as_slice() {
            let only = only.clone();
            fields.shift_remove("anyOf");
            fields.extend(only);
        }
    }
}

/// What references begin with, until every schema has its name.
fn reference(side: &str) -> String {
    format!("#{side}/")
}

/// The names that a schema refers to.
fn referred(schema: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    each(&mut schema.clone(), &mut |fields| {
        let target = fields.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit_once('/'));
        names.extend(target.map(|(_, name)| name.to_owned()));
    });
    names
}

/// All schemas by their names, and the names that those of what is given have: another one where what is shown differs.
pub struct Named {
    pub schemas: BTreeMap<String, Value>,
    given: BTreeMap<String, String>,
}

impl Named {
    pub fn of(given: Map<String, Value>, shown: Map<String, Value>) -> Self {
        let cleaned = |schemas: Map<String, Value>, is_shown: bool| -> BTreeMap<String, Value> {
            let one = |(name, mut schema)| {
                clean(&mut schema);
                if is_shown {
                    as_answered(&mut schema);
                }
                (name, schema)
            };
            schemas.into_iter().map(one).collect()
        };
        let (given, shown) = (cleaned(given, false), cleaned(shown, true));
        let differing = differing(&given, &shown);
        let called = |name: &String| if differing.contains(name) { format!("{name}Input") } else { name.clone() };
        let names: BTreeMap<_, _> = given.keys().map(|name| (name.clone(), called(name))).collect();
        let mut schemas = shown;
        schemas.extend(given.into_iter().map(|(name, schema)| (names[&name].clone(), schema)));
        let mut named = Self { schemas: BTreeMap::new(), given: names };
        schemas.values_mut().for_each(|schema| named.refer(schema));
        named.schemas = schemas;
        named
    }

    /// Has the references of a schema, or of a whole document, point to where the schemas are.
    pub fn refer(&self, value: &mut Value) {
        each(value, &mut |fields| {
            let Some(Value::String(target)) = fields.get_mut("$ref") else { return };
            let given = target.strip_prefix(&reference(GIVEN)).map(|name| &self.given[name]);
            if let Some(name) = given.cloned().or_else(|| target.strip_prefix(&reference(SHOWN)).map(str::to_owned)) {
                *target = format!("#/components/schemas/{name}");
            }
        });
    }
}

/// What is not the same on both sides, or refers to what is not.
fn differing(given: &BTreeMap<String, Value>, shown: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let both = || given.iter().filter_map(|(name, schema)| Some((name, schema, shown.get(name)?)));
    let alike = |given: &Value, shown: &Value| {
        let mut given = given.clone();
        each(&mut given, &mut |fields| {
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                *target = target.replace(&reference(GIVEN), &reference(SHOWN));
            }
        });
        given == *shown
    };
    let mut differing: BTreeSet<String> =
        both().filter(|(_, given, shown)| !alike(given, shown)).map(|(name, ..)| name.clone()).collect();
    loop {
        let more: Vec<_> = both()
            .filter(|(name, given, _)| !differing.contains(*name) && !referred(given).is_disjoint(&differing))
            .map(|(name, ..)| name.clone())
            .collect();
        if more.is_empty() {
            return differing;
        }
        differing.extend(more);
    }
}
