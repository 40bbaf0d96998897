//! What holds for any input whatever: one file for each way in. A fuzzer looks for input that breaks it (`fuzz/README.md`); here
//! what it has found so far is gone through again, and what was written by hand to begin with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod bodies;
mod cursors;
mod filters;
mod queries;

use std::path::Path;

/// Hands each file of a corpus to `run`.
fn replay(corpus: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 5, "{} is there", folder.display());
    for file in files {
        // Shown where it fails.
        println!("{}", file.display());
        run(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn the_corpus_of_answers() {
    replay("answers", answers::run);
}

/// A comparison that compares nothing would hold for ever.
#[test]
fn usual_answers_are_read_by_both_sides() {
    for name in ["no-content", "length", "chunks", "to-the-end", "interim", "two-lengths", "bare-lf", "not-modified"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/answers").join(name);
        assert!(answers::is_read_by_both(&std::fs::read(file).unwrap()), "{name}");
    }
}

#[test]
fn the_corpus_of_bodies() {
    replay("bodies", bodies::run);
}

#[test]
fn the_corpus_of_cursors() {
    replay("cursors", cursors::run);
}

#[test]
fn the_corpus_of_filters() {
    replay("filters", filters::run);
}

#[test]
fn the_corpus_of_queries() {
    replay("queries", queries::run);
}
