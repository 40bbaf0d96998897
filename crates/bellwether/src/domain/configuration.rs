//! The configuration of an experiment: what a user edits, what makes it valid, and how two of them differ. What starting
//! needs besides is in `lifecycle`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::analysis_plan::AnalysisPlan;
use super::clock::Timestamp;
use super::error::{FieldErrors, Refusal};
use super::id::{AssignmentSourceId, EntityId, FactSourceId, ScheduleId, TeamId};
use super::schema;
use super::search::Words;

pub const MOST_VARIATIONS: usize = 50;
pub const MOST_TAGS: usize = 50;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variation {
    #[schemars(schema_with = "schema::name")]
    pub key: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<200>")]
    pub name: String,
    /// Relative to the other active variations' weights; positive on active ones.
    #[schemars(range(min = 0, max = 1e9))]
    pub weight: f64,
    #[serde(default)]
    pub is_control: bool,
    #[serde(default = "yes")]
    pub is_active: bool,
}

fn yes() -> bool {
    true
}

/// A day or a moment that bounds something: `2026-03-01` or `2026-03-01T09:30:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Day(jiff::civil::Date),
    Moment(Timestamp),
}

impl Bound {
    /// The first moment inside, where this is a start.
    pub fn as_start(self) -> Timestamp {
        match self {
            Self::Day(day) => Timestamp::of_date(day),
            Self::Moment(at) => at,
        }
    }

    /// The first moment outside, where this is an end: a bare day is included whole.
    pub fn as_end(self) -> Timestamp {
        match self {
            Self::Day(day) => Timestamp::of_date(day.tomorrow().unwrap_or(day)),
            Self::Moment(at) => at,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Moment(at) => at.fmt(f),
        }
    }
}

impl std::str::FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = (text.len() == 10).then(|| text.parse().ok()).flatten();
        let bound = day.map(Self::Day).or_else(|| text.parse().ok().map(Self::Moment));
        // Years outside this range overflow one of the databases, or are typing errors.
        bound.filter(|bound| (1970..=9000).contains(&bound.as_start().date().year())).ok_or_else(|| {
            format!(
                "'{text}' is neither a day like 2026-03-01 nor a time like 2026-03-01T09:30:00Z between 1970 and 9000"
            )
        })
    }
}

impl JsonSchema for Bound {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bound".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A day, or a time; a bare end day is included whole. In years from 1970 to 9000.",
            "type": "string",
            "anyOf": [{"format": "date"}, {"format": "date-time"}],
            "examples": ["2026-03-01", "2026-03-01T09:30:00Z"],
        })
    }
}

impl Serialize for Bound {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// From when on a subject counts, where that is not its assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryPoint {
    /// A subject's clock starts at its first row there at or after its assignment; without one it does not count.
    pub fact_source_id: FactSourceId,
}

/// Everything about an experiment that a user edits. Attached metrics and the status are not configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Experiment")]
pub struct Configuration {
    #[schemars(schema_with = "schema::name")]
    pub key: String,
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<10_000>")]
    pub hypothesis: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<200>")]
    pub owner: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<200>")]
    pub team: String,
    #[serde(default)]
    pub team_id: Option<TeamId>,
    #[serde(default)]
    #[schemars(schema_with = "schema::names::<MOST_TAGS>")]
    pub tags: Vec<String>,
    #[serde(default)]
    pub entity_id: Option<EntityId>,
    #[serde(default)]
    pub assignment_source_id: Option<AssignmentSourceId>,
    /// `null`: a subject counts from its assignment on.
    #[serde(default)]
    pub entry_point: Option<EntryPoint>,
    #[serde(default)]
    #[schemars(length(max = MOST_VARIATIONS))]
    pub variations: Vec<Variation>,
    /// The share of subjects that take part, above 0 and at most 1.
    #[serde(default = "whole")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub traffic_allocation: f64,
    #[serde(default)]
    pub assignments_start_date: Option<Bound>,
    #[serde(default)]
    pub assignments_end_date: Option<Bound>,
    #[serde(default)]
    pub events_end_date: Option<Bound>,
    #[serde(default)]
    pub analysis_plan: AnalysisPlan,
    /// `null`: the default schedule of the installation.
    #[serde(default)]
    pub schedule_id: Option<ScheduleId>,
    /// Put away: it is in no list, and nothing happens to it by itself.
    #[serde(default)]
    pub is_archived: bool,
}

fn whole() -> f64 {
    1.0
}

/// One field's edit, as the history and the detailed event show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    pub field: String,
    pub from: serde_json::Value,
    pub to: serde_json::Value,
}

impl Configuration {
    /// Checks everything that holds in every status. What starting needs besides is in `lifecycle`.
    pub fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("key", &self.key);
        errors.name("name", &self.name);
        errors.text("hypothesis", &self.hypothesis, 10_000);
        errors.text("owner", &self.owner, 200);
        errors.text("team", &self.team, 200);
        self.validate_tags(&mut errors);
        self.validate_variations(&mut errors);
        let share = self.traffic_allocation;
        errors.check(share > 0.0 && share <= 1.0, "traffic_allocation", || {
            format!("{share} was given; it is the share of subjects that take part: above 0 and at most 1")
        });
        self.analysis_plan.validate(&mut errors);
        if let (Some(start), Some(end)) = (self.assignments_start_date, self.assignments_end_date) {
            errors.check(start.as_start() < end.as_end(), "assignments_end_date", || {
                format!("{end} was given; it must be later than assignments_start_date, {start}")
            });
        }
        if let (Some(assigned), Some(observed)) = (self.assignments_end_date, self.events_end_date) {
            errors.check(assigned.as_end() <= observed.as_end(), "events_end_date", || {
                format!("{observed} was given; it cannot be earlier than assignments_end_date, {assigned}")
            });
        }
        errors.finish()
    }

    fn validate_tags(&self, errors: &mut FieldErrors) {
        for (i, tag) in errors.at_most("tags", &self.tags, MOST_TAGS).iter().enumerate() {
            errors.name(&format!("tags[{i}]"), tag);
        }
    }

    fn validate_variations(&self, errors: &mut FieldErrors) {
        let variations = errors.at_most("variations", &self.variations, MOST_VARIATIONS);
        for (i, variation) in variations.iter().enumerate() {
            errors.name(&format!("variations[{i}].key"), &variation.key);
            errors.text(&format!("variations[{i}].name"), &variation.name, 200);
            let weight = variation.weight;
            let fits = weight.is_finite() && if variation.is_active { weight > 0.0 } else { weight >= 0.0 };
            errors.check(fits && weight <= 1e9, &format!("variations[{i}].weight"), || {
                format!("{weight} was given; weights are relative: an active variation's is above 0 and at most 1e9 (to switch a variation off, set is_active to false)")
            });
            errors.check(
                variations[..i].iter().all(|other| other.key != variation.key),
                &format!("variations[{i}].key"),
                || format!("'{}' stands twice; each variation has a key of its own", variation.key),
            );
        }
        let controls = variations.iter().filter(|variation| variation.is_control && variation.is_active).count();
        errors
            .check(controls <= 1, "variations", || format!("{controls} active ones have is_control; exactly one may"));
    }

    /// The later of the ends that are set: from then on nothing more counts. `None`: there is no end yet.
    pub fn end(&self) -> Option<Timestamp> {
        self.assignments_end_date.into_iter().chain(self.events_end_date).map(Bound::as_end).max()
    }

    /// Until when facts count in a run that was made at `made_at`.
    pub fn facts_end(&self, made_at: Timestamp) -> Timestamp {
        self.events_end_date.map_or(made_at, |end| end.as_end().min(made_at))
    }

    /// What people call a variation.
    pub fn name_of<'a>(&'a self, key: &'a str) -> &'a str {
        let found = self.variations.iter().find(|variation| variation.key == key);
        found.map(|variation| variation.name.as_str()).filter(|name| !name.is_empty()).unwrap_or(key)
    }

    pub fn active_variations(&self) -> impl Iterator<Item = &Variation> {
        self.variations.iter().filter(|variation| variation.is_active)
    }

    /// What it is found by.
    pub fn words(&self) -> Words {
        let texts = [&self.key, &self.name, &self.owner, &self.team].into_iter().chain(&self.tags);
        Words::of(texts.map(String::as_str)).and_of_long(&self.hypothesis)
    }

    /// What differs from `self` in `later`, field by field, in the order of the fields.
    pub fn changes_to(&self, later: &Self) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        // Most edits touch one field, so only what differs is written as JSON. A test holds this list against the fields.
        macro_rules! compare {
            ($($field:ident),* $(,)?) => {$(
                if self.$field != later.$field {
                    let value = |of: &Self| serde_json::to_value(&of.$field).unwrap_or_default();
                    changes.push(FieldChange { field: stringify!($field).to_owned(), from: value(self), to: value(later) });
                }
            )*};
        }
        compare!(
            key,
            name,
            hypothesis,
            owner,
            team,
            team_id,
            tags,
            entity_id,
            assignment_source_id,
            entry_point,
            variations,
            traffic_allocation,
            assignments_start_date,
            assignments_end_date,
            events_end_date,
            analysis_plan,
            schedule_id,
            is_archived,
        );
        changes
    }

    /// Every field with its value, as the first entry of the history shows a new experiment.
    pub fn to_changes(&self) -> Vec<FieldChange> {
        self.to_object()
            .into_iter()
            .map(|(field, to)| FieldChange { field, from: serde_json::Value::Null, to })
            .collect()
    }

    fn to_object(&self) -> serde_json::Map<String, serde_json::Value> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration() -> Configuration {
        serde_json::from_value(serde_json::json!({
            "key": "checkout-cta", "name": "Checkout",
            "variations": [{"key": "control", "weight": 1, "is_control": true}, {"key": "b", "weight": 1}],
        }))
        .unwrap()
    }

    #[test]
    fn names_every_wrong_field_at_once() {
        let mut wrong = configuration();
        wrong.variations[1].weight = 0.0;
        wrong.variations[1].key = "control".into();
        wrong.traffic_allocation = 0.0;
        wrong.name = "  ".into();
        let Refusal::Invalid(errors) = wrong.validate().unwrap_err() else { panic!("another refusal") };
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["name", "variations[1].weight", "variations[1].key", "traffic_allocation"]);
    }

    #[test]
    fn an_edit_shows_only_what_differs() {
        let before = configuration();
        let mut after = before.clone();
        after.owner = "ada".into();
        let changes = before.changes_to(&after);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].field.as_str(), &changes[0].to), ("owner", &serde_json::json!("ada")));
        assert!(before.changes_to(&before.clone()).is_empty());
    }

    #[test]
    fn an_edit_of_every_field_shows_every_field_in_order() {
        let before = configuration();
        let id = |prefix: &str| format!("{prefix}_{}", "0".repeat(26));
        let after: Configuration = serde_json::from_value(serde_json::json!({
            "key": "k", "name": "n", "hypothesis": "h", "owner": "o", "team": "t", "team_id": id("team"), "tags": ["tag"],
            "entity_id": id("ent"), "assignment_source_id": id("as"), "variations": [],
            "entry_point": {"fact_source_id": id("fs")}, "is_archived": true, "traffic_allocation": 0.5,
            "assignments_start_date": "2026-03-01", "assignments_end_date": "2026-03-02", "events_end_date": "2026-03-03",
            "analysis_plan": {"confidence_level": 0.9}, "schedule_id": id("sch"),
        }))
        .unwrap();
        let shown = before.changes_to(&after);
        let (from, to) = (before.to_changes(), after.to_changes());
        let expected: Vec<_> = from.into_iter().zip(to).map(|(from, to)| FieldChange { from: from.to, ..to }).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_bare_end_day_is_included_whole() {
        let day: Bound = "2026-03-01".parse().unwrap();
        assert_eq!(day.as_end().to_string(), "2026-03-02T00:00:00Z");
        assert_eq!(day.as_start().to_string(), "2026-03-01T00:00:00Z");
        assert!("0026-03-01".parse::<Bound>().is_err());
        assert!("2026-02-30".parse::<Bound>().is_err());
    }
}
