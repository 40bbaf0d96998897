//! The routes as the router has them, and their roles as docs/api.md tells of them, for tests to hold against what the API does.

use std::collections::BTreeSet;

use http::Method;

const DOCS: &str = include_str!("../../../../../docs/api.md");

/// Routes that ask for no key.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/api/v1/openapi.json", "/api/docs"];

pub const ROLES: [&str; 3] = ["read", "write", "admin"];

pub struct Route {
    pub method: Method,
    /// With ids of nothing that is there.
    pub path: String,
    /// The least of the roles that may use it, by the docs.
    pub role: &'static str,
}

/// Every route that the router has and that asks for a key.
pub fn routes() -> Vec<Route> {
    let table = bellwether::api::table();
    let called = |route: &bellwether::api::Route| match route.path.strip_prefix("/api/v1/") {
        Some(path) => path.to_owned(),
        None => route.path.clone(),
    };
    table
        .iter()
        .map(|route| Route {
            path: filled(&called(route)),
            role: role(&route.method, &called(route)),
            method: route.method.clone(),
        })
        .collect()
}

#[test]
fn the_docs_tell_of_every_route_and_of_no_other() {
    let known = |method: &Method, path: &str| format!("{} {path}", method.as_str());
    let told: BTreeSet<_> = told().iter().map(|(method, path)| known(method, path)).collect();
    let there: BTreeSet<_> = bellwether::api::table()
        .iter()
        .map(|route| known(&route.method, route.path.strip_prefix("/api/v1/").unwrap_or(&route.path)))
        .collect();
    assert_eq!(told.difference(&there).collect::<Vec<_>>(), [""; 0], "docs/api.md tells of what is not there");
    assert_eq!(there.difference(&told).collect::<Vec<_>>(), [""; 0], "docs/api.md does not tell of what is there");
    for route in bellwether::api::table() {
        let path = route.path.strip_prefix("/api/v1/").unwrap_or(&route.path);
        assert_eq!(route.role.as_str(), role(&route.method, path), "{} {path}", route.method);
    }
}

/// The routes that the table of docs/api.md tells of, without those that are open to all.
fn told() -> Vec<(Method, String)> {
    let rows = section("## Routes").lines().filter_map(|line| line.strip_prefix("| `"));
    let mut found = Vec::new();
    for row in rows {
        let cell = row.split(" | ").next().unwrap();
        // Methods stand behind the last of the paths that they are for.
        let mut paths: Vec<String> = Vec::new();
        let mut last = String::new();
        for part in format!("`{cell}").split(" · ") {
            let mut words = part.split_whitespace();
            let path = words.next().unwrap().trim_matches('`');
            let path = match path.strip_prefix('…') {
                Some(rest) => format!("{}{rest}", last.rsplit_once('/').unwrap().0),
                None => path.to_owned(),
            };
            last.clone_from(&path);
            paths.push(path);
            let methods: Vec<Method> = words.map(|word| word.parse().unwrap()).collect();
            if methods.is_empty() {
                continue;
            }
            for path in paths.drain(..).filter(|path| !OPEN.contains(&path.as_str())) {
                found.extend(methods.iter().map(|method| (method.clone(), path.clone())));
            }
        }
        assert!(paths.is_empty(), "no method stands behind {paths:?}");
    }
    assert!(found.len() > 60, "the table of routes is not where it was");
    found
}

fn section(title: &str) -> &'static str {
    let (_, rest) = DOCS.split_once(title).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// Below /api/v1, unless it begins with a slash. No path names anything that is there.
fn filled(path: &str) -> String {
    let ids = [("experiments/{id}", "experiments/999"), ("{id}", "x_x"), ("{metric_id}", "met_x")];
    let more = [("{group_id}", "grp_x"), ("{endpoint_id}", "ep_x"), ("{name}", "x.csv")];
    let path = ids.into_iter().chain(more).fold(path.to_owned(), |path, (from, to)| path.replace(from, to));
    // A stream that is let in would not end.
    let path = if path == "events/stream" { format!("{path}?after=x") } else { path };
    format!("/{path}")
}

/// What the table of roles says.
fn role(method: &Method, path: &str) -> &'static str {
    let row = |role: &str| {
        let start = format!("| `{role}` | ");
        section("## Keys and roles").lines().find_map(|line| line.strip_prefix(&start)).unwrap()
    };
    let resource = format!("`{}`", path.trim_start_matches('/').split('/').next().unwrap());
    let is_excepted = row("read").contains(&resource) || row("read").contains(&format!("`{path}`"));
    let is_read = *method == Method::GET && !is_excepted;
    let is_own = row("read").contains(&format!("{method} `{path}`"));
    match () {
        () if is_read || is_own => "read",
        () if row("write").contains(&format!("`{path}`")) => "write",
        () if row("admin").contains(&resource) => "admin",
        () => "write",
    }
}
