//! How many subjects take each step of a funnel. Here is the SQL of that, and what its rows say.
//!
//! The facts of all steps are kept row by row, whichever sources they are from. Then each step in turn is taken at the
//! earliest fact that may follow; to take an earlier one leaves more to follow, so that nobody could come further.

use bellwether_warehouse::{Dialect, Table, TableError};

use super::facts::{as_known, micros};
use super::{Facts, Output, Scope, Step};
use crate::domain::funnel::{ConversionWindow, WindowStart};
use crate::pipeline::columns::KeyKind;

/// The facts of one source, and the steps that they may be, by the steps' places.
pub struct Sourced<'a> {
    pub facts: &'a Facts,
    pub outputs: Vec<(usize, Output)>,
}

/// The facts that may be any step, one row each: `subject`, `arm`, `at`, `is_day`, and whether it may be each step (`is0` and
/// so on). Kept as `table`.
pub fn candidates(
    scope: &Scope<'_>,
    name: &str,
    subjects: KeyKind,
    sources: &[Sourced<'_>],
    steps: usize,
    window: Option<ConversionWindow>,
    table: &str,
) -> Step {
    let of_source = |source: &Sourced<'_>| {
        let window = window.filter(|window| window.from == WindowStart::Assignment);
        let within = window.map(|window| source.facts.within(window.length, window.unit));
        let outputs: Vec<_> = source.outputs.iter().map(|(_, output)| output.clone()).collect();
        let column = |step: usize| match source.outputs.iter().position(|(place, _)| *place == step) {
            Some(place) if place == step => format!(", is{step}"),
            Some(place) => format!(", is{place} AS is{step}"),
            None => format!(", FALSE AS is{step}"),
        };
        let is_any: Vec<_> = (0..outputs.len()).map(|place| format!("is{place}")).collect();
        format!(
            "SELECT subject, arm, at, is_day{}\nFROM {}\nWHERE {}",
            (0..steps).map(column).collect::<String>(),
            source.facts.rows(scope, subjects, &outputs, within.as_deref()),
            is_any.join(" OR ")
        )
    };
    let all: Vec<_> = sources.iter().map(of_source).collect();
    Step::kept(format!("{name}: facts of its steps"), table, all.join("\nUNION ALL\n"))
}

/// Of each arm how many subjects take each step, as `reached_0` and so on.
pub fn reached(scope: &Scope<'_>, name: &str, table: &str, steps: usize, window: Option<ConversionWindow>) -> Step {
    let dialect = scope.dialect;
    let table = dialect.intermediate(table);
    let first = format!("SELECT subject, arm, MIN(at) AS t0\nFROM {table}\nWHERE is0\nGROUP BY subject, arm");
    let chain = (1..steps).fold(first, |chain, step| followed(dialect, &chain, &table, step, window));
    let counts: String = (0..steps).map(|step| format!(", COUNT(t{step}) AS reached_{step}")).collect();
    Step::fetched(
        format!("{name}: steps"),
        format!("SELECT arm{counts}\nFROM ({chain}) AS subjects_with_steps\nGROUP BY arm"),
    )
}

/// The subjects of `chain` with the time of one step more; null where none follows.
fn followed(dialect: Dialect, chain: &str, table: &str, step: usize, window: Option<ConversionWindow>) -> String {
    let before = format!("c.t{}", step - 1);
    let mut conditions = vec![format!("f.at >= {}", as_known("f.is_day", &before))];
    // One fact cannot be two steps: what may be an earlier step as well must have come after that.
    conditions.extend((0..step).map(|earlier| format!("(f.at > c.t{earlier} OR NOT f.is{earlier})")));
    if let Some(ConversionWindow { length, unit, .. }) = window.filter(|window| window.from == WindowStart::FirstStep) {
        conditions.push(format!("f.at < {} + {}", as_known("f.is_day", "c.t0"), micros(length, unit)));
    }
    let earlier: String = (0..step).map(|earlier| format!(", MIN(c.t{earlier}) AS t{earlier}")).collect();
    let flags: String = (0..step).map(|earlier| format!(", is{earlier}")).collect();
    // Of a fact by day the time may seem to be before.
    let at = dialect.greatest("f.at", &before);
    format!(
        "SELECT c.subject AS subject, c.arm AS arm{earlier}, MIN(CASE WHEN f.at IS NOT NULL THEN {at} END) AS t{step}\n\
         FROM ({chain}) AS c\n\
         LEFT JOIN (SELECT subject, at, is_day{flags} FROM {table} WHERE is{step}) AS f\n\
         ON f.subject = c.subject AND {conditions}\n\
         GROUP BY c.subject, c.arm",
        conditions = conditions.join(" AND "),
    )
}

/// Of each arm how many subjects take each step.
pub fn read_reached(table: &Table, arms: usize, steps: usize) -> Result<Vec<Vec<u64>>, TableError> {
    let mut reached = vec![vec![0; steps]; arms];
    for row in 0..table.rows.len() {
        let arm = usize::try_from(table.int(row, "arm")?).unwrap_or(usize::MAX);
        if let Some(arm) = reached.get_mut(arm) {
            for (step, count) in arm.iter_mut().enumerate() {
                *count = table.int(row, &format!("reached_{step}"))?.unsigned_abs();
            }
        }
    }
    Ok(reached)
}
