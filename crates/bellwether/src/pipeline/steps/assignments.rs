//! Who takes part: what the assignment source has of this experiment, and one row for each subject.

use super::{SUBJECTS, Scope, Step};
use crate::domain::clock::Timestamp;
use crate::domain::definition::AssignmentSource;
use crate::pipeline::columns::{Columns, Key, KeyKind, Time};

/// Keys and unknown variations that are named.
pub const MOST_KEYS: usize = 20;

/// Properties of a source that are looked at: each costs a statement for each table of values.
const MOST_PROPERTIES: usize = 20;
/// Of a property's value, in characters; what is longer is cut.
const LONGEST_VALUE: usize = 200;

/// The columns of an assignment source, as its types allow them to be read.
#[derive(Debug, Clone)]
pub struct Assignments {
    pub sql: String,
    pub subject: Key,
    pub time: Time,
    pub experiment_key: Key,
    pub variation: Key,
    pub properties: Vec<Property>,
}

/// What the source knows of a subject besides, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub name: String,
    sql: String,
}

impl Assignments {
    pub fn of(source: &AssignmentSource, columns: &Columns<'_>) -> Result<Self, String> {
        Ok(Self {
            sql: source.sql.clone(),
            subject: columns.key(&source.columns.subject)?,
            time: columns.time(&source.columns.timestamp)?,
            experiment_key: columns.key(&source.columns.experiment_key)?,
            variation: columns.key(&source.columns.variation)?,
            properties: (source.columns.properties.iter().take(MOST_PROPERTIES))
                .map(|name| {
                    let sql = columns.dialect.prefix(&columns.property(name)?, LONGEST_VALUE);
                    Ok(Property { name: name.clone(), sql })
                })
                .collect::<Result<_, String>>()?,
        })
    }
}

impl Scope<'_> {
    /// The rows of this experiment's key, by variation, and what of them counts. Unknown variations come after the others,
    /// those with the most rows first.
    pub fn census(&self, source: &Assignments) -> Step {
        let dialect = self.dialect;
        let known = list(self.variations.iter().chain(&self.inactive).map(|key| dialect.text(key)));
        let inside = self.is_inside();
        let tomorrow = self.now.as_micros() + 3_600_000_000;
        let sql = format!(
            "SELECT variation, COUNT(*) AS row_count,\n\
             {without_subject} AS without_subject,\n\
             {without_time} AS without_time,\n\
             {outside} AS outside_window,\n\
             {future} AS in_future,\n\
             {off_midnight} AS off_midnight,\n\
             MIN(assigned_at) AS earliest, MAX(assigned_at) AS latest,\n\
             SUM(COUNT(*)) OVER () AS all_rows\n\
             FROM {rows}\n\
             GROUP BY variation\n\
             ORDER BY CASE WHEN variation IN ({known}) THEN 0 ELSE 1 END, row_count DESC, variation\n\
             LIMIT {limit}",
            without_subject = dialect.count_if("subject IS NULL"),
            without_time = dialect.count_if("subject IS NOT NULL AND assigned_at IS NULL"),
            outside = dialect.count_if(&format!("subject IS NOT NULL AND NOT ({inside})")),
            future = dialect.count_if(&format!("assigned_at >= {tomorrow}")),
            off_midnight = dialect.count_if(&format!("assigned_at % {} <> 0", super::DAY)),
            rows = self.rows(source, &format!("{} AS variation", source.variation.text(dialect))),
            limit = self.variations.len() + self.inactive.len() + MOST_KEYS,
        );
        Step::fetched("census of assignments", sql)
    }

    /// The keys of experiments that the source has, those with the most rows first.
    pub fn keys_seen(&self, source: &Assignments) -> Step {
        let sql = format!(
            "SELECT {key} AS experiment_key, COUNT(*) AS row_count\nFROM {source}\n\
             GROUP BY {key}\nORDER BY row_count DESC, experiment_key\nLIMIT {MOST_KEYS}",
            key = source.experiment_key.text(self.dialect),
            source = self.dialect.subquery(&source.sql, "assignments"),
        );
        Step::fetched("keys of assignments", sql)
    }

    /// Each subject that was assigned in the window: its arm, since when, whether it was seen in more than one, and its
    /// properties, by its first row that counts. Kept as `table`.
    pub fn subjects(&self, source: &Assignments, table: &str) -> Step {
        let variation = source.variation.text(self.dialect);
        let cases: String = (0..)
            .zip(&self.variations)
            .map(|(arm, key): (u32, _)| format!(" WHEN {} THEN {arm}", self.dialect.text(key)))
            .collect();
        let properties = || source.properties.iter().enumerate();
        let read: String = properties().map(|(i, property)| format!(", {} AS p{i}", property.sql)).collect();
        let of_subject = |i| self.dialect.text_at_first(&format!("p{i}"), "assigned_at");
        let columns: String = properties().map(|(i, _)| format!(", {} AS p{i}", of_subject(i))).collect();
        let sql = format!(
            "SELECT subject, MIN(arm) AS arm, MIN(assigned_at) AS assigned_at, MIN(arm) <> MAX(arm) AS is_mixed{columns}\n\
             FROM {rows}\n\
             WHERE subject IS NOT NULL AND arm IS NOT NULL AND {inside}\n\
             GROUP BY subject",
            rows = self.rows(source, &format!("CASE {variation}{cases} END AS arm{read}")),
            inside = self.is_inside(),
        );
        Step::kept(if table == SUBJECTS { "subjects" } else { "assigned subjects" }, table, sql)
    }

    /// Subjects of each arm, and under NULL those that were seen in more than one. Then how many of them are old enough by
    /// each of `limits`, as `aged_0` and so on.
    pub fn traffic(&self, limits: &[Vec<AgedBefore>]) -> Step {
        let column = |(place, limits): (usize, &Vec<AgedBefore>)| {
            let aged = all_aged(limits, "assigned_at").unwrap_or_else(|| "TRUE".to_owned());
            format!(", {} AS aged_{place}", self.dialect.count_if(&aged))
        };
        let aged: String = limits.iter().enumerate().map(column).collect();
        let arm = "CASE WHEN is_mixed THEN NULL ELSE arm END";
        let sql = format!(
            "SELECT {arm} AS arm, COUNT(*) AS subjects{aged}\nFROM {}\nGROUP BY {arm}",
            self.dialect.intermediate(SUBJECTS)
        );
        Step::fetched("traffic", sql)
    }

    /// The source's rows of this experiment.
    fn rows(&self, source: &Assignments, variation: &str) -> String {
        format!(
            "(SELECT {subject} AS subject, {variation}, {at} AS assigned_at\n\
             FROM {source}\nWHERE {key} = {experiment}) AS rows_of_experiment",
            subject = source.subject.sql,
            at = source.time.sql,
            source = self.dialect.subquery(&source.sql, "assignments"),
            key = source.experiment_key.text(self.dialect),
            experiment = self.dialect.text(self.experiment_key),
        )
    }

    fn is_inside(&self) -> String {
        let (start, end) = (self.window.start.as_micros(), self.window.end.as_micros());
        format!("assigned_at >= {start} AND assigned_at < {end}")
    }
}

/// Subjects whose time to act was over at the end of facts: those that were assigned no later than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgedBefore {
    pub latest: Timestamp,
    /// The day of the assignment counts, not its time.
    pub is_by_day: bool,
}

impl AgedBefore {
    /// Whether a subject counts, by the column of its assignment.
    pub fn condition(&self, assigned_at: &str) -> String {
        let assigned = if self.is_by_day { super::day_of(assigned_at) } else { assigned_at.to_owned() };
        format!("{assigned} <= {}", self.latest.as_micros())
    }
}

/// The condition on which a subject's time to act was over by all of these; `None` where there are none.
pub fn all_aged(limits: &[AgedBefore], assigned_at: &str) -> Option<String> {
    let conditions: Vec<_> = limits.iter().map(|limit| limit.condition(assigned_at)).collect();
    (!conditions.is_empty()).then(|| conditions.join(" AND "))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// The condition on which a fact's subject is one of the run's, and both as they are compared.
pub fn same_subject(scope: &Scope<'_>, subjects: KeyKind, facts: KeyKind) -> String {
    match (subjects, facts) {
        (KeyKind::Int, KeyKind::Text) => format!("f.subject = {}", scope.dialect.to_text("a.subject")),
        (KeyKind::Text, KeyKind::Int) => format!("{} = a.subject", scope.dialect.to_text("f.subject")),
        _ => "f.subject = a.subject".to_owned(),
    }
}
