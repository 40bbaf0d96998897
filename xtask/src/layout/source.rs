//! Reading Rust source as far as the layout check needs: tokens without comments and literals, paths, functions.
//!
//! Not a parser: it knows no grammar but paths, `use` trees and matching braces.

/// An identifier, or one character of punctuation, and the line (from 1) on which it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token<'s> {
    pub text: &'s str,
    pub line: usize,
}

/// One `a::b::c`; a `use` tree gives one for each of its leaves.
#[derive(Debug, PartialEq)]
pub struct SourcePath<'s> {
    pub segments: Vec<&'s str>,
    pub line: usize,
    /// How many braces enclose it.
    pub depth: usize,
}

/// A function with a body, and the lines of both.
#[derive(Debug, PartialEq)]
pub struct Function<'s> {
    pub name: &'s str,
    pub line: usize,
    pub lines: usize,
}

pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < bytes.len() {
        let end = match skipped(source, at) {
            Some(end) => end,
            None => {
                let end = token_end(source, at);
                tokens.push(Token { text: &source[at..end], line });
                end
            }
        };
        line += bytes[at..end].iter().filter(|byte| **byte == b'\n').count();
        at = end;
    }
    tokens
}

fn is_identifier(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn token_end(source: &str, at: usize) -> usize {
    let length: usize =
        source[at..].chars().take_while(|character| is_identifier(*character)).map(char::len_utf8).sum();
    at + if length > 0 { length } else { source[at..].chars().next().map_or(1, char::len_utf8) }
}

/// Where the space, comment or literal ends that begins here, if one does.
fn skipped(source: &str, at: usize) -> Option<usize> {
    let rest = &source[at..];
    let first = rest.chars().next()?;
    if first.is_whitespace() {
        return Some(at + first.len_utf8());
    }
    if rest.starts_with("//") {
        return Some(at + rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(at + block_comment(rest));
    }
    let literal = rest.trim_start_matches(['b', 'c', 'r']);
    let prefix = rest.len() - literal.len();
    // Only `b"`, `c"`, `r"`, `br"` and the like are prefixes; a longer run of these letters is an identifier.
    if prefix > 2 {
        return None;
    }
    if rest[..prefix].contains('r') {
        let hashes = literal.len() - literal.trim_start_matches('#').len();
        let raw = literal[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        return Some(source.len() - raw.len() + raw.find(&close).map_or(raw.len(), |found| found + close.len()));
    }
    match literal.as_bytes().first()? {
        b'"' => Some(source.len() - literal.len() + quoted(literal, '"')),
        b'\'' if is_character(literal) => Some(source.len() - literal.len() + quoted(literal, '\'')),
        // A lifetime: its name is no path.
        b'\'' if prefix == 0 => Some(token_end(source, at + 1)),
        _ => None,
    }
}

fn is_character(literal: &str) -> bool {
    let mut characters = literal.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

/// The length of a literal with its quotes, the first of which begins it.
fn quoted(literal: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in literal.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    literal.len()
}

/// The length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let (step, change) = match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (2, 1),
            Some(b"*/") => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            break;
        }
    }
    at
}

pub fn paths<'s>(tokens: &[Token<'s>]) -> Vec<SourcePath<'s>> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        if token.text.starts_with(is_identifier) {
            at = path(tokens, at, &[], depth, &mut found);
            continue;
        }
        match token.text {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads the path at `at`, whose front is `front`, and says where it ends.
fn path<'s>(
    tokens: &[Token<'s>],
    at: usize,
    front: &[&'s str],
    depth: usize,
    found: &mut Vec<SourcePath<'s>>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut segments = front.to_vec();
    let mut next = at;
    loop {
        if text(next) == "{" {
            next += 1;
            while !matches!(text(next), "}" | "") {
                next = if text(next) == "," { next + 1 } else { path(tokens, next, &segments, depth, found) };
            }
            return next + 1;
        }
        segments.push(text(next));
        next += 1;
        let leads_on = text(next) == ":" && text(next + 1) == ":";
        if !(leads_on && (text(next + 2) == "{" || text(next + 2).starts_with(is_identifier))) {
            found.push(SourcePath { segments, line: tokens[at].line, depth });
            return next;
        }
        next += 2;
    }
}

pub fn functions<'s>(tokens: &[Token<'s>]) -> Vec<Function<'s>> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        // `fn(u8)` is a type.
        let Some(name) = tokens.get(at + 1).filter(|name| name.text.starts_with(is_identifier)) else { continue };
        if let Some(last) = body_end(&tokens[at..]) {
            found.push(Function { name: name.text, line: token.line, lines: last - token.line + 1 });
        }
    }
    found
}

/// The line of the brace that closes the body; none for a function without one. A `;` inside `[u8; 2]` ends nothing.
fn body_end(tokens: &[Token]) -> Option<usize> {
    let mut braces = 0_usize;
    let mut brackets = 0_usize;
    for token in tokens {
        match token.text {
            "[" => brackets += 1,
            "]" => brackets = brackets.saturating_sub(1),
            "{" => braces += 1,
            "}" if braces == 1 => return Some(token.line),
            "}" => braces = braces.checked_sub(1)?,
            ";" if braces == 0 && brackets == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths_of(source: &str) -> Vec<String> {
        paths(&tokens(source)).into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_no_tokens() {
        let source = "a // crate::x\n/* b /* c */ d */ \"crate::\\\"y\" r#\"z\"w\"# b'\\'' 'q' &'life e\nbr\"\" crab";
        let texts: Vec<_> = tokens(source).iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(texts, [("a", 1), ("&", 2), ("e", 2), ("crab", 3)]);
    }

    #[test]
    fn use_trees_give_a_path_for_each_leaf() {
        let found = paths_of("use crate::{store::{Db, Tx as T}, api}; fn f() { crate::cli::run(x::<u8>()) }");
        for path in ["crate::store::Db", "crate::store::Tx", "crate::api", "crate::cli::run"] {
            assert!(found.iter().any(|found| found == path), "{path} is not in {found:?}");
        }
    }

    #[test]
    fn functions_reach_to_their_last_brace() {
        let source =
            "fn short() {}\ntrait T {\n fn none(&self) -> [u8; 2];\n}\nfn long() -> [u8; 2] {\n  if a {\n '}'\n }\n}\n";
        let found: Vec<_> =
            functions(&tokens(source)).into_iter().map(|function| (function.name, function.lines)).collect();
        assert_eq!(found, [("short", 1), ("long", 5)]);
    }
}
