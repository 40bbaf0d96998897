//! The facts that count, row by row: for metrics that are not made of one value for each subject.

use super::{Distinct, Facts, Output, SUBJECTS, Scope, Step, day_of, micros};
use crate::domain::aggregation::TimeUnit;
use crate::pipeline::columns::KeyKind;
use crate::pipeline::steps::assignments::same_subject;

impl Facts {
    /// The facts of subjects that count, for a FROM clause: `subject`, `arm`, `at`, `is_day` (whether only the day is known)
    /// and of each output, by its place, whether the fact counts for it (`is0`) and its value (`x0`). `only`: a condition
    /// more, in `f.at`, `f.is_day` and `a.assigned_at`.
    pub fn rows(&self, scope: &Scope<'_>, subjects: KeyKind, outputs: &[Output], only: Option<&str>) -> String {
        let mut read = Distinct::of("c");
        let columns: String = outputs
            .iter()
            .enumerate()
            .map(|(place, output)| {
                let mut conditions = output.conditions(&mut read);
                conditions.extend(only.map(str::to_owned));
                let value = output.row_value(scope, &mut read);
                // What does not count is not looked at: it may be no number.
                let counts = format!("CASE WHEN {} THEN {value} IS NOT NULL ELSE FALSE END", conditions.join(" AND "));
                format!(",\n{counts} AS is{place}, {value} AS x{place}")
            })
            .collect();
        format!(
            "(SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.is_day AS is_day{columns}\n\
             FROM {joined}\nWHERE NOT a.is_mixed) AS facts_of_subjects",
            joined = self.joined_rows(scope, subjects, &read),
        )
    }

    /// How many facts are of subjects that count, and how many of these lie outside their time.
    pub fn joined(&self, scope: &Scope<'_>, subjects: KeyKind) -> Step {
        let dialect = scope.dialect;
        let sql = format!(
            "SELECT COUNT(*) AS facts,\n{before} AS before_assignment,\n{after} AS after_end\nFROM {joined}\nWHERE NOT a.is_mixed",
            before = dialect.count_if(&format!("f.at < {}", self.origin())),
            after = dialect.count_if(&format!("f.at >= {}", scope.facts_end.as_micros())),
            joined = self.joined_rows(scope, subjects, &Distinct::of("c")),
        );
        Step::fetched(format!("{}: joined facts", self.name), sql)
    }

    /// The condition that a fact lies within so long of the assignment.
    pub fn within(&self, length: u32, unit: TimeUnit) -> String {
        format!("f.at < {} + {}", self.origin(), micros(length, unit))
    }

    /// Subjects as `a` with their facts as `f`.
    fn joined_rows(&self, scope: &Scope<'_>, subjects: KeyKind, read: &Distinct) -> String {
        let dialect = scope.dialect;
        format!(
            "{subjects_table} AS a JOIN (SELECT {subject} AS subject, {at} AS at, {is_day} AS is_day{read}\n\
             FROM {source}) AS f\nON {same}",
            subjects_table = dialect.intermediate(SUBJECTS),
            subject = self.subject.sql,
            at = self.time.sql,
            is_day = self.time.is_day.as_deref().unwrap_or("FALSE"),
            read = read.columns(),
            source = dialect.subquery(&self.sql, "facts"),
            same = same_subject(scope, subjects, self.subject.kind),
        )
    }
}

impl Output {
    /// The value of one fact, in `f`; 1 where each row counts 1.
    fn row_value(&self, scope: &Scope<'_>, read: &mut Distinct) -> String {
        let Some(value) = &self.value else { return scope.dialect.number(1.0) };
        let name = format!("f.{}", read.name(value.sql.clone()));
        value.place.as_ref().map_or(name.clone(), |place| scope.dialect.finite(&name, place))
    }
}

/// When a time of a subject was, for a fact of which perhaps only the day is known: nothing says that it came before, if it
/// was on the same day.
pub fn as_known(is_day: &str, time: &str) -> String {
    format!("(CASE WHEN {is_day} THEN {} ELSE {time} END)", day_of(time))
}
