//! The SQL of a run, as text. Pure: what runs it and what becomes of its rows is elsewhere.
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
pub const SUBJECTS: &str = "subjects";

/// Each subject that was assigned in the window: its variation, since when, and whether it was seen in more than one.
/// Rows of variations that are not active, and rows without a subject, do not count.
pub fn subjects(
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
pub fn traffic(dialect: Dialect) -> String {
    format!(
        "SELECT CASE WHEN is_mixed THEN NULL ELSE variation END AS variation, COUNT(*) AS subjects\n\
         FROM {}\nGROUP BY CASE WHEN is_mixed THEN NULL ELSE variation END",
        dialect.intermediate(SUBJECTS)
    )
}

/// One value for each subject that counts, 0 for one without facts. Facts count from the subject's assignment on, up to
/// `facts_end`.
pub fn values(dialect: Dialect, measure: &Measure, facts_end: Timestamp) -> String {
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
pub fn totals(dialect: Dialect, values: &str) -> String {
    format!(
        "SELECT variation, COUNT(*) AS subjects, {sum} AS total\nFROM {table}\nGROUP BY variation",
        sum = dialect.exact_sum("value"),
        table = dialect.intermediate(values)
    )
}

/// The sum of squares about each variation's mean: in a second pass, for the squares of large values would cancel.
pub fn squares(dialect: Dialect, values: &str, means: &[(String, f64)]) -> String {
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

    #[test]
    fn text_of_users_stays_inside_its_quotes() {
        let source: AssignmentSource = serde_json::from_value(serde_json::json!({
            "name": "s", "warehouse_id": crate::domain::id::WarehouseId::of(1), "entity_id": crate::domain::id::EntityId::of(1),
            "sql": "SELECT * FROM a -- all of it",
            "columns": {"subject": "user\"id", "timestamp": "at", "experiment_key": "e", "variation": "v"},
        }))
        .unwrap();
        let window = Window { start: Timestamp::from_micros(0), end: Timestamp::from_micros(1) };
        let sql = subjects(Dialect::DataFusion, &source, "it's; DROP", &["a'b"], window);
        assert!(sql.contains("\"user\"\"id\"") && sql.contains("'it''s; DROP'") && sql.contains("'a''b'"), "{sql}");
        assert!(sql.contains("-- all of it\n)"), "a comment must end before the parenthesis: {sql}");
    }
}
