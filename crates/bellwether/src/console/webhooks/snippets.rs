//! How a receiver verifies what it gets, to be pasted. The code is that of docs/receiving.md, which is tested there.

use std::sync::LazyLock;

const GUIDE: &str = include_str!("../../../../../docs/receiving.md");
const LANGUAGES: [&str; 3] = ["Node", "Python", "Rust"];

/// Each language with its code.
pub static SNIPPETS: LazyLock<Vec<(&'static str, &'static str)>> =
    LazyLock::new(|| LANGUAGES.iter().filter_map(|language| Some((*language, code(language)?))).collect());

/// The first block of code below the language's heading.
fn code(language: &str) -> Option<&'static str> {
    let (_, below) = GUIDE.split_once(&format!("\n### {language}\n"))?;
    let (_, block) = below.split_once("\n```")?;
    let (_, block) = block.split_once('\n')?;
    Some(block.split_once("\n```")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_its_code() {
        assert_eq!(SNIPPETS.iter().map(|(language, _)| *language).collect::<Vec<_>>(), LANGUAGES);
        for (language, code) in SNIPPETS.iter() {
            assert!(code.contains("verify") && !code.contains("```"), "{language}: {code}");
        }
    }
}
