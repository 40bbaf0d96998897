//! The steps of a run: its SQL, in order, each with what becomes of its rows. Pure: what runs them is elsewhere.
//!
//! ```text
//! assignments ──▶ subjects ──▶ traffic
//!                    │
//!        facts ──────┴──▶ values of a metric ──▶ totals ──▶ squares about the means
//! ```

use bellwether_warehouse::Dialect;

use super::plan::Measure;
use crate::domain::clock::Timestamp;
use crate::domain::definition::AssignmentSource;
use crate::domain::metric::Operation;
use crate::domain::run::Window;

/// The table of one row for each subject.
const SUBJECTS: &str = "subjects";

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub sql: String,
    pub rows: Rows,
}

/// What becomes of a step's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// They are kept in the warehouse, as a table of this name, for later steps.
    Kept(String),
    /// They are few, and come here.
    Fetched,
}

/// What all steps of a run have in common.
pub struct Scope<'a> {
    pub dialect: Dialect,
    pub experiment_key: &'a str,
    /// Keys of the active variations.
    pub variations: Vec<&'a str>,
    pub window: Window,
    /// Facts from then on do not count.
    pub facts_end: Timestamp,
}

/// Who takes part, and how many of them there are: before all metrics.
pub struct Traffic {
    pub subjects: Step,
    pub counts: Step,
}

/// One value for each subject, then their number and sum. What follows needs the means: see [`Scope::squares`].
pub struct Values {
    pub values: Step,
    pub totals: Step,
}

impl Scope<'_> {
    pub fn traffic(&self, source: &AssignmentSource) -> Traffic {
        let sql = subjects(self.dialect, source, self.experiment_key, &self.variations, self.window);
        Traffic {
            subjects: Step { name: "subjects".to_owned(), sql, rows: Rows::Kept(SUBJECTS.to_owned()) },
            counts: Step { name: "traffic".to_owned(), sql: traffic(self.dialect), rows: Rows::Fetched },
        }
    }

    /// Of the metric of this name, at this place among those of the run.
    pub fn values(&self, place: usize, name: &str, measure: &Measure) -> Values {
        let table = values_table(place);
        let sql = values(self.dialect, measure, self.facts_end);
        let totals = totals(self.dialect, &table);
        Values {
            values: Step { name: format!("{name}: values"), sql, rows: Rows::Kept(table) },
            totals: Step { name: format!("{name}: totals"), sql: totals, rows: Rows::Fetched },
        }
    }

    pub fn squares(&self, place: usize, name: &str, means: &[(String, f64)]) -> Step {
        let sql = squares(self.dialect, &values_table(place), means);
        Step { name: format!("{name}: squares"), sql, rows: Rows::Fetched }
    }
}

fn values_table(place: usize) -> String {
    format!("values_{place}")
}

/// Each subject that was assigned in the window: its variation, since when, and whether it was seen in more than one.
/// Rows of variations that are not active, and rows without a subject, do not count.
fn subjects(
    dialect: Dialect,
    source: &AssignmentSource,
    experiment_key: &str,
    variations: &[&str],
    window: Window,
) -> String {
    let columns = &source.columns;
    let text = |column: &str| dialect.to_text(&dialect.identifier(column));
    let at = dialect.to_timestamp(&dialect.identifier(&columns.timestamp));
    let keys = variations.iter().map(|key| dialect.text(key)).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT subject, MIN(variation) AS variation, MIN(assigned_at) AS assigned_at, MIN(variation) <> MAX(variation) AS is_mixed\n\
         FROM (SELECT {subject} AS subject, {variation} AS variation, {at} AS assigned_at\n\
         FROM {source}\n\
         WHERE {key} = {experiment}) AS rows_of_experiment\n\
         WHERE subject IS NOT NULL AND variation IN ({keys})\n\
         AND assigned_at >= {start} AND assigned_at < {end}\n\
         GROUP BY subject",
        subject = text(&columns.subject),
        variation = text(&columns.variation),
        source = dialect.subquery(&source.sql, "assignments"),
        key = text(&columns.experiment_key),
        experiment = dialect.text(experiment_key),
        start = dialect.timestamp(window.start.as_micros()),
        end = dialect.timestamp(window.end.as_micros()),
    )
}

/// Subjects of each variation, and under NULL those that were seen in more than one.
fn traffic(dialect: Dialect) -> String {
    format!(
        "SELECT CASE WHEN is_mixed THEN NULL ELSE variation END AS variation, COUNT(*) AS subjects\n\
         FROM {}\nGROUP BY CASE WHEN is_mixed THEN NULL ELSE variation END",
        dialect.intermediate(SUBJECTS)
    )
}

/// One value for each subject that counts, 0 for one without facts. Facts count from the subject's assignment on, up to
/// `facts_end`.
fn values(dialect: Dialect, measure: &Measure, facts_end: Timestamp) -> String {
    let subjects = dialect.intermediate(SUBJECTS);
    let value = measure.value_column.as_ref().map_or_else(|| "1".to_owned(), |column| dialect.identifier(column));
    let aggregate = match measure.operation {
        Operation::Sum => dialect.to_double(&dialect.decimal_sum("f.value")),
        Operation::Count => dialect.to_double("COUNT(f.value)"),
        Operation::Mean => format!("{} / COUNT(f.value)", dialect.to_double(&dialect.decimal_sum("f.value"))),
        Operation::Conversion => {
            format!("CASE WHEN COUNT(f.value) > 0 THEN {} ELSE {} END", dialect.to_double("1"), dialect.to_double("0"))
        }
    };
    format!(
        "SELECT s.variation AS variation, COALESCE(m.value, {zero}) AS value\n\
         FROM {subjects} AS s LEFT JOIN (\n\
         SELECT f.subject AS subject, {aggregate} AS value\n\
         FROM {subjects} AS a JOIN (SELECT {subject} AS subject, {at} AS happened_at, {value} AS value\n\
         FROM {source}) AS f\n\
         ON f.subject = a.subject AND f.happened_at >= a.assigned_at\n\
         WHERE NOT a.is_mixed AND f.happened_at < {end}\n\
         GROUP BY f.subject) AS m ON m.subject = s.subject\n\
         WHERE NOT s.is_mixed",
        zero = dialect.to_double("0"),
        subject = dialect.to_text(&dialect.identifier(&measure.subject_column)),
        at = dialect.to_timestamp(&dialect.identifier(&measure.timestamp_column)),
        value = dialect.to_double(&value),
        source = dialect.subquery(&measure.sql, "facts"),
        end = dialect.timestamp(facts_end.as_micros()),
    )
}

/// Number and sum of the values of each variation. No order of addition changes the sum.
fn totals(dialect: Dialect, values: &str) -> String {
    format!(
        "SELECT variation, COUNT(*) AS subjects, {sum} AS total\nFROM {table}\nGROUP BY variation",
        sum = dialect.exact_sum("value"),
        table = dialect.intermediate(values)
    )
}

/// The sum of squares about each variation's mean: in a second pass, for the squares of large values would cancel.
fn squares(dialect: Dialect, values: &str, means: &[(String, f64)]) -> String {
    let cases: String = means
        .iter()
        .map(|(key, mean)| format!(" WHEN {} THEN {}", dialect.text(key), number(dialect, *mean)))
        .collect();
    let deviation = format!("(value - (CASE variation{cases} END))");
    format!(
        "SELECT variation, {sum} AS squares\nFROM {table}\nGROUP BY variation",
        sum = dialect.exact_sum(&format!("{deviation} * {deviation}")),
        table = dialect.intermediate(values)
    )
}

/// A literal that is read back as exactly this number.
fn number(dialect: Dialect, value: f64) -> String {
    dialect.to_double(&dialect.text(&format!("{value:e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{EntityId, WarehouseId};

    fn source() -> AssignmentSource {
        serde_json::from_value(serde_json::json!({
            "name": "s", "warehouse_id": WarehouseId::of(1), "entity_id": EntityId::of(1),
            "sql": "SELECT * FROM a -- all of it",
            "columns": {"subject": "user\"id", "timestamp": "at", "experiment_key": "e", "variation": "v"},
        }))
        .unwrap()
    }

    fn scope() -> Scope<'static> {
        Scope {
            dialect: Dialect::DataFusion,
            experiment_key: "it's; DROP",
            variations: vec!["a'b", "control"],
            window: Window { start: Timestamp::from_micros(0), end: Timestamp::from_micros(86_400_000_000) },
            facts_end: Timestamp::from_micros(172_800_000_000),
        }
    }

    #[test]
    fn text_of_users_stays_inside_its_quotes() {
        let sql = scope().traffic(&source()).subjects.sql;
        assert!(sql.contains("\"user\"\"id\"") && sql.contains("'it''s; DROP'") && sql.contains("'a''b'"), "{sql}");
        assert!(sql.contains("-- all of it\n)"), "a comment must end before the parenthesis: {sql}");
    }

    /// A change of any statement shows in a change of the file beside this one.
    #[test]
    fn the_steps_of_a_run_are_as_they_were() {
        let scope = scope();
        let measure = |operation, column: Option<&str>| Measure {
            sql: "SELECT * FROM facts".to_owned(),
            subject_column: "user".to_owned(),
            timestamp_column: "at".to_owned(),
            value_column: column.map(str::to_owned),
            operation,
        };
        let traffic = scope.traffic(&source());
        let mut steps = vec![traffic.subjects, traffic.counts];
        let metrics = [
            ("Revenue", measure(Operation::Sum, Some("amount"))),
            ("Orders", measure(Operation::Count, None)),
            ("Basket", measure(Operation::Mean, Some("amount"))),
            ("Bought", measure(Operation::Conversion, None)),
        ];
        for (place, (name, measure)) in metrics.iter().enumerate() {
            let Values { values, totals } = scope.values(place, name, measure);
            let means = [("a'b".to_owned(), 0.1 + 0.2), ("control".to_owned(), -1e300)];
            steps.extend([values, totals, scope.squares(place, name, &means)]);
        }
        let text: String =
            steps.iter().map(|step| format!("-- {}: {:?}\n{};\n\n", step.name, step.rows, step.sql)).collect();
        let expected = include_str!("steps/snapshot.sql");
        if text != expected {
            let seen = std::env::temp_dir().join("steps.snapshot.sql");
            std::fs::write(&seen, &text).unwrap();
            panic!(
                "the steps have changed; if that is meant, move {} to pipeline/steps/snapshot.sql\n{text}",
                seen.display()
            );
        }
    }
}
