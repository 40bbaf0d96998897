//! The document itself: every operation of the table of routes, the schemas, the problems, the webhooks. A test holds it against
//! docs/openapi.json.

mod examples;
mod schemas;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::description::{GIVEN, Operation, SHOWN, Schemas};
use crate::api::problem::{FieldProblem, Kind, ProblemBody};
use crate::api::routes::Endpoint;
use crate::api::views::event::EventData;
use crate::api::{V1, open_routes, root_routes, v1_routes};
use crate::domain::key::Role;
use schemas::{Named, clean};

/// What each group of operations is about, by the first part of their paths.
const TAGS: [(&str, &str); 21] = [
    ("experiments", "Experiments, their status, and what is attached to them"),
    ("runs", "Runs of the data pipeline"),
    ("endpoints", "Who is told, of what, and how"),
    ("recoveries", "Having sent again what was not delivered"),
    ("events", "The log of events"),
    ("deliveries", "What is owed to endpoints, and what became of it"),
    ("entities", "Kinds of subjects"),
    ("warehouses", "Where assignments and facts lie"),
    ("assignment_sources", "Which subject saw which variation"),
    ("fact_sources", "What subjects did"),
    ("metrics", "What is measured"),
    ("collections", "Lists of metrics"),
    ("schedules", "When runs start by themselves"),
    ("teams", "Who owns what together"),
    ("people", "Who uses the console"),
    ("sessions", "Where people are logged in"),
    ("me", "Who asks"),
    ("keys", "Keys of the API"),
    ("audit", "Who changed what"),
    ("operation", "For those who run Bellwether"),
    ("webhooks", "What endpoints are sent"),
];

const DESCRIPTION: &str = "A registry of experiments that tells other systems, by signed webhook, every time one changes. \
    Names are in snake_case, times in RFC 3339 and UTC. An empty body is read as `{}`; unknown fields are refused. Lists are \
    read page by page, until `next` is null. Errors are RFC 9457 problems, and have changed nothing.";

fn generators() -> Schemas {
    let at = |path: &'static str| {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = path.into();
            settings.meta_schema = None;
        })
    };
    Schemas { given: at(GIVEN).into_generator(), shown: at(SHOWN).for_serialize().into_generator() }
}

/// The whole document.
pub fn document() -> Value {
    let mut schemas = generators();
    let endpoints = v1_routes().into_endpoints(V1).into_iter();
    let endpoints = endpoints.chain(root_routes().into_endpoints("")).chain(open_routes().into_endpoints(""));
    let (mut paths, mut problems, mut tags) = (Map::new(), BTreeSet::new(), BTreeSet::from(["webhooks"]));
    for (path, endpoint, role) in endpoints {
        let mut operation = Operation::default();
        (endpoint.describe)(&mut operation, &mut schemas);
        if role.is_some() && matches!(endpoint.method, Method::POST | Method::PATCH | Method::DELETE) {
            describe_idempotency(&mut operation);
        }
        operation.problems.extend(problems_of_all(&endpoint, role));
        operation.problems.extend(&endpoint.problems);
        problems.extend(operation.problems.iter().map(|kind| kind.status().as_u16()));
        let tag = tag(&path);
        tags.insert(tag);
        let method = endpoint.method.as_str().to_lowercase();
        let methods = paths.entry(path.clone()).or_insert_with(|| json!({}));
        methods[method] = written(&path, tag, &endpoint, role, operation);
    }
    let webhooks = webhooks::all(&schemas.shown.subschema_for::<EventData>().into());
    // Within the generators, these are shown, too.
    let problem = Value::from(schemas.shown.subschema_for::<ProblemBody>());
    schemas.shown.subschema_for::<FieldProblem>();
    let named = Named::of(schemas.given.take_definitions(true), schemas.shown.take_definitions(true));
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bellwether", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that this document is from"}],
        "tags": TAGS.iter().filter(|(name, _)| tags.contains(name))
            .map(|(name, description)| json!({"name": name, "description": description})).collect::<Vec<_>>(),
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "schemas": named.schemas.clone(),
            "responses": problems.iter().map(|status| (answer_name(*status), answer(*status, &problem))).collect::<Map<_, _>>(),
            "securitySchemes": {"key": {
                "type": "http", "scheme": "bearer", "bearerFormat": "bw_<id>_<secret>",
                "description": "A key of the API. It has a role, `read`, `write` or `admin`; each may also do what the ones before it may.",
            }},
        },
    });
    named.refer(&mut document);
    document
}

/// No handler knows of it: see `idempotency`.
fn describe_idempotency(operation: &mut Operation) {
    operation.may_answer([Kind::AnswerUnknown, Kind::IdempotencyKeyReused]);
    let description = "A text of your own, such as a UUID: within 24 hours the same request with it is carried out once, and \
                       answered as the first time.";
    let schema = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"});
    operation.describe_header("Idempotency-Key", description, schema);
}

/// What every operation of its kind may answer, whatever its handler takes.
fn problems_of_all(endpoint: &Endpoint, role: Option<Role>) -> Vec<Kind> {
    let mut kinds = Vec::new();
    if role.is_some() {
        kinds.extend([Kind::Unauthorized, Kind::Forbidden, Kind::Internal, Kind::Unavailable, Kind::Busy]);
    }
    if endpoint.method != Method::GET {
        kinds.extend([Kind::Taken, Kind::InUse, Kind::IllegalTransition, Kind::State]);
        kinds.extend([Kind::OutcomeUnknown, Kind::StorageFull]);
    }
    kinds
}

fn tag(path: &str) -> &'static str {
    let first = path.strip_prefix(V1).and_then(|path| path.split('/').nth(1));
    let tag = TAGS.iter().find(|(name, _)| first == Some(name));
    tag.map_or("operation", |(name, _)| name)
}

fn written(path: &str, tag: &str, endpoint: &Endpoint, role: Option<Role>, operation: Operation) -> Value {
    let mut written = json!({"operationId": endpoint.name, "summary": endpoint.summary, "tags": [tag]});
    written["security"] = role.map_or(json!([]), |role| json!([{"key": [role.as_str()]}]));
    if let Some(role) = role {
        written["x-role"] = role.as_str().into();
    }
    let mut parameters = path_parameters(path, operation.path);
    let is_taken = |name: &Value| endpoint.takes.as_ref().is_none_or(|names| names.iter().any(|taken| name == taken));
    let taken = |parameter: &Value| parameter["in"] != "query" || is_taken(&parameter["name"]);
    parameters.extend(operation.parameters.into_iter().filter(taken));
    if !parameters.is_empty() {
        written["parameters"] = parameters.into();
        clean(&mut written["parameters"]);
    }
    if let Some(mut body) = operation.body {
        if let Some(example) = examples::body(&endpoint.name) {
            body["content"]["application/json"]["example"] = example;
        }
        written["requestBody"] = body;
    }
    let mut responses: BTreeMap<String, Value> =
        operation.answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
    for kind in operation.problems {
        let status = kind.status().as_u16();
        let reference = format!("#/components/responses/{}", answer_name(status));
        responses.insert(status.to_string(), json!({"$ref": reference}));
    }
    written["responses"] = json!(responses);
    written
}

fn path_parameters(path: &str, mut schemas: Vec<Option<Value>>) -> Vec<Value> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let mut parameters = Vec::new();
    for (place, name) in names.enumerate() {
        let schema = schemas.get_mut(place).and_then(Option::take).unwrap_or_else(|| json!({"type": "string"}));
        parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
    }
    parameters
}

fn answer_name(status: u16) -> String {
    format!("Problem{status}")
}

/// What is answered with this status, whatever the kind.
fn answer(status: u16, problem: &Value) -> Value {
    let kinds: Vec<_> = Kind::ALL.iter().filter(|kind| kind.status().as_u16() == status).collect();
    let told: Vec<_> = kinds.iter().map(|kind| format!("`{}`: {}", kind.as_str(), kind.meaning())).collect();
    let types: Vec<_> = kinds.iter().map(|kind| kind.urn()).collect();
    let schema = json!({"allOf": [problem, {"properties": {"type": {"enum": types}, "status": {"const": status}}}]});
    let mut answer = json!({
        "description": told.join("; "),
        "content": {"application/problem+json": {"schema": schema}},
    });
    let header = match status {
        401 => Some(("WWW-Authenticate", "How to authenticate.")),
        503 => Some(("Retry-After", "When to come back, in seconds.")),
        _ => None,
    };
    if let Some((name, description)) = header {
        answer["headers"] = json!({name: {"description": description, "required": true, "schema": {"type": "string"}}});
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::docs::OPENAPI;

    /// Of a line of the document.
    const WIDTH: usize = 120;

    #[test]
    fn the_document_that_is_checked_in_is_that_of_the_code() {
        let made = format!("{}\n", laid_out(&document(), 0));
        if made == OPENAPI {
            return;
        }
        let place = std::env::temp_dir().join("bellwether-openapi.json");
        std::fs::write(&place, made).unwrap();
        panic!(
            "docs/openapi.json is not what the code describes; look at what differs, and copy {} there",
            place.display()
        );
    }

    /// With line breaks where a value would not fit into a line.
    fn laid_out(value: &Value, depth: usize) -> String {
        let (short, indent) = (value.to_string(), "  ".repeat(depth));
        let parts: Vec<String> = match value {
            _ if short.len() + indent.len() <= WIDTH => return short,
            Value::Array(items) => items.iter().map(|item| laid_out(item, depth + 1)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, field)| format!("{}: {}", json!(name), laid_out(field, depth + 1))).collect()
            }
            _ => return short,
        };
        let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
        format!("{open}\n{indent}  {}\n{indent}{close}", parts.join(&format!(",\n{indent}  ")))
    }

    #[test]
    fn no_two_types_have_one_name() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let numbered: Vec<_> =
            schemas.keys().filter(|name| name.ends_with(|last: char| last.is_ascii_digit())).collect();
        assert_eq!(numbered, [""; 0], "give these another name by #[schemars(rename = …)]");
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_body_an_example() {
        let document = document();
        let mut names = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for operation in methods.as_object().unwrap().values() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{path}: {name} is the name of two operations");
                let Some(json) = operation["requestBody"]["content"].get("application/json") else { continue };
                let is_empty = json["schema"]["$ref"] == "#/components/schemas/Nothing";
                assert!(is_empty || json.get("example").is_some(), "{name} has no example; see examples.rs");
            }
        }
    }
}
