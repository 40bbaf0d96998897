//! What each shape of an answer says of itself: its status, its body, its headers.

use axum::Json;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::{Answered, Operation, Schemas};
use crate::api::answer::{Accepted, Created, Document, Gone, Located, MaybeCreated, Versioned};
use crate::api::problem::Problem;
use crate::api::streams::EventStream;
use crate::api::telemetry::MetricsText;

impl<T: Answered> Answered for Result<T, Problem> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        T::describe(operation, schemas);
    }
}

fn describe_json<T: JsonSchema>(operation: &mut Operation, schemas: &mut Schemas, status: u16, description: &str) {
    let schema = Value::from(schemas.shown.subschema_for::<T>());
    let content = json!({"application/json": {"schema": schema}});
    operation.answers.insert(status, json!({"description": description, "content": content}));
}

impl<T: JsonSchema> Answered for Json<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        describe_json::<T>(operation, schemas, 200, "As it is now.");
    }
}

impl<T: JsonSchema> Answered for Versioned<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        describe_json::<T>(operation, schemas, 200, "As it is now.");
        describe_header(operation, "ETag", "Its version, for `If-Match`.");
    }
}

fn describe_header(operation: &mut Operation, name: &str, description: &str) {
    for answer in operation.answers.values_mut() {
        answer["headers"][name] = json!({"description": description, "required": true, "schema": {"type": "string"}});
    }
}

impl<T: Answered> Answered for Created<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        T::describe(operation, schemas);
        if let Some(mut answer) = operation.answers.remove(&200) {
            answer["description"] = "It was made by this request.".into();
            operation.answers.insert(201, answer);
        }
    }
}

impl<T: Answered> Answered for Located<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        T::describe(operation, schemas);
        describe_header(operation, "Location", "Where it is.");
    }
}

impl<T: Answered> Answered for MaybeCreated<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        T::describe(operation, schemas);
        if let Some(mut answer) = operation.answers.get(&200).cloned() {
            answer["description"] = "It was made by this request.".into();
            operation.answers.insert(201, answer);
        }
        if let Some(answer) = operation.answers.get_mut(&200) {
            answer["description"] = "It was there already.".into();
        }
    }
}

impl<T: JsonSchema> Answered for Accepted<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        describe_json::<T>(operation, schemas, 202, "It was taken in, and is carried out later.");
    }
}

impl Answered for Gone {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers.insert(204, json!({"description": "It is gone."}));
    }
}

impl Answered for EventStream {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let content = json!({"text/event-stream": {"schema": {"type": "string"}}});
        operation
            .answers
            .insert(200, json!({"description": "Server-sent events, until one side ends it.", "content": content}));
    }
}

impl Answered for MetricsText {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let content = json!({"text/plain": {"schema": {"type": "string"}}});
        operation.answers.insert(200, json!({"description": "Prometheus's text format.", "content": content}));
    }
}

impl Answered for Document {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let content = json!({Self::MEDIA_TYPE: {"schema": {"type": "object"}}});
        operation.answers.insert(200, json!({"description": "An OpenAPI 3.1 document.", "content": content}));
        describe_header(operation, "ETag", "For `If-None-Match`.");
    }
}
