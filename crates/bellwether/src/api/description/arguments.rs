//! What each extractor adds to an operation. One that is no part of the API's face (the state, who asks) adds nothing.

use axum::extract::{Request, State};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{Argument, Operation, Schemas};
use crate::api::Shared;
use crate::api::body::{Body, Edit, Fields};
use crate::api::params::{Command, Ids, IfMatch, IfNoneMatch, LastEventId, OfExperiment, Params, PathPart};
use crate::api::problem::Kind;
use crate::domain::actor::Principal;
use crate::registry::OnEndpoint;

impl Argument for State<Shared> {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

impl Argument for Principal {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

impl<T: PathPart> Argument for Ids<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.may_answer([Kind::Path, Kind::NotFound]);
        operation.describe_path(0, schemas.given.subschema_for::<T>().into());
    }
}

impl<A: PathPart, B: PathPart> Argument for Ids<(A, B)> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.may_answer([Kind::Path, Kind::NotFound]);
        operation.describe_path(0, schemas.given.subschema_for::<A>().into());
        operation.describe_path(1, schemas.given.subschema_for::<B>().into());
    }
}

impl Argument for OfExperiment {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.may_answer([Kind::Path, Kind::NotFound]);
        operation.describe_path(
            0,
            json!({
                "description": "The experiment's number, or `key:` and its key.",
                "type": "string", "pattern": "^([0-9]{1,18}|key:.+)$", "examples": ["7", "key:checkout-cta"],
            }),
        );
    }
}

impl Argument for IfMatch {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.may_answer([Kind::StaleVersion]);
        let description =
            "An `ETag` that was answered: what has moved on since is refused with 412. `*` fits whatever there is.";
        operation.describe_header("If-Match", description, json!({"type": "string", "examples": ["\"3\"", "*"]}));
    }
}

impl Argument for IfNoneMatch {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let description = "An `ETag` that was answered: where nothing has changed since, 304 is answered.";
        operation.describe_header("If-None-Match", description, json!({"type": "string"}));
        operation.answers.insert(304, json!({"description": "Nothing has changed."}));
    }
}

impl Argument for LastEventId {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.may_answer([Kind::Invalid]);
        let description = "The last `id` that was read: what follows comes. It goes before `after`.";
        operation.describe_header("Last-Event-ID", description, json!({"type": "string", "pattern": "^[0-9]+$"}));
    }
}

impl Argument for Command {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        OfExperiment::describe(operation, schemas);
        IfMatch::describe(operation, schemas);
    }
}

impl Argument for OnEndpoint {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        <Ids<crate::domain::id::EndpointId> as Argument>::describe(operation, schemas);
        IfMatch::describe(operation, schemas);
    }
}

impl<T: JsonSchema> Argument for Params<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.may_answer([Kind::Invalid]);
        let schema = Value::from(T::json_schema(&mut schemas.given));
        let needed = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            operation.parameters.push(query_parameter(name, schema.clone(), needed.contains(&json!(name))));
        }
    }
}

fn query_parameter(name: &str, mut schema: Value, is_required: bool) -> Value {
    let mut parameter = json!({"name": name, "in": "query", "required": is_required});
    if let Some(fields) = schema.as_object_mut() {
        parameter["description"] = fields.shift_remove("description").unwrap_or_else(|| "".into());
        // A query has no null: what is not there is left out. And no text is as good as none.
        if fields.get("default").is_some_and(|default| default.is_null() || default == "") {
            fields.shift_remove("default");
        }
        if let Some(there) = fields.get("anyOf").and_then(|either| either.get(0)).cloned() {
            *fields = there.as_object().cloned().unwrap_or_default();
        }
        if let Some(kind) = fields.get("type").and_then(|kinds| kinds.get(0)).cloned() {
            fields.insert("type".to_owned(), kind);
        }
        if fields.get("type").is_some_and(|kind| kind == "array") {
            parameter["style"] = "form".into();
            parameter["explode"] = false.into();
        }
    }
    parameter["schema"] = schema;
    parameter
}

/// The name of a type as the generator knows it, and its fields.
fn object_of<T: JsonSchema>(schemas: &mut Schemas) -> (String, Map<String, Value>) {
    let schema = Value::from(T::json_schema(&mut schemas.given));
    (T::schema_name().into_owned(), schema.as_object().cloned().unwrap_or_default())
}

fn describe_json_body(operation: &mut Operation, schema: Value, is_required: bool) {
    operation.may_answer([Kind::Body, Kind::MalformedJson, Kind::BodyTimeout, Kind::BodyTooLarge]);
    operation.may_answer([Kind::ContentType, Kind::Invalid]);
    operation.body = Some(json!({"required": is_required, "content": {"application/json": {"schema": schema}}}));
}

fn describe_body<T: JsonSchema>(operation: &mut Operation, schemas: &mut Schemas) {
    let (_, fields) = object_of::<T>(schemas);
    // An empty body is read as an object with nothing in it.
    let is_required = fields.get("required").is_some_and(|needed| needed.as_array().is_some_and(|it| !it.is_empty()));
    let schema = schemas.given.subschema_for::<T>().into();
    describe_json_body(operation, schema, is_required || fields.contains_key("anyOf"));
}

impl<T: JsonSchema> Argument for Body<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        describe_body::<T>(operation, schemas);
    }
}

impl<T: JsonSchema> Argument for Fields<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        describe_body::<T>(operation, schemas);
    }
}

impl<T: JsonSchema> Argument for Edit<T> {
    /// Nothing is needed, and what is not given stays as it is.
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let (name, mut fields) = object_of::<T>(schemas);
        fields.shift_remove("required");
        let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
        for (_, property) in properties.into_iter().flatten() {
            property.as_object_mut().map(|property| property.shift_remove("default"));
        }
        fields.insert("description".to_owned(), "The fields to replace; the others stay as they are.".into());
        let name = format!("{name}Edit");
        schemas.given.definitions_mut().insert(name.clone(), fields.into());
        describe_json_body(operation, json!({"$ref": format!("#{}/{name}", super::GIVEN)}), false);
    }
}

/// A body that is taken as it is.
impl Argument for Request {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.may_answer([Kind::Body, Kind::BodyTimeout, Kind::BodyTooLarge, Kind::Invalid]);
        operation.body = Some(json!({"required": false, "content": {"application/octet-stream": {}}}));
    }
}
