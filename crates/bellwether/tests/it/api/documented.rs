//! The routes and roles as docs/api.md tells of them, for tests to hold against what the API does.

use http::Method;

const DOCS: &str = include_str!("../../../../../docs/api.md");

pub const ROLES: [&str; 3] = ["read", "write", "admin"];

pub struct Route {
    pub method: Method,
    /// With ids of nothing that is there.
    pub path: String,
    /// The least of the roles that may use it.
    pub role: &'static str,
}

/// Every route that asks for a key.
pub fn routes() -> Vec<Route> {
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
            for path in paths.drain(..).filter(|path| !matches!(path.as_str(), "/healthz" | "/readyz")) {
                found.extend(methods.iter().map(|method| Route {
                    method: method.clone(),
                    path: filled(&path),
                    role: role(method, &path),
                }));
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
    match () {
        () if is_read => "read",
        () if row("write").contains(&format!("`{path}`")) => "write",
        () if row("admin").contains(&resource) => "admin",
        () => "write",
    }
}
