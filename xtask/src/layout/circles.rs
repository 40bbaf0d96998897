//! The part of the layout check that looks for circles: modules beside each other must not need each other, neither
//! directly nor by way of others. A module and those within it may.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{SourcePath, Token, paths};

/// A module of a crate, from the crate's root down.
type Path = Vec<String>;

/// The files of one crate, and what each names of the others.
#[derive(Default)]
pub struct Crate {
    modules: BTreeMap<Path, Vec<Named>>,
    /// What a module passes on from another: its own name for it, and where it leads.
    passed_on: BTreeMap<Path, Path>,
}

/// A path of a file, as it stands there and seen from the root.
struct Named {
    place: String,
    path: Path,
}

impl Crate {
    /// Takes in a file; `file` is shown where it is part of a circle.
    pub fn add(&mut self, file: &str, module: &[&str], tokens: &[Token]) {
        let module: Path = module.iter().filter(|name| !matches!(**name, "lib" | "main")).map(owned).collect();
        if module.last().is_some_and(|name| name == "tests") {
            return;
        }
        let tokens = without_tests(tokens);
        for (alias, path) in passed_on(&tokens, &module) {
            self.passed_on.insert([module.as_slice(), &[alias]].concat(), path);
        }
        let paths = paths(&tokens);
        let named = paths
            .iter()
            .filter_map(|path| Some(Named { place: format!("{file}:{}", path.line), path: from_root(path, &module)? }));
        self.modules.entry(module.clone()).or_default().extend(named);
    }

    /// A line for each circle.
    pub fn circles(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut is_told = BTreeSet::new();
        let edges = self.edges();
        for start in edges.keys() {
            let Some(circle) = way_back(start, &edges) else { continue };
            let members: BTreeSet<&Path> = circle.iter().collect();
            if !is_told.insert(members.into_iter().cloned().collect::<Vec<_>>()) {
                continue;
            }
            let names: Vec<String> = circle.iter().chain([start]).map(|path| path.join("::")).collect();
            let places: Vec<&str> = (0..circle.len())
                .filter_map(|at| edges.get(&circle[at])?.get(&circle[(at + 1) % circle.len()]))
                .map(String::as_str)
                .collect();
            found.push(format!(
                "{}: these modules need each other in a circle; move what both need below them ({})",
                names.join(" → "),
                places.join(", ")
            ));
        }
        found
    }

    /// Which of the modules beside each other need which, and where that is said first.
    fn edges(&self) -> BTreeMap<Path, BTreeMap<Path, String>> {
        let mut edges: BTreeMap<Path, BTreeMap<Path, String>> = BTreeMap::new();
        for (module, named) in &self.modules {
            for Named { place, path } in named {
                let target = self.module_of(path);
                let shared = module.iter().zip(&target).take_while(|(one, other)| one == other).count();
                // One is within the other, or is the other.
                let (Some(from), Some(to)) = (module.get(..=shared), target.get(..=shared)) else { continue };
                edges.entry(from.to_vec()).or_default().entry(to.to_vec()).or_insert_with(|| place.clone());
            }
        }
        edges
    }

    /// The module that a path ends in, by way of what others pass on.
    fn module_of(&self, path: &[String]) -> Path {
        let mut path = path.to_vec();
        // Nothing is passed on more often than that.
        for _ in 0..8 {
            let passed = (1..=path.len()).rev().find_map(|end| Some((end, self.passed_on.get(&path[..end])?)));
            match passed {
                Some((end, leads_to)) => path = [leads_to.as_slice(), &path[end..]].concat(),
                None => break,
            }
        }
        let known = (0..=path.len()).rev().find(|end| self.modules.contains_key(&path[..*end]));
        path.truncate(known.unwrap_or(0));
        path
    }
}

fn owned(text: impl ToString) -> String {
    text.to_string()
}

/// What a path of `module` names, seen from the crate's root; `None` if it leads out of the crate, or stays in the module.
fn from_root(path: &SourcePath, module: &[String]) -> Option<Path> {
    let (front, rest) = match path.segments.as_slice() {
        ["crate", rest @ ..] => (&[][..], rest),
        ["super", rest @ ..] => (module.split_last()?.1, rest),
        _ => return None,
    };
    Some(front.iter().cloned().chain(rest.iter().map(owned)).collect())
}

/// The names that `pub use` gives to things of modules within this one.
fn passed_on(tokens: &[Token], module: &[String]) -> Vec<(String, Path)> {
    let mut found = Vec::new();
    for (at, window) in tokens.windows(2).enumerate() {
        if (window[0].text, window[1].text) != ("pub", "use") {
            continue;
        }
        let end = tokens[at..].iter().position(|token| token.text == ";").map_or(tokens.len(), |length| at + length);
        for path in paths(&tokens[at + 2..end]) {
            let Some(name) = path.segments.last() else { continue };
            if !matches!(path.segments[0], "crate" | "super" | "self") && path.segments.len() > 1 {
                found.push((owned(name), module.iter().cloned().chain(path.segments.iter().map(owned)).collect()));
            }
        }
    }
    found
}

/// Tests may know what their module must not.
fn without_tests<'s>(tokens: &[Token<'s>]) -> Vec<Token<'s>> {
    let is_test = ["#", "[", "cfg", "(", "test", ")", "]"];
    let starts = |at: usize| tokens[at..].iter().map(|token| token.text).take(is_test.len()).eq(is_test);
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !starts(at) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let mut depth = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token.text {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// The shortest way from `start` to itself.
fn way_back(start: &Path, edges: &BTreeMap<Path, BTreeMap<Path, String>>) -> Option<Vec<Path>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way.last().and_then(|last| edges.get(last)).into_iter().flat_map(BTreeMap::keys) {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push([way.as_slice(), std::slice::from_ref(next)].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::source::tokens;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let mut krate = Crate::default();
        for (file, text) in files {
            let module: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
            krate.add(file, &module, &tokens(text));
        }
        krate.circles()
    }

    #[test]
    fn modules_that_need_each_other_are_named_once_with_the_places() {
        let found = circles(&[
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "\nuse super::c::C;"),
            ("c.rs", "fn f() { crate::a::f() }"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        for part in ["a → b → c → a", "a.rs:1", "b.rs:2", "c.rs:1"] {
            assert!(found[0].contains(part), "{part} is not in {found:?}");
        }
    }

    #[test]
    fn what_lies_deeper_counts_for_the_modules_it_lies_in() {
        let found = circles(&[
            ("a/x.rs", "use crate::b::y::Y;"),
            ("b/y.rs", ""),
            ("b/z.rs", "use crate::a::x;"),
            ("b.rs", ""),
            ("a.rs", ""),
        ]);
        assert!(found.len() == 1 && found[0].starts_with("a → b → a"), "{found:?}");
        let within = circles(&[("a.rs", "use x::X; pub struct A;"), ("a/x.rs", "use super::A;")]);
        assert_eq!(within, [""; 0], "a module and those within it may need each other");
    }

    #[test]
    fn what_is_passed_on_counts_for_where_it_comes_from() {
        let files =
            [("a.rs", "pub use x::X; mod x; mod y;"), ("a/x.rs", "use super::y::Y;"), ("a/y.rs", "use super::X;")];
        let found = circles(&files);
        assert!(found.len() == 1 && found[0].starts_with("a::x → a::y → a::x"), "{found:?}");
    }

    #[test]
    fn tests_may_know_more() {
        let files = [("a.rs", "#[cfg(test)]\nmod tests { use crate::b::B; }"), ("b.rs", "use crate::a::A;")];
        assert_eq!(circles(&files), [""; 0]);
    }
}
