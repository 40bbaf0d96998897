//! How many statements a run will have, as far as that can be told before the first. Pure.

use super::tables::{Typed, tables};

/// The census of assignments, the subjects, the traffic.
const OF_ASSIGNMENTS: usize = 3;
/// The values of a table, their totals, their deviations.
const OF_A_TABLE: usize = 3;

/// What is computed of these metrics if all goes well; what fails and is tried again comes on top.
pub fn steps_expected(metrics: &[Typed]) -> usize {
    let tables = tables(metrics, "");
    let mut sources: Vec<usize> = tables.iter().map(|table| table.source).collect();
    sources.sort_unstable();
    sources.dedup();
    let bounds = tables.iter().filter(|table| table.measured.iter().any(|column| column.has_percentiles())).count();
    // A ratio of two tables needs a statement more for the products of its sides.
    let ratios = metrics.iter().filter(|metric| metric.sides.len() > 1).count();
    let of_one_table: usize = tables.iter().map(|table| table.ratios(metrics).len()).sum();
    OF_ASSIGNMENTS + sources.len() + OF_A_TABLE * tables.len() + bounds + ratios.saturating_sub(of_one_table)
}
