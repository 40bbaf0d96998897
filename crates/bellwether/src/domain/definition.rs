//! What analysts define once and experiments refer to: entities, sources and their facts, schedules.
//! Here is their shape and what makes each valid by itself; whether SQL runs is the warehouse's to say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::error::{FieldErrors, Refusal, Validate};
use super::id::{EntityId, FactId, WarehouseId};
use super::managed::ManagedBy;
use super::schema;

pub const LONGEST_SQL: usize = 100_000;
const MOST_COLUMNS: usize = 200;
const LONGEST_DESCRIPTION: usize = 10_000;

/// A kind of subject: users, devices, households.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    #[schemars(schema_with = "schema::name")]
    pub name: String,
}

/// People who own experiments, metrics and collections together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Team {
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<10_000>")]
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignmentSource {
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    pub warehouse_id: WarehouseId,
    pub entity_id: EntityId,
    #[schemars(schema_with = "schema::visible_text::<LONGEST_SQL>")]
    pub sql: String,
    pub columns: AssignmentColumns,
}

/// Which column of the SQL's result is what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignmentColumns {
    #[schemars(schema_with = "schema::name")]
    pub subject: String,
    #[schemars(schema_with = "schema::name")]
    pub timestamp: String,
    #[schemars(schema_with = "schema::name")]
    pub experiment_key: String,
    #[schemars(schema_with = "schema::name")]
    pub variation: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::names::<MOST_COLUMNS>")]
    pub properties: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FactSource {
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    pub warehouse_id: WarehouseId,
    #[schemars(schema_with = "schema::visible_text::<LONGEST_SQL>")]
    pub sql: String,
    #[schemars(schema_with = "schema::name")]
    pub timestamp_column: String,
    #[schemars(length(min = 1, max = MOST_COLUMNS))]
    pub entities: Vec<EntityColumn>,
    #[schemars(length(min = 1, max = MOST_COLUMNS))]
    pub facts: Vec<Fact>,
    #[serde(default)]
    #[schemars(length(max = MOST_COLUMNS))]
    pub properties: Vec<PropertyColumn>,
    /// Given by Bellwether: the metric sync that alone edits it.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub managed_by: Option<ManagedBy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntityColumn {
    pub entity_id: EntityId,
    #[schemars(schema_with = "schema::name")]
    pub column: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Given by Bellwether; on an edit it may be left out, and a fact of the same name keeps its id.
    #[serde(default)]
    pub id: Option<FactId>,
    /// Given by Bellwether too, and kept with the id.
    #[serde(default)]
    pub number: Option<i64>,
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    /// `null`: each row counts 1.
    #[serde(default)]
    #[schemars(schema_with = "schema::optional_name")]
    pub column: Option<String>,
    #[serde(default)]
    pub desired_change: DesiredChange,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<10_000>")]
    pub description: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DesiredChange {
    #[default]
    Increase,
    Decrease,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PropertyColumn {
    /// Given by Bellwether, and kept with the name.
    #[serde(default)]
    pub number: Option<i64>,
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    #[schemars(schema_with = "schema::name")]
    pub column: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<10_000>")]
    pub description: String,
}

/// When scheduled runs start: a cron expression of five fields, read in a time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    #[schemars(schema_with = "schema::visible_text::<LONGEST_CRON>")]
    pub cron: String,
    #[serde(default = "utc")]
    #[schemars(schema_with = "schema::visible_text::<LONGEST_CRON>")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Validate for Entity {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        errors.finish()
    }
}

impl Validate for Team {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        errors.text("description", &self.description, 10_000);
        errors.finish()
    }
}

impl Validate for AssignmentSource {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        sql(&mut errors, &self.sql);
        let columns = &self.columns;
        for (field, column) in [
            ("columns.subject", &columns.subject),
            ("columns.timestamp", &columns.timestamp),
            ("columns.experiment_key", &columns.experiment_key),
            ("columns.variation", &columns.variation),
        ] {
            errors.name(field, column);
        }
        let properties = errors.at_most("columns.properties", &columns.properties, MOST_COLUMNS);
        for (i, column) in properties.iter().enumerate() {
            errors.name(&format!("columns.properties[{i}]"), column);
        }
        errors.finish()
    }
}

impl Validate for FactSource {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        sql(&mut errors, &self.sql);
        errors.name("timestamp_column", &self.timestamp_column);
        errors.check(!self.entities.is_empty(), "entities", || {
            "none was given; at least one entity's column is needed".to_owned()
        });
        errors.check(!self.facts.is_empty(), "facts", || "none was given; at least one fact is needed".to_owned());
        let entities = errors.at_most("entities", &self.entities, MOST_COLUMNS);
        let facts = errors.at_most("facts", &self.facts, MOST_COLUMNS);
        let properties = errors.at_most("properties", &self.properties, MOST_COLUMNS);
        for (i, entity) in entities.iter().enumerate() {
            errors.name(&format!("entities[{i}].column"), &entity.column);
            errors.check(
                entities[..i].iter().all(|other| other.entity_id != entity.entity_id),
                &format!("entities[{i}].entity_id"),
                || format!("{} stands twice; each entity has one column", entity.entity_id),
            );
        }
        for (i, fact) in facts.iter().enumerate() {
            errors.name(&format!("facts[{i}].name"), &fact.name);
            errors.check(facts[..i].iter().all(|other| other.name != fact.name), &format!("facts[{i}].name"), || {
                format!("'{}' stands twice; each fact of a source has a name of its own", fact.name)
            });
            if let Some(column) = &fact.column {
                errors.name(&format!("facts[{i}].column"), column);
            }
            errors.text(&format!("facts[{i}].description"), &fact.description, LONGEST_DESCRIPTION);
        }
        for (i, property) in properties.iter().enumerate() {
            errors.name(&format!("properties[{i}].name"), &property.name);
            errors.name(&format!("properties[{i}].column"), &property.column);
            errors.text(&format!("properties[{i}].description"), &property.description, LONGEST_DESCRIPTION);
        }
        errors.finish()
    }
}

fn sql(errors: &mut FieldErrors, given: &str) {
    errors.text("sql", given, LONGEST_SQL);
    errors.check(!given.trim().is_empty(), "sql", || "it is empty; give one SELECT statement".to_owned());
}

const LONGEST_CRON: usize = 200;

impl Validate for Schedule {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        errors.text("cron", &self.cron, LONGEST_CRON);
        errors.text("time_zone", &self.time_zone, LONGEST_CRON);
        // No more work is put into it than a cron expression is worth.
        if self.cron.len() > LONGEST_CRON || self.time_zone.len() > LONGEST_CRON {
            return errors.finish();
        }
        if let Err(reason) = self.check_cron() {
            errors.add("cron", reason);
        }
        errors.check(jiff::tz::TimeZone::get(&self.time_zone).is_ok(), "time_zone", || {
            format!("'{}' was given; use a name of the IANA database, like 'UTC' or 'Europe/Berlin'", self.time_zone)
        });
        errors.finish()
    }
}

/// The fields of a cron expression, and what each may hold.
const CRON_FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day", "1 to 31, or L"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of the week", "0 to 7, or SUN to SAT"),
];

impl Schedule {
    /// Whether it has five fields, each of them one, and comes at all.
    fn check_cron(&self) -> Result<(), String> {
        let given = &self.cron;
        let fields: Vec<&str> = given.split_whitespace().collect();
        if fields.len() != CRON_FIELDS.len() {
            return Err(format!(
                "'{given}' was given; five fields are needed (minute, hour, day, month, day of the week), like '0 6 * * *'"
            ));
        }
        for (place, (field, (name, allowed))) in fields.iter().zip(CRON_FIELDS).enumerate() {
            let mut alone = ["*"; CRON_FIELDS.len()];
            alone[place] = field;
            let is_whole = field.split(',').all(|item| !item.is_empty());
            if !is_whole || alone.join(" ").parse::<croner::Cron>().is_err() {
                return Err(format!(
                    "the {name} '{field}' was given; {allowed} is allowed, with *, lists (1,15), ranges (1-5) and steps (*/10)"
                ));
            }
        }
        if self.parsed_cron().is_none() {
            return Err(format!("'{given}' was given; its fields do not go together"));
        }
        // Every date that there is comes within eight years of this one.
        let from = Timestamp::of_date(jiff::civil::date(2026, 1, 1));
        if self.next_after_in(from, &jiff::tz::TimeZone::UTC).is_none() {
            return Err(format!("'{given}' was given; there is no such day, so that it never comes"));
        }
        Ok(())
    }

    fn parsed_cron(&self) -> Option<croner::Cron> {
        self.cron.parse().ok()
    }

    /// The first moment after `after` at which this schedule is due; `None` if it never is again.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.next_after_in(after, &jiff::tz::TimeZone::get(&self.time_zone).ok()?)
    }

    fn next_after_in(&self, after: Timestamp, zone: &jiff::tz::TimeZone) -> Option<Timestamp> {
        let next = self.parsed_cron()?.find_next_occurrence(&after.to_jiff().to_zoned(zone.clone()), false).ok()?;
        Some(Timestamp::from_micros(next.timestamp().as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_follows_its_time_zone_over_the_change_of_clocks() {
        let daily = Schedule { name: "d".into(), cron: "0 6 * * *".into(), time_zone: "Europe/Berlin".into() };
        daily.validate().unwrap();
        let next = |text: &str| daily.next_after(text.parse().unwrap()).unwrap().to_string();
        assert_eq!(next("2026-03-28T06:00:00Z"), "2026-03-29T04:00:00Z");
        assert_eq!(next("2026-10-24T06:00:00Z"), "2026-10-25T05:00:00Z");
    }

    #[test]
    fn what_is_no_cron_or_never_comes_is_refused_by_its_field() {
        let refusal = |cron: &str| {
            let schedule = Schedule { name: "d".into(), cron: cron.into(), time_zone: "UTC".into() };
            schedule.validate().err().map(|error| error.to_string()).unwrap_or_default()
        };
        for (cron, named) in [
            ("60 * * * *", "minute '60'"),
            ("*/0 * * * *", "minute '*/0'"),
            ("5-1 * * * *", "minute '5-1'"),
            ("1,2,,3 * * * *", "minute '1,2,,3'"),
            (", * * * *", "minute ','"),
            ("0 24 * * *", "hour '24'"),
            ("0 0 ,1 * *", "day ',1'"),
            ("0 0 * 13 *", "month '13'"),
            ("0 0 * * 8", "day of the week '8'"),
            ("0 0 30 2 *", "never comes"),
            ("0 0 31 4 *", "never comes"),
            ("0 0 31 2,4,6,9,11 *", "never comes"),
        ] {
            assert!(refusal(cron).contains(named), "{cron}: {}", refusal(cron));
        }
        for cron in ["0 6 * * *", "*/15 8-18 * * MON-FRI", "0 0 29 2 *", "0 0 1,15 * *", "0 0 L * *"] {
            assert_eq!(refusal(cron), "", "{cron}");
        }
    }

    #[test]
    fn six_fields_and_unknown_zones_are_refused() {
        let wrong = Schedule { name: "d".into(), cron: "0 0 6 * * *".into(), time_zone: "Mars/Olympus".into() };
        let error = wrong.validate().unwrap_err().to_string();
        assert!(error.contains("cron") && error.contains("time_zone"), "{error}");
    }
}
