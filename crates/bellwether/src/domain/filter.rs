//! Which events an endpoint wants to hear of. Pure, and the one place that decides it: when an event is owed, when one is
//! replayed, and when somebody asks why one was not sent.

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::configuration::FieldChange;
use super::error::FieldErrors;
use super::id::EntityId;
use super::run::RunFacts;
use super::topic::Topic;

const MOST_ITEMS: usize = 100;
const LONGEST_ITEM: usize = 200;

/// Each list that is not empty must be met; an empty one means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Patterns of keys: `*` stands for any characters, `?` for one. One must fit.
    #[schemars(length(max = MOST_ITEMS), inner(length(min = 1, max = LONGEST_ITEM)))]
    pub experiment_keys: Vec<String>,
    /// The experiment must have one of them.
    #[schemars(length(max = MOST_ITEMS), inner(length(min = 1, max = LONGEST_ITEM)))]
    pub tags: Vec<String>,
    #[schemars(length(max = MOST_ITEMS))]
    pub entity_ids: Vec<EntityId>,
    /// Of the ends of runs, only those that are one of these; other events are not touched.
    #[schemars(length(max = MOST_ITEMS))]
    pub runs: Vec<RunCondition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunCondition {
    Failure,
    Imbalance,
    DataUpdated,
    /// The run warns of something.
    Warning,
}

/// What of an event a filter looks at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub topic: Topic,
    pub experiment_key: &'a str,
    pub tags: &'a [String],
    pub entity_id: Option<EntityId>,
    pub run: Option<RunFacts>,
}

/// What an edit changed of that which filters ask for, as it was before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    entity_id: Option<Option<EntityId>>,
}

impl Before {
    pub fn of(changes: &[FieldChange]) -> Self {
        let mut before = Self::default();
        for edit in changes {
            match edit.field.as_str() {
                "key" => before.key = serde_json::from_value(edit.from.clone()).ok(),
                "tags" => before.tags = serde_json::from_value(edit.from.clone()).ok(),
                "entity_id" => before.entity_id = serde_json::from_value(edit.from.clone()).ok(),
                _ => {}
            }
        }
        before
    }

    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    pub fn facts<'a>(&'a self, after: Facts<'a>) -> Facts<'a> {
        Facts {
            experiment_key: self.key.as_deref().unwrap_or(after.experiment_key),
            tags: self.tags.as_deref().unwrap_or(after.tags),
            entity_id: self.entity_id.unwrap_or(after.entity_id),
            ..after
        }
    }
}

/// A null that was given is one, and not nothing.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<EntityId>>, D::Error> {
    Option::<EntityId>::deserialize(deserializer).map(Some)
}

/// The part of a filter that an event does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clause {
    Events,
    ExperimentKeys,
    Tags,
    EntityIds,
    Runs,
}

impl Filter {
    /// The first clause that `facts` do not meet.
    pub fn unmet_by(&self, facts: &Facts<'_>) -> Option<Clause> {
        if matches!(facts.topic, Topic::Endpoint(_)) {
            return None;
        }
        let is_met = |is_empty: bool, holds: bool| is_empty || holds;
        let key = self.experiment_keys.iter().any(|pattern| fits(pattern, facts.experiment_key));
        let tag = self.tags.iter().any(|tag| facts.tags.contains(tag));
        let entity = facts.entity_id.is_some_and(|id| self.entity_ids.contains(&id));
        let run = facts.run.is_none_or(|run| self.runs.iter().any(|condition| condition.holds(run)));
        [
            (Clause::ExperimentKeys, is_met(self.experiment_keys.is_empty(), key)),
            (Clause::Tags, is_met(self.tags.is_empty(), tag)),
            (Clause::EntityIds, is_met(self.entity_ids.is_empty(), entity)),
            (Clause::Runs, is_met(self.runs.is_empty(), run)),
        ]
        .into_iter()
        .find_map(|(clause, is_met)| (!is_met).then_some(clause))
    }

    pub fn validate(&self, errors: &mut FieldErrors) {
        for (field, items) in [("filter.experiment_keys", &self.experiment_keys), ("filter.tags", &self.tags)] {
            for (i, item) in errors.at_most(field, items, MOST_ITEMS).iter().enumerate() {
                let field = format!("{field}[{i}]");
                errors.text(&field, item, LONGEST_ITEM);
                errors.check(!item.is_empty(), &field, || "it is empty; leave it out to mean all".to_owned());
            }
        }
        errors.at_most("filter.entity_ids", &self.entity_ids, MOST_ITEMS);
        errors.at_most("filter.runs", &self.runs, MOST_ITEMS);
    }
}

impl RunCondition {
    fn holds(self, run: RunFacts) -> bool {
        match self {
            Self::Failure => run.is_failure,
            Self::Imbalance => run.is_imbalance,
            Self::Warning => run.has_warnings,
            Self::DataUpdated => run.is_data_updated,
        }
    }
}

/// A bit for each place of a pattern: before each of its characters, and behind the last.
type Places = [u64; LONGEST_ITEM / 64 + 1];

fn mark(places: &mut Places, place: usize) {
    places[place / 64] |= 1 << (place % 64);
}

/// Whether `pattern` fits the whole of `text`. All places that a fit may have come to are moved along together, so that each
/// character of the text costs the same few steps, whatever the pattern. Stored patterns have at most [`LONGEST_ITEM`]
/// characters; a longer one fits nothing.
fn fits(pattern: &str, text: &str) -> bool {
    // Most patterns begin with a letter, and most texts with another.
    let first = pattern.chars().next().filter(|letter| !matches!(letter, '*' | '?'));
    if first.is_some_and(|letter| !text.starts_with(letter)) {
        return false;
    }
    // From where each letter leads on, from where any does, and where one may stay, which is what `*` stands for.
    let mut leads: FxHashMap<char, Places> = FxHashMap::default();
    let (mut any_leads, mut stays) = (Places::default(), Places::default());
    let mut end = 0;
    for letter in pattern.chars() {
        match letter {
            '*' => mark(&mut stays, end),
            _ if end == LONGEST_ITEM => return false,
            '?' => mark(&mut any_leads, end),
            _ => mark(leads.entry(letter).or_default(), end),
        }
        end += usize::from(letter != '*');
    }
    let mut places = Places::default();
    mark(&mut places, 0);
    for letter in text.chars() {
        let leads = leads.get(&letter).copied().unwrap_or_default();
        let mut carried = 0;
        for (word, place) in places.iter_mut().enumerate() {
            let moving = *place & (leads[word] | any_leads[word]);
            *place = (*place & stays[word]) | moving << 1 | carried;
            carried = moving >> 63;
        }
        if places == Places::default() {
            return false;
        }
    }
    places[end / 64] & (1 << (end % 64)) != 0
}

#[cfg(test)]
mod tests {
    use bellwether_webhook::EventType;
    use proptest::prelude::*;

    use super::*;

    fn filter(json: serde_json::Value) -> Filter {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn patterns_fit_as_shells_do() {
        for (pattern, text, does) in [
            ("checkout-*", "checkout-cta", true),
            ("checkout-*", "xcheckout-cta", false),
            ("*", "", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("*-cta", "checkout-cta", true),
            ("*a*b*c", "xaybzc", true),
            ("*a*b*c", "xaybz", false),
            ("ü*", "über", true),
            ("abc", "abc", true),
            ("abc", "ab", false),
            ("ab", "abc", false),
        ] {
            assert_eq!(fits(pattern, text), does, "{pattern} on {text}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_fits_what_it_was_made_from(text in "[a-c]{0,12}", cut in 0_usize..12, question in 0_usize..12) {
            let mut pattern: Vec<char> = text.chars().collect();
            if let Some(letter) = pattern.get_mut(question) { *letter = '?'; }
            pattern.truncate(cut);
            let pattern: String = pattern.into_iter().chain(['*']).collect();
            prop_assert!(fits(&pattern, &text));
        }

        #[test]
        fn it_fits_as_the_definition_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let (letters, characters): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(fits(&pattern, &text), fits_by_definition(&letters, &characters));
        }
    }

    fn fits_by_definition(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| fits_by_definition(rest, &text[skipped..])),
            ([expected, rest @ ..], [letter, others @ ..]) => {
                (*expected == '?' || expected == letter) && fits_by_definition(rest, others)
            }
            _ => false,
        }
    }

    /// Whoever tries one way after the other never comes to an end with these; and every change asks all patterns of all
    /// endpoints, in the writer's transaction.
    #[test]
    fn hard_patterns_are_answered_like_any_other() {
        let text = "a".repeat(LONGEST_ITEM);
        let long = "a".repeat(LONGEST_ITEM - 2);
        for pattern in [format!("*{long}b"), format!("{}b", "*a".repeat(99)), format!("*{}b", "?".repeat(190))] {
            assert!(!fits(&pattern, &text), "{pattern}");
        }
    }

    #[test]
    fn the_longest_patterns_fit_and_longer_ones_do_not() {
        let widest = "b".repeat(LONGEST_ITEM);
        assert!(fits(&widest, &widest) && fits(&format!("{}*", &widest[1..]), &widest));
        assert!(!fits(&widest, &widest[1..]) && !fits(&format!("{widest}b"), &format!("{widest}b")));
    }

    #[test]
    fn the_first_unmet_clause_is_named() {
        let run = RunFacts { is_failure: false, is_imbalance: true, is_data_updated: false, has_warnings: false };
        let tags = ["growth".to_owned()];
        let facts = Facts {
            topic: Topic::Experiment(EventType::CalculatedMetricsUpdated),
            experiment_key: "checkout-cta",
            tags: &tags,
            entity_id: None,
            run: Some(run),
        };
        let unmet = |json| filter(json).unmet_by(&facts);
        assert_eq!(unmet(serde_json::json!({})), None);
        assert_eq!(unmet(serde_json::json!({"experiment_keys": ["search-*", "checkout-*"]})), None);
        assert_eq!(unmet(serde_json::json!({"experiment_keys": ["search-*"]})), Some(Clause::ExperimentKeys));
        assert_eq!(unmet(serde_json::json!({"tags": ["core"]})), Some(Clause::Tags));
        assert_eq!(unmet(serde_json::json!({"tags": ["core", "growth"], "runs": ["failure"]})), Some(Clause::Runs));
        assert_eq!(unmet(serde_json::json!({"runs": ["failure", "imbalance"]})), None);
        assert_eq!(unmet(serde_json::json!({"entity_ids": [EntityId::of(1)]})), Some(Clause::EntityIds));
        let edited = Facts { run: None, topic: Topic::Experiment(EventType::ConfigurationUpdated), ..facts };
        assert_eq!(
            filter(serde_json::json!({"runs": ["failure"]})).unmet_by(&edited),
            None,
            "no run, no condition on it"
        );
    }

    #[test]
    fn unknown_conditions_are_refused_with_the_known() {
        let error = serde_json::from_value::<Filter>(serde_json::json!({"runs": ["success"]})).unwrap_err().to_string();
        assert!(error.contains("data_updated"), "{error}");
    }
}
