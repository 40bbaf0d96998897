//! The page, as its template wants it: what the document says of every operation and every schema, in the document's order.

use std::collections::BTreeSet;

use askama::Template;
use serde_json::Value;

use super::schema::{bounds, escaped, kind, plain, prose, referred};

/// What can be sent, by the names that a path's item has them under.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

#[derive(Template)]
#[template(path = "docs.html")]
struct Page {
    version: String,
    about: String,
    groups: Vec<Group>,
    webhooks: Vec<Operation>,
    problems: Vec<Answer>,
    schemas: Vec<Schema>,
}

/// Operations of one resource.
struct Group {
    name: String,
    about: String,
    operations: Vec<Operation>,
}

struct Operation {
    name: String,
    method: String,
    path: String,
    summary: String,
    role: String,
    fields: Vec<Field>,
    body: String,
    /// Of a body that is this operation's alone.
    body_fields: Vec<Field>,
    example: String,
    answers: Vec<Answer>,
    /// The statuses of problems.
    problems: Vec<String>,
    curl: String,
}

/// A parameter, or a property of an object. `kind` and `about` are HTML.
struct Field {
    name: String,
    place: String,
    is_required: bool,
    kind: String,
    bounds: String,
    about: String,
}

struct Answer {
    status: String,
    kind: String,
    headers: String,
    about: String,
}

struct Schema {
    name: String,
    about: String,
    kind: String,
    fields: Vec<Field>,
}

/// The whole page. It fails only where the document is none.
pub fn of(document: &str) -> Result<String, String> {
    let told: Value = serde_json::from_str(document).map_err(|error| error.to_string())?;
    let shown = Shown { own_bodies: own_bodies(&told, document), told: &told };
    let group = |tag: &Value| Group {
        name: plain(&tag["name"]),
        about: prose(&plain(&tag["description"])),
        operations: shown.operations(&tag["name"]),
    };
    let groups = told["tags"].as_array().into_iter().flatten().map(group);
    let schemas = items(&told["components"]["schemas"]).filter(|(name, _)| !shown.own_bodies.contains(name));
    let page = Page {
        version: plain(&told["info"]["version"]),
        about: prose(&plain(&told["info"]["description"])),
        groups: groups.filter(|group| !group.operations.is_empty()).collect(),
        webhooks: items(&told["webhooks"])
            .map(|(name, item)| shown.operation("", name, "post", &item["post"]))
            .collect(),
        problems: items(&told["components"]["responses"]).map(|(name, told)| problem(name, told)).collect(),
        schemas: schemas.map(|(name, schema)| self::schema(name, schema)).collect(),
    };
    page.render().map_err(|error| error.to_string())
}

fn items(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, item)| (name.as_str(), item))
}

/// The names of the schemas of bodies that stand nowhere else: they are shown with their operations.
fn own_bodies<'a>(told: &'a Value, document: &str) -> BTreeSet<&'a str> {
    let operations = items(&told["paths"]).flat_map(|(_, methods)| items(methods));
    let bodies = operations.filter_map(|(_, operation)| referred(json_body(operation)));
    let is_alone = |name: &&str| document.matches(&format!("/schemas/{name}\"")).count() == 1;
    bodies.filter(is_alone).collect()
}

fn json_body(operation: &Value) -> &Value {
    &operation["requestBody"]["content"]["application/json"]["schema"]
}

/// The document, and what of it is shown where.
struct Shown<'a> {
    told: &'a Value,
    own_bodies: BTreeSet<&'a str>,
}

impl Shown<'_> {
    fn operations(&self, tag: &Value) -> Vec<Operation> {
        let mut found = Vec::new();
        for (path, methods) in items(&self.told["paths"]) {
            for method in METHODS {
                let Some(told) = methods.get(method).filter(|told| told["tags"][0] == *tag) else { continue };
                found.push(self.operation("$BELLWETHER_URL", path, method, told));
            }
        }
        found
    }

    fn operation(&self, server: &str, path: &str, method: &str, told: &Value) -> Operation {
        let body = items(&told["requestBody"]["content"]).next();
        let example = body.map(|(_, content)| &content["example"]).filter(|example| !example.is_null());
        let is_problem = |answer: &Value| referred(answer).is_some_and(|name| name.starts_with("Problem"));
        let (problems, answers): (Vec<_>, Vec<_>) =
            items(&told["responses"]).partition(|(_, answer)| is_problem(answer));
        let own = referred(json_body(told)).filter(|name| self.own_bodies.contains(name));
        Operation {
            name: plain(&told["operationId"]),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: prose(&plain(&told["summary"])),
            role: told["x-role"].as_str().unwrap_or("open").to_owned(),
            fields: told["parameters"].as_array().into_iter().flatten().map(parameter).collect(),
            body: match own {
                Some(name) => name.to_owned(),
                None => body.map(|(media_type, content)| body_kind(media_type, content)).unwrap_or_default(),
            },
            body_fields: own.map(|name| fields(&self.told["components"]["schemas"][name])).unwrap_or_default(),
            example: example.and_then(|example| serde_json::to_string_pretty(example).ok()).unwrap_or_default(),
            answers: answers.into_iter().map(|(status, answer)| self::answer(status, answer)).collect(),
            problems: problems.into_iter().map(|(status, _)| status.to_owned()).collect(),
            curl: if server.is_empty() { String::new() } else { curl(server, path, method, body, told) },
        }
    }
}

fn body_kind(media_type: &str, content: &Value) -> String {
    let Some(schema) = content.get("schema") else { return escaped(media_type) };
    let data = schema["properties"].get("data").map(|data| format!(" with <code>data</code>: {}", kind(data)));
    format!("{}{}", kind(schema), data.unwrap_or_default())
}

/// How it is asked for on a command line.
fn curl(server: &str, path: &str, method: &str, body: Option<(&str, &Value)>, told: &Value) -> String {
    let mut line = "curl".to_owned();
    if method != "get" {
        line += &format!(" -X {}", method.to_uppercase());
    }
    line += &format!(" \"{server}{path}\"");
    if told.get("x-role").is_some() {
        line += " -H \"Authorization: Bearer $BELLWETHER_KEY\"";
    }
    match body {
        Some(("application/json", content)) if !content["example"].is_null() => {
            line += " -H \"Content-Type: application/json\" -d @body.json";
        }
        Some(("application/octet-stream", _)) => line += " --data-binary @orders.csv",
        _ => {}
    }
    line
}

fn parameter(told: &Value) -> Field {
    let schema = &told["schema"];
    let about = told["description"].as_str().or(schema["description"].as_str()).unwrap_or_default();
    Field {
        name: plain(&told["name"]),
        place: plain(&told["in"]),
        is_required: told["required"] == true,
        kind: kind(schema),
        bounds: bounds(schema),
        about: prose(about),
    }
}

fn answer(status: &str, told: &Value) -> Answer {
    let content = items(&told["content"]).next();
    let json =
        content.filter(|(media_type, _)| media_type.ends_with("json")).map(|(_, content)| kind(&content["schema"]));
    let kind = json.or(content.map(|(media_type, _)| escaped(media_type))).unwrap_or_default();
    let headers: Vec<_> = items(&told["headers"]).map(|(name, _)| name).collect();
    let about = prose(&plain(&told["description"]));
    Answer { status: status.to_owned(), kind, headers: headers.join(", "), about }
}

fn problem(name: &str, told: &Value) -> Answer {
    let parts: Vec<_> = plain(&told["description"]).split("; `").map(str::to_owned).collect();
    let about = prose(&parts.join("\n`")).replace('\n', "<br>");
    let headers: Vec<_> = items(&told["headers"]).map(|(name, _)| name).collect();
    let status = name.trim_start_matches("Problem").to_owned();
    Answer { status, kind: String::new(), headers: headers.join(", "), about }
}

fn schema(name: &str, told: &Value) -> Schema {
    let fields = fields(told);
    let kind = if fields.is_empty() { kind(told) } else { String::new() };
    let about = prose(told["description"].as_str().unwrap_or_default());
    Schema { name: name.to_owned(), about, kind, fields }
}

/// Of an object its fields, and those of every case where it is one of several.
fn fields(told: &Value) -> Vec<Field> {
    let mut fields = properties(told);
    for case in told["oneOf"].as_array().into_iter().flatten() {
        fields.extend(properties(case));
    }
    fields
}

fn properties(told: &Value) -> Vec<Field> {
    let is_required = |name: &str| told["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name));
    let property = |(name, schema): (&str, &Value)| Field {
        name: name.to_owned(),
        place: String::new(),
        is_required: is_required(name),
        kind: kind(schema),
        bounds: bounds(schema),
        about: prose(schema["description"].as_str().unwrap_or_default()),
    };
    items(&told["properties"]).map(property).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::api::docs::OPENAPI;

    #[test]
    fn the_page_is_small_shows_all_and_every_link_leads_somewhere() {
        let page = super::of(OPENAPI).unwrap();
        assert!(page.len() < 400_000, "the page has {} bytes", page.len());
        let attribute = |name: &str| -> Vec<&str> {
            page.split(&format!(" {name}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
        };
        let ids = attribute("id");
        let places: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), places.len(), "two elements have one id");
        let links = attribute("href");
        let lost: Vec<_> =
            links.iter().filter_map(|link| link.strip_prefix('#')).filter(|link| !places.contains(link)).collect();
        assert_eq!(lost, [""; 0], "links that lead nowhere");
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        for (_, methods) in super::items(&document["paths"]) {
            for (_, operation) in super::items(methods) {
                let name = operation["operationId"].as_str().unwrap();
                assert!(places.contains(name), "{name} is not shown");
            }
        }
        assert!(!page.contains(" style=") && !page.contains("<script>"), "the policy forbids what is inline");
    }
}
