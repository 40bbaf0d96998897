//! The part of the layout check that holds the documents to the tree: a file of code that a document names, and a file it
//! links to, must be there, and in the documents about the code a folder and a type, too. It does not judge what they say.

use std::collections::BTreeSet;
use std::path::Path;

/// The documents about the code.
const OF_CODE: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];
/// Where names begin that say nothing else.
const SERVER: &str = "crates/bellwether/";

/// What documents may name.
pub struct Tree {
    /// All files of the workspace, from its root, with `/`.
    pub files: Vec<String>,
    /// All words of the code, comments and texts left aside.
    pub words: BTreeSet<String>,
}

impl Tree {
    /// What a document names or links to and is not there, with the line.
    pub fn broken_names(&self, document: &str, text: &str) -> Vec<(usize, String)> {
        let folder = Path::new(document).parent().unwrap_or(Path::new(""));
        let is_of_code = OF_CODE.contains(&document);
        let mut broken = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let mut name = |rule: String| broken.push((at + 1, rule));
            for span in code_spans(line) {
                if is_code_file(span) {
                    self.broken_file(span).into_iter().for_each(&mut name);
                } else if is_of_code && is_path(span) && span.ends_with('/') && !self.has_folder(span) {
                    name(format!("no folder is named `{span}`; say where it stands now"));
                } else if let Some(word) = words(span).filter(|_| is_of_code).and_then(|words| self.unknown(words)) {
                    name(format!("the code has no `{word}`; say how it is called now"));
                }
            }
            for target in links(line).filter(|target| !leads_to(&folder.join(target), &self.files)) {
                name(format!("the link to `{target}` leads nowhere; say where it stands now"));
            }
        }
        broken
    }

    /// A name is the end of one path in the server's sources, a path below the server's folder, or one from the root: what
    /// is moved or deleted there is not taken for its namesake in another crate.
    fn broken_file(&self, name: &str) -> Option<String> {
        let is_whole = |file: &&String| file.as_str() == name || file.strip_prefix(SERVER) == Some(name);
        let is_end = |file: &&String| is_source(file) && Path::new(file.as_str()).ends_with(name);
        if self.files.iter().any(|file| is_whole(&file)) {
            return None;
        }
        let found: Vec<_> = self.files.iter().filter(is_end).map(String::as_str).collect();
        match found[..] {
            [_] => None,
            [] => Some(format!(
                "no file of the server is named `{name}`; say where it stands now, from the root if elsewhere"
            )),
            _ => Some(format!("`{name}` may be any of {}; say which", found.join(", "))),
        }
    }

    fn has_folder(&self, name: &str) -> bool {
        let is_within = |file: &String| {
            let path = file.strip_prefix(SERVER).unwrap_or(file);
            file.starts_with(name) || path.starts_with(name) || is_source(file) && file.contains(&format!("/{name}"))
        };
        self.files.iter().any(is_within)
    }

    fn unknown<'n>(&self, mut words: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        words.find(|word| !self.words.contains(*word))
    }
}

fn is_source(file: &str) -> bool {
    file.strip_prefix(SERVER).is_some_and(|inside| inside.starts_with("src/"))
}

/// What stands between two backticks.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_path(name: &str) -> bool {
    name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-/.".contains(letter))
}

fn is_code_file(name: &str) -> bool {
    let is_code = Path::new(name).extension().is_some_and(|extension| extension == "rs" || extension == "sql");
    is_code && is_path(name)
}

/// The words of what looks like a type, or a path with one in it: `Tx`, `Context::advance`, `Db::write(closure)`.
fn words(span: &str) -> Option<impl Iterator<Item = &str>> {
    let name = span.split_once('(').map_or(span, |(name, _)| name);
    let is_word = |word: &str| word.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_type = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_uppercase())
            && word.contains(|letter: char| letter.is_ascii_lowercase())
    };
    let is_plain = |word: &str| word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let is_name = name.split("::").all(|word| is_word(word) && is_plain(word));
    (is_name && name.split("::").any(is_type)).then(|| name.split("::"))
}

/// The targets of links into the workspace, without the heading within the file.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let files = targets.map(|target| target.split_once('#').map_or(target, |(file, _)| file));
    files.filter(|file| !file.is_empty() && !file.contains(':'))
}

/// Whether a path, which may go up, is that of a file or a folder.
fn leads_to(path: &Path, files: &[String]) -> bool {
    let mut plain = Vec::new();
    for part in path.components().map(|part| part.as_os_str().to_string_lossy()) {
        match part.as_ref() {
            "." => {}
            ".." => drop(plain.pop()),
            _ => plain.push(part),
        }
    }
    let plain = plain.join("/");
    files.iter().any(|file| Path::new(file).starts_with(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_in(document: &str, text: &str) -> Vec<(usize, String)> {
        let server =
            ["src/lane/state.rs", "src/lane.rs", "src/api.rs", "src/api/lane.rs", "0001_first.sql", "tests/it.rs"];
        let mut files: Vec<_> = server.iter().map(|file| format!("crates/bellwether/{file}")).collect();
        files.extend(["docs/api.md", "docs/adr/0001.md", "README.md", "crates/bench/src/load.rs"].map(str::to_owned));
        let words = ["Tx", "query", "SendPermit"].map(str::to_owned).into();
        Tree { files, words }.broken_names(document, text)
    }

    fn broken(text: &str) -> Vec<(usize, String)> {
        broken_in("docs/guide.md", text)
    }

    #[test]
    fn what_is_there_may_be_named_by_the_end_of_its_path() {
        let text = "See `lane/state.rs`, `state.rs`, `src/lane.rs`, `0001_first.sql`, `tests/it.rs`, `crates/bench/src/load.rs`,
            [api](api.md#keys), [both](../README.md), [adr](adr/), [here](#below), [there](https://example.org/x.md),
            `a.rs or b.rs`, `Tx::query`, `0007_*.sql`, `scratch/`, `Retry-After`.";
        assert_eq!(broken(text), []);
    }

    #[test]
    fn what_is_not_there_is_named_with_its_line() {
        for name in ["lane/query.rs", "ate.rs", "b/lane/state.rs", "0002_second.sql", "load.rs", "src/load.rs", "it.rs"]
        {
            let found = broken(&format!("Fine.\nSee `state.rs` and `{name}`."));
            assert!(found.len() == 1 && found[0].0 == 2 && found[0].1.contains(name), "{name}: {found:?}");
        }
        for target in ["pi.md", "api", "../api.md", "adr/0002.md#why"] {
            let found = broken(&format!("[this]({target})"));
            assert!(found.len() == 1 && found[0].1.contains("leads nowhere"), "{target}: {found:?}");
        }
    }

    #[test]
    fn a_name_that_may_be_of_several_files_must_say_which() {
        let found = broken("`lane.rs`");
        assert!(found.len() == 1 && found[0].1.contains("src/lane.rs, crates/bellwether/src/api/lane.rs"), "{found:?}");
        assert_eq!(broken("`src/lane.rs`, `api/lane.rs`"), []);
    }

    #[test]
    fn documents_about_the_code_name_folders_and_types_that_are_there() {
        let text = "`lane/`, `api/`, `tests/`, `crates/bench/`, `Tx`, `Tx::query`, `Tx::query(closure)`, `FULL`, `Retry-After`, `tx`";
        assert_eq!(broken_in("ARCHITECTURE.md", text), []);
        for name in ["nodes/", "ane/", "docs/api/", "License", "Tx::fetch", "Db::query"] {
            let found = broken_in("ARCHITECTURE.md", &format!("`{name}`"));
            assert_eq!(found.len(), 1, "{name}: {found:?}");
        }
    }
}
