//! JSON exactly as ECMAScript's `JSON.stringify` prints it.
//!
//! Receivers recompute the body's signature over `JSON.stringify(body.data)`, so every byte matters. Lone surrogates,
//! which ECMAScript can hold and Rust's strings cannot, are refused by the parser before they come here.

use serde_json::{Map, Value};

/// Appends `text` in quotes. Only what `JSON.stringify` escapes is escaped: U+2028, U+007F and emoji stand as they are.
pub fn write_string(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..=0x1f => "\\u00",
            _ => continue,
        };
        // Every escaped byte is ASCII, so these are boundaries of characters.
        out.push_str(&text[copied..at]);
        out.push_str(escape);
        if escape == "\\u00" {
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        copied = at + 1;
    }
    out.push_str(&text[copied..]);
    out.push('"');
}

/// Appends `number` in ECMAScript's shortest form: `12`, never `12.0`; `0` for negative zero; `null` for what is not
/// finite.
pub fn write_number(out: &mut String, number: f64) {
    if number.is_finite() {
        out.push_str(ryu_js::Buffer::new().format_finite(number));
    } else {
        out.push_str("null");
    }
}

/// What `JSON.stringify` prints for a value that `JSON.parse` has read: every number as a double, and property names
/// that are array indices first, in ascending order.
pub fn stringify(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write_number(out, number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(properties) => write_object(out, properties),
    }
}

fn write_object(out: &mut String, properties: &Map<String, Value>) {
    let mut properties: Vec<_> = properties.iter().map(|(name, value)| (array_index(name), name, value)).collect();
    // The sort is stable: names that are no index keep the order in which they were sent.
    properties.sort_by_key(|(index, ..)| index.unwrap_or(u32::MAX));
    out.push('{');
    for (at, (_, name, value)) in properties.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(out, name);
        out.push(':');
        write_value(out, value);
    }
    out.push('}');
}

/// The array index that a property name is, if it is one: canonical decimal below 2^32 - 1.
pub(crate) fn array_index(name: &str) -> Option<u32> {
    let canonical = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    name.parse().ok().filter(|index| canonical && *index != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(number: f64) -> String {
        let mut out = String::new();
        write_number(&mut out, number);
        out
    }

    #[test]
    fn numbers_take_the_shortest_form() {
        let cases = [
            (12.0, "12"),
            (12.34, "12.34"),
            (0.001, "0.001"),
            (-0.0, "0"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1e-7, "1e-7"),
            (0.1 + 0.2, "0.30000000000000004"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ];
        for (number, expected) in cases {
            assert_eq!(printed(number), expected);
        }
    }

    #[test]
    fn strings_escape_what_ecmascript_escapes_and_nothing_else() {
        let mut out = String::new();
        write_string(&mut out, "\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}\u{2028}🎉");
        assert_eq!(out, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}\u{2028}🎉\"");
    }

    #[test]
    fn array_indices_come_first_in_ascending_order() {
        let sent = r#"{"b":1,"10":2,"2":3,"a":4,"01":5,"4294967295":6,"4294967294":7,"-1":8,"+3":9,"":10}"#;
        let value: Value = serde_json::from_str(sent).unwrap();
        let expected = r#"{"2":3,"10":2,"4294967294":7,"b":1,"a":4,"01":5,"4294967295":6,"-1":8,"+3":9,"":10}"#;
        assert_eq!(stringify(&value), expected);
    }

    #[test]
    fn the_last_of_equal_names_wins_in_the_place_of_the_first() {
        let value: Value = serde_json::from_str(r#"{"a":1,"b":2,"a":[3.0,-0.0,1e2,null,true,{}]}"#).unwrap();
        assert_eq!(stringify(&value), r#"{"a":[3,0,100,null,true,{}],"b":2}"#);
    }
}
