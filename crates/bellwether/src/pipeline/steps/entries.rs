//! An entry point: a subject's clock starts at its first row in another source, and without one it does not count.

use super::assignments::same_subject;
use super::{Assignments, Facts, SUBJECTS, Scope, Step};

/// The table of all that were assigned, where only some enter.
pub const ASSIGNED: &str = "assigned";

impl Scope<'_> {
    /// Those of the assigned subjects that have entered, with the time of that in place of their assignment's.
    pub fn entered(&self, assignments: &Assignments, entry: &Facts) -> Step {
        let dialect = self.dialect;
        let properties: String = (0..assignments.properties.len()).map(|i| format!(", MIN(a.p{i}) AS p{i}")).collect();
        // Of a row of which only the day is known, no more than the assignment itself is known.
        let entered_at = dialect.greatest("f.at", "a.assigned_at");
        let sql = format!(
            "SELECT a.subject AS subject, MIN(a.arm) AS arm, MIN({entered_at}) AS assigned_at, MIN(a.is_mixed) AS is_mixed{properties}\n\
             FROM {assigned} AS a JOIN {rows} AS f\n\
             ON {same}\n\
             WHERE f.at >= {origin} AND f.at < {end}\n\
             GROUP BY a.subject",
            assigned = dialect.intermediate(ASSIGNED),
            rows = entry.times_of_subjects(self),
            same = same_subject(self, assignments.subject.kind, entry.subject_kind()),
            origin = entry.origin(),
            end = self.facts_end.as_micros(),
        );
        Step::kept(format!("{}: entries", entry.name), SUBJECTS, sql)
    }

    /// How many were assigned to one variation, and how many to several.
    pub fn assigned(&self) -> Step {
        let table = self.dialect.intermediate(ASSIGNED);
        let (subjects, excluded) = (self.dialect.count_if("NOT is_mixed"), self.dialect.count_if("is_mixed"));
        Step::fetched("assigned", format!("SELECT {subjects} AS subjects, {excluded} AS excluded\nFROM {table}"))
    }
}
