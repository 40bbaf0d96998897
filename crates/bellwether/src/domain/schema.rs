//! What JSON Schema can say of the values that users write, for the API's description: the bounds that `Validate` holds them
//! to. What needs more than the value itself (what it refers to, what stands beside it) is said by `Validate` alone.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::error::LONGEST_NAME;

/// As [`super::error::FieldErrors::name`] wants it: something visible, and no U+0000.
pub fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$",
    })
}

/// As [`super::error::FieldErrors::text`] wants it.
pub fn text<const LONGEST: usize>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": LONGEST, "pattern": r"^[^\u0000]*$"})
}

/// The same with something visible in it.
pub fn visible_text<const LONGEST: usize>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = name(generator);
    schema.insert("maxLength".to_owned(), LONGEST.into());
    schema
}

pub fn optional_name(generator: &mut SchemaGenerator) -> Schema {
    nullable(name(generator))
}

pub fn optional_text<const LONGEST: usize>(generator: &mut SchemaGenerator) -> Schema {
    nullable(text::<LONGEST>(generator))
}

/// Up to `MOST` names.
pub fn names<const MOST: usize>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": MOST, "items": name(generator)})
}

fn nullable(mut schema: Schema) -> Schema {
    schema.insert("type".to_owned(), ["string", "null"].as_slice().into());
    schema
}
