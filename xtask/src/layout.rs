//! The layout check: which way imports go, which module may name which library, how large things may be, and whether the
//! documents name what is there.
//!
//! The tables below are the rules; ARCHITECTURE.md says why they are so.

mod circles;
mod documents;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use circles::Crate;
use documents::Tree;
use source::{SourcePath, Token, functions, paths, tokens};

/// The top-level modules of the server, from the lowest rank to the highest. A module imports from its own rank and from
/// lower ones.
const RANKS: [&[&str]; 9] = [
    &["domain"],
    &["platform"],
    &["store"],
    &["registry"],
    &["maintenance"],
    &["delivery", "pipeline"],
    &["api", "console", "doctor"],
    &["app", "config"],
    &["cli", "lib", "main"],
];

/// Libraries, or parts of them, and the only places that may name them: a crate, or a module of the server.
const RESERVED: [(&str, &[&str]); 12] = [
    ("rusqlite", &["bellwether::store"]),
    ("postgres", &["bellwether::store", "warehouse", "bench::database", "testkit::databases"]),
    ("axum", &["bellwether::api", "bellwether::console", "bellwether::cli::receiver"]),
    ("askama", &["bellwether::api", "bellwether::console"]),
    ("schemars", &["bellwether::domain", "bellwether::registry", "bellwether::api", "warehouse"]),
    ("hyper::client", &["bellwether::delivery::transport::http2", "bellwether::cli"]),
    ("hyper_util::client", &["bellwether::cli", "bench"]),
    ("httparse", &["bellwether::delivery::transport::http1", "bench::wire"]),
    ("tokio_rustls", &["bellwether::delivery::transport::connector", "bellwether::api::secured"]),
    ("hickory_resolver", &["bellwether::delivery::transport::resolver"]),
    ("datafusion", &["warehouse"]),
    ("adbc_core", &["warehouse"]),
];

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;

/// What was true once; it may name files that are gone.
const HISTORY: &str = "CHANGELOG.md";

/// Checks every Rust file and every document of the workspace, and names all that breaks a rule.
pub fn check(workspace: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    collect_files(workspace, workspace, &mut files)?;
    files.sort();
    let mut broken = Vec::new();
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    let mut words = BTreeSet::new();
    let is_code = |file: &str| file.ends_with(".rs") && (file.starts_with("crates/") || file.starts_with("xtask/"));
    for file in files.iter().filter(|file| is_code(file)) {
        let text = read(workspace, file)?;
        broken.extend(shown(file, broken_rules(file, &text)));
        let tokens = tokens(&text);
        words.extend(tokens.iter().map(|token| token.text.to_owned()));
        if let Some(module) = Module::of(file) {
            crates.entry(module.krate.to_owned()).or_default().add(file, &module.path, &tokens);
        }
    }
    if crates.is_empty() {
        return Err(format!("there are no Rust files below {}", workspace.display()));
    }
    broken.extend(crates.values().flat_map(Crate::circles));
    let tree = Tree { files, words };
    for file in tree.files.iter().filter(|file| file.ends_with(".md") && *file != HISTORY) {
        broken.extend(shown(file, tree.broken_names(file, &read(workspace, file)?)));
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

fn read(workspace: &Path, file: &str) -> Result<String, String> {
    fs::read_to_string(workspace.join(file)).map_err(|error| format!("{file} cannot be read: {error}"))
}

fn shown(file: &str, broken: Vec<(usize, String)>) -> impl Iterator<Item = String> {
    broken.into_iter().map(move |(line, rule)| format!("{file}:{line}: {rule}"))
}

/// The files below a folder, from the workspace's root, without what is hidden, built or fetched.
fn collect_files(workspace: &Path, folder: &Path, files: &mut Vec<String>) -> Result<(), String> {
    let unreadable = |error| format!("{} cannot be read: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            collect_files(workspace, &path, files)?;
        } else {
            let inside = path.strip_prefix(workspace).unwrap_or(&path);
            files.push(inside.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

/// The lines of a file that break a rule, and the rules.
fn broken_rules(file: &str, text: &str) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let mut broken = sizes(text, &tokens);
    broken.extend(left_undone(&tokens));
    if let Some(module) = Module::of(file) {
        if !text.trim_start().starts_with("//!") {
            broken.push((1, "opens without `//!`; say what the module is for, and what it does not do".to_owned()));
        }
        broken.extend(module.broken_imports(&paths(&tokens)));
    }
    broken
}

fn sizes(text: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    let lines = text.lines().count();
    let file = (lines > MAX_FILE_LINES)
        .then(|| (lines, format!("the file has {lines} lines, at most {MAX_FILE_LINES} are allowed; split it")));
    let long = functions(tokens).into_iter().filter(|function| function.lines > MAX_FUNCTION_LINES);
    let long = long.map(|function| {
        let (name, lines) = (function.name, function.lines);
        (function.line, format!("`{name}` has {lines} lines, at most {MAX_FUNCTION_LINES} are allowed; split it"))
    });
    file.into_iter().chain(long).collect()
}

fn left_undone(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut broken = Vec::new();
    for window in tokens.windows(3) {
        let [first, second, third] = [window[0].text, window[1].text, window[2].text];
        if (first, second, third) == ("#", "[", "ignore") {
            broken.push((window[0].line, "a test that is ignored proves nothing; mend it or delete it".to_owned()));
        }
        if matches!(first, "todo" | "unimplemented") && second == "!" {
            broken.push((window[0].line, format!("`{first}!` is left; do it, or leave the feature out")));
        }
    }
    broken
}

/// Where a source file stands: its crate, and the modules down to it.
struct Module<'f> {
    krate: &'f str,
    path: Vec<&'f str>,
}

impl<'f> Module<'f> {
    /// None for files that are no module of a crate: tests, examples, benches.
    fn of(file: &'f str) -> Option<Module<'f>> {
        let (krate, inside) = match file.strip_prefix("crates/") {
            Some(rest) => rest.split_once("/src/")?,
            None => ("xtask", file.strip_prefix("xtask/src/")?),
        };
        let path = inside.strip_suffix(".rs").unwrap_or(inside);
        Some(Module { krate, path: path.split('/').filter(|segment| *segment != "mod").collect() })
    }

    fn broken_imports(&self, paths: &[SourcePath]) -> Vec<(usize, String)> {
        let mut broken = Vec::new();
        let own_rank = self.path.first().and_then(|module| rank(module));
        if self.krate == "bellwether" && own_rank.is_none() {
            let module = self.path.first().unwrap_or(&"");
            broken.push((1, format!("the module `{module}` has no rank; add it to RANKS in xtask/src/layout.rs")));
        }
        for path in paths {
            if let Some(rule) = self.reserved(path) {
                broken.push((path.line, rule));
            }
            if path.segments.starts_with(&["super", "super"]) {
                broken.push((path.line, "`super::super` hides where it leads; write `crate::…`".to_owned()));
            }
            let Some(module) = self.imported(path).filter(|_| self.krate == "bellwether") else { continue };
            if rank(module) > own_rank {
                let own = self.path.first().unwrap_or(&"");
                let rule =
                    format!("`{own}` imports `{module}`, which stands above it; let `{module}` hand in what is needed");
                broken.push((path.line, rule));
            }
        }
        broken
    }

    /// The top-level module that a path leads to, if it leads into this crate from its root.
    fn imported<'p>(&self, path: &SourcePath<'p>) -> Option<&'p str> {
        match path.segments.as_slice() {
            ["crate" | "bellwether", module, ..] => Some(module),
            ["super", module, ..] if self.path.len() == 1 && path.depth == 0 => Some(module),
            _ => None,
        }
    }

    fn reserved(&self, path: &SourcePath) -> Option<String> {
        let own = [&[self.krate], self.path.as_slice()].concat();
        let is_within = |place: &&str| place.split("::").enumerate().all(|(at, part)| own.get(at) == Some(&part));
        let names =
            |library: &str| library.split("::").enumerate().all(|(at, part)| path.segments.get(at) == Some(&part));
        // A single name is a variable as often as a library.
        let is_library = path.segments.len() > 1;
        let (library, places) = RESERVED.iter().find(|(library, _)| is_library && names(library))?;
        if places.iter().any(is_within) {
            return None;
        }
        Some(format!("only {} may name `{library}`; ask it for what is needed", places.join(", ")))
    }
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|modules| modules.contains(&module))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(file: &str, code: &str) -> Vec<String> {
        broken_rules(file, &format!("//! Doc.\n{code}")).into_iter().map(|(_, rule)| rule).collect()
    }

    #[test]
    fn imports_go_down_and_sideways_but_not_up() {
        assert_eq!(
            broken("crates/bellwether/src/registry/edit.rs", "use crate::{store::Db, domain, registry};"),
            [""; 0]
        );
        assert_eq!(broken("crates/bellwether/src/cli/serve.rs", "use crate::app;"), [""; 0]);
        for (file, code) in [
            ("store/run.rs", "use crate::{domain::clock, registry::Command};"),
            ("domain/experiment.rs", "fn f() { crate::store::open() }"),
            ("store.rs", "use super::api;"),
            ("delivery.rs", "use bellwether::api::Page;"),
            ("api/runs.rs", "use crate::app::App;"),
        ] {
            let found = broken(&format!("crates/bellwether/src/{file}"), code);
            assert!(found.len() == 1 && found[0].contains("stands above"), "{file}: {found:?}");
        }
    }

    #[test]
    fn words_in_comments_and_text_are_no_imports() {
        let code = "// crate::api\nconst TEXT: &str = \"use crate::api; #[ignore] todo!()\";";
        assert_eq!(broken("crates/bellwether/src/store.rs", code), [""; 0]);
    }

    #[test]
    fn an_unknown_module_must_be_given_a_rank() {
        let found = broken("crates/bellwether/src/misc.rs", "");
        assert!(found[0].contains("`misc`") && found[0].contains("RANKS"), "{found:?}");
    }

    #[test]
    fn libraries_stay_in_their_places() {
        let allowed = [
            ("crates/bellwether/src/store/sqlite.rs", "use rusqlite::Connection;"),
            ("crates/bellwether/src/delivery/transport/http2.rs", "use hyper::{client::conn::http2, rt};"),
            ("crates/bellwether/src/api/serve.rs", "use {axum::Router, hyper_util::server::conn};"),
            ("crates/bellwether/src/config.rs", "fn f(postgres: &str) { postgres.len(); }"),
            ("crates/warehouse/src/embedded.rs", "use datafusion::prelude::*;"),
        ];
        for (file, code) in allowed {
            assert_eq!(broken(file, code), [""; 0], "{file}");
        }
        let refused = [
            ("crates/bellwether/src/registry.rs", "use rusqlite::Connection;"),
            ("crates/bellwether/src/delivery/lane.rs", "use hyper::{rt, client::conn::http2};"),
            ("crates/bellwether/src/app.rs", "fn f() -> axum::Router { g() }"),
            ("crates/bellwether/src/pipeline/query.rs", "use datafusion::prelude::*;"),
        ];
        for (file, code) in refused {
            let found = broken(file, code);
            assert!(found.len() == 1 && found[0].starts_with("only "), "{file}: {found:?}");
        }
    }

    #[test]
    fn files_and_functions_have_a_largest_size() {
        let function = |lines: usize| format!("fn f() {{\n{}}}\n", "g();\n".repeat(lines - 2));
        assert_eq!(broken("crates/stats/src/lib.rs", &function(MAX_FUNCTION_LINES)), [""; 0]);
        assert_eq!(broken("crates/stats/tests/golden.rs", &function(MAX_FUNCTION_LINES + 1)).len(), 1);
        assert_eq!(broken("crates/stats/src/lib.rs", &"\n".repeat(MAX_FILE_LINES - 1)), [""; 0]);
        assert_eq!(broken("crates/stats/src/lib.rs", &"\n".repeat(MAX_FILE_LINES)).len(), 1);
    }

    #[test]
    fn modules_say_what_they_are_for_and_leave_nothing_undone() {
        assert_eq!(broken_rules("crates/stats/src/lift.rs", "fn f() {}").len(), 1);
        assert_eq!(broken_rules("crates/stats/tests/golden.rs", "fn f() {}").len(), 0);
        assert_eq!(broken("crates/stats/src/lift.rs", "#[ignore] fn f() { todo!() }").len(), 2);
    }
}
