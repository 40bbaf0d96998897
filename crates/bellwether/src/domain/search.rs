//! What things are found by: the words of their texts. A search gives beginnings of words, and finds what has a word for each.
//! Where the words are kept, and how they are looked for, is not known here.

use std::collections::BTreeSet;

use super::error::Refusal;

/// Longer words are cut, so that an index can hold them.
const LONGEST_WORD: usize = 32;
/// Words of one thing's long texts; what comes later in them is not found.
const MOST_WORDS: usize = 200;
/// Words that a search may give.
const MOST_WANTED: usize = 10;

/// The different words of some texts: letters and digits that stand together, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(BTreeSet<String>);

impl Words {
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self(texts.into_iter().flat_map(words_of).collect())
    }

    /// Those of a long text too, as many as are kept of one.
    pub fn and_of_long(mut self, text: &str) -> Self {
        let mut added = 0;
        for word in words_of(text) {
            if added == MOST_WORDS {
                break;
            }
            added += usize::from(self.0.insert(word));
        }
        self
    }

    /// All with a blank before each and one behind: a word begins wherever a blank stands.
    pub fn as_text(&self) -> String {
        let mut text = String::from(" ");
        for word in &self.0 {
            text.push_str(word);
            text.push(' ');
        }
        text
    }

    /// Those that `other` has not.
    pub fn without<'w>(&'w self, other: &'w Self) -> impl Iterator<Item = &'w str> {
        self.0.difference(&other.0).map(String::as_str)
    }
}

fn words_of(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|letter: char| !letter.is_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(lower).filter(|word| !word.is_empty())
}

/// One letter may become several, some of them marks that are no letters.
fn lower(word: &str) -> String {
    word.chars().flat_map(char::to_lowercase).filter(|letter| letter.is_alphanumeric()).take(LONGEST_WORD).collect()
}

/// Words and beginnings of words: what is found has all of the ones, and a word for each of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    beginnings: BTreeSet<String>,
    whole: BTreeSet<String>,
}

impl Search {
    /// What a user has typed, given as the parameter `name`.
    pub fn parse(name: &str, typed: &str) -> Result<Self, Refusal> {
        let beginnings: BTreeSet<_> = words_of(typed).collect();
        if beginnings.is_empty() || beginnings.len() > MOST_WANTED {
            let message =
                format!("'{typed}' was given; from 1 to {MOST_WANTED} words are allowed, of letters or digits");
            return Err(Refusal::invalid(name, message));
        }
        Ok(Self { beginnings, whole: BTreeSet::new() })
    }

    /// The words that whatever says exactly `text` must have. None, where it says nothing in words.
    pub fn of(text: &str) -> Self {
        Self { beginnings: BTreeSet::new(), whole: words_of(text).take(MOST_WANTED).collect() }
    }

    pub fn and(mut self, other: Self) -> Self {
        self.beginnings.extend(other.beginnings);
        self.whole.extend(other.whole);
        self
    }

    pub fn beginnings(&self) -> impl Iterator<Item = &str> {
        self.beginnings.iter().map(String::as_str)
    }

    pub fn whole(&self) -> impl Iterator<Item = &str> {
        self.whole.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finds(typed: &str, text: &str) -> bool {
        let words = Words::of([text]).as_text();
        Search::parse("q", typed).unwrap().beginnings().all(|beginning| words.contains(&format!(" {beginning}")))
    }

    #[test]
    fn what_has_a_word_for_each_beginning_is_found() {
        assert_eq!(Words::of(["Checkout-CTA", "Größer, checkout!"]).as_text(), " checkout cta größer ");
        for (typed, found) in
            [("check", true), ("CTA checkout", true), ("checkout-cta", true), ("eckout", false), ("check x", false)]
        {
            assert_eq!(finds(typed, "the checkout-cta"), found, "{typed}");
        }
        assert!(Search::parse("q", " - ").is_err() && Search::parse("q", "a b c d e f g h i j k").is_err());
    }

    #[test]
    fn of_an_edit_only_the_words_that_differ_are_told() {
        let (before, after) = (Words::of(["the blue button"]), Words::of(["the red button"]));
        assert_eq!(after.without(&before).collect::<Vec<_>>(), ["red"]);
        assert_eq!(before.without(&after).collect::<Vec<_>>(), ["blue"]);
    }

    proptest! {
        /// Whatever somebody writes, they find it by copying it, as far as a search may go.
        #[test]
        fn a_text_is_found_by_itself(text in "\\PC{0,60}") {
            let wanted = Search::of(&text);
            let words = Words::of([text.as_str()]).as_text();
            for word in wanted.whole() {
                prop_assert!(words.contains(&format!(" {word} ")), "{word:?} in {words:?}");
                prop_assert!(word.chars().all(char::is_alphanumeric));
            }
        }
    }
}
