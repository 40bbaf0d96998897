//! Writing one JSON object, property by property, as ECMAScript would print it.
//!
//! Names are `&'static str`: text chosen by users is never a property name, and the type says so.

use crate::ecma;

/// One JSON object under construction.
///
/// ```
/// let mut object = bellwether_webhook::ObjectWriter::begin();
/// object.integer("revision", 17).string("actor", "Ada").raw("changes", "[]");
/// assert_eq!(object.finish(), r#"{"revision":17,"actor":"Ada","changes":[]}"#);
/// ```
#[derive(Clone, Debug)]
pub struct ObjectWriter {
    out: String,
}

impl ObjectWriter {
    pub fn begin() -> ObjectWriter {
        ObjectWriter { out: String::from("{") }
    }

    pub fn string(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.name(name);
        ecma::write_string(&mut self.out, value);
        self
    }

    pub fn number(&mut self, name: &'static str, value: f64) -> &mut Self {
        self.name(name);
        ecma::write_number(&mut self.out, value);
        self
    }

    /// Exact below 2^53; above it prints the nearest double, as every ECMAScript receiver will.
    pub fn integer(&mut self, name: &'static str, value: u64) -> &mut Self {
        self.number(name, value as f64)
    }

    pub fn bool(&mut self, name: &'static str, value: bool) -> &mut Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    pub fn null(&mut self, name: &'static str) -> &mut Self {
        self.raw(name, "null")
    }

    /// Puts `json` in as it is. It must already stand as ECMAScript prints it: from another `ObjectWriter`, or from
    /// [`ecma::stringify`].
    pub fn raw(&mut self, name: &'static str, json: &str) -> &mut Self {
        self.name(name);
        self.out.push_str(json);
        self
    }

    pub fn finish(mut self) -> String {
        self.out.push('}');
        self.out
    }

    fn name(&mut self, name: &'static str) {
        debug_assert!(ecma::array_index(name).is_none(), "ECMAScript would move the property {name} to the front");
        if self.out.len() > 1 {
            self.out.push(',');
        }
        ecma::write_string(&mut self.out, name);
        self.out.push(':');
    }
}
