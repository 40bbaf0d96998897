//! Patterns of keys: the matcher agrees with the definition of `*` and `?`.

use bellwether::domain::filter::{Clause, Facts, Filter};
use bellwether::domain::topic::Topic;

/// A pattern, a line's end, and a key.
pub fn run(data: &[u8]) {
    let Some((pattern, key)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\n')) else { return };
    let filter = Filter { experiment_keys: vec![pattern.to_owned()], ..Filter::default() };
    let topic = Topic::parse("experiment.status.updated").expect("a topic");
    let facts = Facts { topic, experiment_key: key, tags: &[], entity_id: None, run: None };
    let is_met = filter.unmet_by(&facts) != Some(Clause::ExperimentKeys);
    let (pattern, key): (Vec<char>, Vec<char>) = (pattern.chars().collect(), key.chars().collect());
    if pattern.len() * key.len() < 1 << 16 {
        assert_eq!(is_met, fits(&pattern, &key), "{pattern:?} {key:?}");
    }
}

/// By the table of which beginnings of the pattern fit which beginnings of the key.
fn fits(pattern: &[char], key: &[char]) -> bool {
    let mut row = vec![false; key.len() + 1];
    row[0] = true;
    for wanted in pattern {
        let mut next = vec![false; key.len() + 1];
        next[0] = row[0] && *wanted == '*';
        for at in 0..key.len() {
            next[at + 1] = match wanted {
                '*' => row[at + 1] || next[at],
                '?' => row[at],
                wanted => row[at] && *wanted == key[at],
            };
        }
        row = next;
    }
    row[key.len()]
}
