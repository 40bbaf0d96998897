//! The part of the layout check that holds the documents to the tree: a file of code that a document names, and a file it
//! links to, must be there. It does not judge what they say.

use std::path::Path;

/// What a document names or links to and is not there, with the line. `files` are all of the workspace, from its root,
/// with `/`.
pub fn broken_names(document: &str, text: &str, files: &[String]) -> Vec<(usize, String)> {
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    let mut broken = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for name in code_spans(line).filter(|name| is_code_file(name)) {
            if !files.iter().any(|file| Path::new(file).ends_with(name)) {
                broken.push((at + 1, format!("no file is named `{name}`; say where it stands now")));
            }
        }
        for target in links(line) {
            if !leads_to(&folder.join(target), files) {
                broken.push((at + 1, format!("the link to `{target}` leads nowhere; say where it stands now")));
            }
        }
    }
    broken
}

/// What stands between two backticks.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_code_file(name: &str) -> bool {
    let is_path = |letter: char| letter.is_ascii_alphanumeric() || "_-/.".contains(letter);
    let is_code = Path::new(name).extension().is_some_and(|extension| extension == "rs" || extension == "sql");
    is_code && name.chars().all(is_path)
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

    fn broken(text: &str) -> Vec<(usize, String)> {
        let files =
            ["docs/api.md", "docs/adr/0001.md", "README.md", "crates/a/src/lane/state.rs", "crates/a/0001_first.sql"];
        broken_names("docs/guide.md", text, &files.map(str::to_owned))
    }

    #[test]
    fn what_is_there_may_be_named_by_the_end_of_its_path() {
        let text =
            "See `lane/state.rs`, `state.rs`, `0001_first.sql`, [api](api.md#keys), [both](../README.md), [adr](adr/),
            [here](#below), [there](https://example.org/x.md), `a.rs or b.rs`, `Tx::query`, `0007_*.sql`.";
        assert_eq!(broken(text), []);
    }

    #[test]
    fn what_is_not_there_is_named_with_its_line() {
        for name in ["lane/query.rs", "ate.rs", "b/lane/state.rs", "0002_second.sql"] {
            let found = broken(&format!("Fine.\nSee `state.rs` and `{name}`."));
            assert!(found.len() == 1 && found[0].0 == 2 && found[0].1.contains(name), "{name}: {found:?}");
        }
        for target in ["pi.md", "api", "../api.md", "adr/0002.md#why"] {
            let found = broken(&format!("[this]({target})"));
            assert!(found.len() == 1 && found[0].1.contains("leads nowhere"), "{target}: {found:?}");
        }
    }
}
