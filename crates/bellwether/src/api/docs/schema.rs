//! Schemas in words and links, for the page: what kind of value it is, within which bounds, and what it means.

use serde_json::Value;

/// Text that may stand in HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The same, with what stands between backquotes as code.
pub fn prose(text: &str) -> String {
    let mut out = String::new();
    for (place, part) in text.split('`').enumerate() {
        let part = escaped(part);
        out.push_str(&if place % 2 == 1 { format!("<code>{part}</code>") } else { part });
    }
    out
}

/// The name that a reference ends in.
pub fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

/// What kind of value it is, in a line.
pub fn kind(schema: &Value) -> String {
    if let Some(name) = referred(schema) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    for either in ["anyOf", "oneOf"] {
        let Some(kinds) = schema[either].as_array().filter(|_| schema.get("properties").is_none()) else { continue };
        if schema["type"] == "string" {
            return kinds.iter().filter_map(|kind| kind["format"].as_str()).collect::<Vec<_>>().join(" or ");
        }
        let mut kinds: Vec<String> = kinds.iter().map(kind).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().filter(|part| part.get("$ref").is_some()).map(kind).collect::<Vec<_>>().join(" and ");
    }
    if let Some(only) = schema.get("const") {
        return format!("<code>{}</code>", escaped(&only.to_string()));
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("<code>{}</code>", escaped(&plain(word)))).collect();
        return words.join(" ");
    }
    match &schema["type"] {
        Value::String(name) => of_type(name, schema),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).map(|name| of_type(name, schema)).collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}

fn of_type(name: &str, schema: &Value) -> String {
    match name {
        "array" if schema.get("items").is_some() => format!("list of {}", kind(&schema["items"])),
        "array" => "list".to_owned(),
        "object" if schema.get("additionalProperties").is_some_and(Value::is_object) => {
            format!("object of {}", kind(&schema["additionalProperties"]))
        }
        "string" => schema["format"].as_str().unwrap_or("string").to_owned(),
        other => other.to_owned(),
    }
}

/// A value without the quotes of a text.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Within which bounds it lies, and what it is unless given.
pub fn bounds(schema: &Value) -> String {
    let named = [
        ("minimum", "≥ "),
        ("exclusiveMinimum", "> "),
        ("maximum", "≤ "),
        ("exclusiveMaximum", "< "),
        ("minLength", "characters ≥ "),
        ("maxLength", "characters ≤ "),
        ("minItems", "items ≥ "),
        ("maxItems", "items ≤ "),
        ("maxProperties", "entries ≤ "),
        ("default", "default "),
    ];
    let is_told = |value: &&Value| !value.is_null() && *value != &Value::from("") && !value.is_object();
    let told = named.iter().filter_map(|(field, word)| {
        let value = schema.get(field).filter(is_told)?;
        Some(format!("{word}{}", escaped(&plain(value))))
    });
    told.collect::<Vec<_>>().join(", ")
}
