//! A step of a run as one statement that stands alone: what earlier steps kept for it stands before it, WITH their names.
//! So any number can be followed to the SQL that made it. Pure.

use bellwether_warehouse::Dialect;

use crate::domain::run::LoggedStep;

/// The statement of the step at `position`, counted from 1; `None` if there is none.
pub fn statement(dialect: Dialect, steps: &[LoggedStep], position: usize) -> Option<String> {
    let asked = steps.get(position.checked_sub(1)?)?;
    let mut sql = asked.sql.clone();
    let mut needed: Vec<(String, String)> = Vec::new();
    // Backwards: what a step needs was kept before it, and the latest of a name is the one that it found.
    for step in steps[..position - 1].iter().rev() {
        let Some(table) = step.kept_as.as_ref().filter(|_| step.error.is_none()) else { continue };
        let (kept, alone) = (dialect.intermediate(table), dialect.identifier(table));
        let is_named = |text: &String| text.contains(&kept);
        let is_known = needed.iter().any(|(name, _)| *name == alone);
        if is_known || !(is_named(&sql) || needed.iter().any(|(_, text)| is_named(text))) {
            continue;
        }
        sql = sql.replace(&kept, &alone);
        for (_, text) in &mut needed {
            *text = text.replace(&kept, &alone);
        }
        needed.push((alone, step.sql.clone()));
    }
    if needed.is_empty() {
        return Some(sql);
    }
    let tables: Vec<_> = needed.iter().rev().map(|(name, text)| format!("{name} AS (\n{text}\n)")).collect();
    Some(format!("WITH {}\n{sql}", tables.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(sql: &str, kept_as: Option<&str>) -> LoggedStep {
        let kept_as = kept_as.map(str::to_owned);
        LoggedStep { name: "s".into(), sql: sql.into(), kept_as, rows: None, duration_us: None, error: None }
    }

    #[test]
    fn what_a_step_needs_stands_before_it_in_order_and_nothing_else() {
        let dialect = Dialect::DataFusion;
        let mut failed = step("SELECT wrong", Some("subjects"));
        failed.error = Some("no".into());
        let steps = [
            step("SELECT 1 AS subject", Some("subjects")),
            failed,
            step("SELECT 2", Some("values_0")),
            step("SELECT * FROM bellwether.\"subjects\" AS a JOIN facts", Some("values_1")),
            step("SELECT COUNT(*) FROM bellwether.\"values_1\"", None),
        ];
        assert_eq!(statement(dialect, &steps, 1).unwrap(), "SELECT 1 AS subject");
        assert_eq!(
            statement(dialect, &steps, 5).unwrap(),
            "WITH \"subjects\" AS (\nSELECT 1 AS subject\n),\n\
             \"values_1\" AS (\nSELECT * FROM \"subjects\" AS a JOIN facts\n)\n\
             SELECT COUNT(*) FROM \"values_1\""
        );
        assert_eq!((statement(dialect, &steps, 0), statement(dialect, &steps, 6)), (None, None));
    }
}
